"""What is refused of a CustomResourceDefinition.

Contract: Kubernetes API surface, section 5.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from podpass.kube import names, objects
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, duplicate, forbidden_field, invalid, not_supported, required, too_many
from podpass.lab.cluster.customresources import naming, rules, structural
from podpass.lab.cluster.customresources.columns import COLUMN_FORMATS, COLUMN_TYPES
from podpass.lab.cluster.customresources.definition_versions import schema_of, storage_version, versions
from podpass.lab.cluster.customresources.schema_tree import nodes
from podpass.lab.cluster.kinds.rules import IMMUTABLE

MAX_SELECTABLE_FIELDS = 8
MAX_VERSIONS = 64
_REVIEW_VERSIONS = ("v1", "v1beta1")


def create_faults(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    name, wanted = objects.name(obj), spec.get("names") or {}
    if name and name != f"{wanted.get('plural') or ''}.{spec.get('group') or ''}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _spec_faults(spec)
    yield from _stored_version_faults(obj)
    yield from _approval_faults(obj, None)


def update_faults(new: Obj, old: Obj) -> Iterator[Cause]:
    spec, before = objects.spec(new), objects.spec(old)
    if spec != before:
        yield from _spec_faults(spec)
        wanted, had = spec.get("names") or {}, before.get("names") or {}
        if naming.is_true(old, naming.ESTABLISHED):
            if spec.get("scope") != before.get("scope"):
                yield invalid("spec.scope", spec.get("scope"), IMMUTABLE)
            if wanted.get("kind") != had.get("kind"):
                yield invalid("spec.names.kind", wanted.get("kind"), IMMUTABLE)
        if spec.get("group") != before.get("group"):
            yield invalid("spec.group", spec.get("group"), IMMUTABLE)
        if wanted.get("plural") != had.get("plural"):
            yield invalid("spec.names.plural", wanted.get("plural"), IMMUTABLE)
        yield from _stored_version_faults(new)
        if (spec.get("conversion") or {}).get("strategy") == "Webhook" and storage_version(new) != storage_version(old):
            text = "conversion webhooks are not emulated by this cluster, so the storage version has to stay"
            yield forbidden_field("spec.versions", text)
    yield from _name_faults(objects.status(new).get("acceptedNames") or {}, "status.acceptedNames")
    yield from _approval_faults(new, old)


def _stored_version_faults(obj: Obj) -> Iterator[Cause]:
    stored, path = objects.status(obj).get("storedVersions") or [], "status.storedVersions"
    if not stored:
        yield invalid(path, None, "must have at least one stored version")
        return
    known = {each.get("name") for each in versions(obj)}
    for each in versions(obj):
        if each.get("storage") and each.get("name") not in stored:
            yield invalid(path, stored, f"must have the storage version {each.get('name')}")
    for at, name in enumerate(stored):
        if name not in known:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in"
                f" spec.versions until a storage migration ensures no data remains persisted in {name} and removes"
                f" {name} from status.storedVersions"
            )
            yield invalid(f"{path}[{at}]", name, text)


def _approval_faults(new: Obj, old: Obj | None) -> Iterator[Cause]:
    if not naming.is_protected(objects.spec(new).get("group") or ""):
        return
    state, text = naming.approval(new)
    if old is not None and naming.approval(old)[0] == state:
        return
    path = f"metadata.annotations[{naming.APPROVED_ANNOTATION}]"
    if state == "missing":
        yield required(path, text)
    elif state == "invalid":
        yield invalid(path, objects.annotations(new)[naming.APPROVED_ANNOTATION], text)


def _spec_faults(spec: Obj) -> Iterator[Cause]:
    group, scope = spec.get("group") or "", spec.get("scope") or ""
    if not group:
        yield required("spec.group")
    elif fault := names.subdomain_fault(group):
        yield invalid("spec.group", group, fault)
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid("spec.preserveUnknownFields", True, text)
        if any(_has_defaults(each) for each in spec.get("versions") or ()):
            text = "must be false in order to use defaults in the schema"
            yield invalid("spec.preserveUnknownFields", True, text)
    yield from _version_faults(spec)
    wanted = spec.get("names") or {}
    for member in ("plural", "singular", "kind", "listKind"):
        if not wanted.get(member):
            yield required(f"spec.names.{member}")
    yield from _name_faults(wanted, "spec.names")
    yield from _conversion_faults(spec.get("conversion") or {})


def _has_defaults(version: Obj) -> bool:
    schema = schema_of(version)
    return schema is not None and any("default" in node for _, node in nodes(schema, ""))


def _version_faults(spec: Obj) -> Iterator[Cause]:
    found: list[Obj] = spec.get("versions") or []
    if len(found) > MAX_VERSIONS:
        yield too_many("spec.versions", len(found), MAX_VERSIONS)
        return
    # The API server keeps what all versions have in common above them, and names it there.
    hoisted = {
        member: bool(found) and all(each.get(member) == found[0].get(member) for each in found)
        for member in ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
    }
    for at, each in enumerate(found):
        path = f"spec.versions[{at}]"
        if fault := names.label_1035_fault(each.get("name") or ""):
            yield invalid(f"{path}.name", each.get("name") or "", fault)
        if schema_of(each) is None:
            yield required(f"{path}.schema.openAPIV3Schema")
        yield from _deprecation_faults(each, path)
        for member, check in _VERSION_PARTS.items():
            if not hoisted[member]:
                yield from check(each, f"{path}.{member}")
            elif at == 0 and member == "selectableFields" and not hoisted["schema"] and each.get(member):
                # Fields that all versions have are looked for in a schema that all have.
                yield invalid(f"spec.{member}", "", "may only be set when validations.schema is included")
            elif at == 0:
                yield from check(each, "spec.validation" if member == "schema" else f"spec.{member}")
    if len({each.get("name") for each in found}) < len(found):
        yield invalid("spec.versions", [each.get("name") for each in found], "must contain unique version names")
    if sum(bool(each.get("storage")) for each in found) != 1:
        listed = [each.get("name") for each in found]
        yield invalid("spec.versions", listed, "must have exactly one version marked as storage version")


def _deprecation_faults(version: Obj, path: str) -> Iterator[Cause]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    place = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        yield invalid(place, warning, "can only be set for deprecated versions")
    if len(warning) > 256:
        yield invalid(place, warning, "must be <= 256 characters long")
    if not warning:
        yield invalid(place, warning, "must not be an empty string")
    for at, character in enumerate(warning):
        if not character.isprintable():
            text = f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
            yield invalid(place, warning, text)
            break


def _schema_faults(version: Obj, path: str) -> Iterator[Cause]:
    schema = schema_of(version)
    if schema is None:
        return
    place = f"{path}.openAPIV3Schema"
    has_status = (version.get("subresources") or {}).get("status") is not None
    faults = structural.schema_faults(schema, place, has_status=has_status)
    yield from faults
    if not faults:
        yield from rules.compilation_faults(schema, place)


def _subresource_faults(version: Obj, path: str) -> Iterator[Cause]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for member, roots in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        place, value = f"{path}.scale.{member}", scale.get(member) or ""
        if not value:
            if member != "labelSelectorPath":
                yield required(place)
        elif not value.startswith("."):
            yield invalid(place, value, "must be a simple json path starting with .")
        elif not value.startswith(roots):
            where = f"either {roots[0][:-1]} or {roots[1][:-1]}" if len(roots) > 1 else roots[0][:-1]
            yield invalid(place, value, f"should be a json path under {where}")


def _column_faults(version: Obj, path: str) -> Iterator[Cause]:
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        place = f"{path}[{at}]"
        if not column.get("name"):
            yield required(f"{place}.name")
        kind, text = column.get("type") or "", f"must be one of {','.join(COLUMN_TYPES)}"
        if not kind:
            yield required(f"{place}.type", text)
        elif kind not in COLUMN_TYPES:
            yield invalid(f"{place}.type", kind, text)
        shape = column.get("format") or ""
        if shape and shape not in COLUMN_FORMATS:
            yield invalid(f"{place}.format", shape, f"must be one of {','.join(COLUMN_FORMATS)}")
        json_path = column.get("jsonPath") or ""
        if not json_path:
            yield required(f"{place}.JSONPath")
        elif not json_path.startswith("."):
            # Whether the rest is one shows in the table: its cells stay empty.
            yield invalid(f"{place}.JSONPath", json_path, "must be a simple json path starting with .")


def _selectable_faults(version: Obj, path: str) -> Iterator[Cause]:
    schema, seen = schema_of(version) or {}, set[str]()
    if not schema and version.get("selectableFields"):
        yield invalid(path, "", "may only be set when validations.schema is included")
        return
    for at, each in enumerate(version.get("selectableFields") or ()):
        place, json_path = f"{path}[{at}].jsonPath", each.get("jsonPath") or ""
        if not json_path:
            yield required(place)
            continue
        parts = json_path.removeprefix(".").split(".")
        found: Any = schema
        for part in parts:
            found = (found.get("properties") or {}).get(part) if isinstance(found, Mapping) else None
        if not json_path.startswith(".") or found is None:
            yield invalid(place, json_path, "is an invalid path: does not refer to a valid field")
            continue
        if parts[0] == "metadata":
            yield invalid(place, json_path, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            text = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with"
                " formats are allowed."
            )
            yield invalid(place, json_path, text)
        if json_path in seen:
            yield duplicate(place, json_path)
        seen.add(json_path)
    if len(seen) > MAX_SELECTABLE_FIELDS:
        yield too_many(path, len(seen), MAX_SELECTABLE_FIELDS)


_VERSION_PARTS = {
    "schema": _schema_faults,
    "subresources": _subresource_faults,
    "additionalPrinterColumns": _column_faults,
    "selectableFields": _selectable_faults,
}


def _name_faults(wanted: Obj, path: str) -> Iterator[Cause]:
    for member in ("plural", "singular"):
        value = wanted.get(member) or ""
        if value and (fault := names.label_1035_fault(value)):
            yield invalid(f"{path}.{member}", value, fault)
    for member in ("kind", "listKind"):
        value = wanted.get(member) or ""
        if value and (fault := names.label_1035_fault(value.lower())):
            yield invalid(f"{path}.{member}", value, f"may have mixed case, but should otherwise match: {fault}")
    for member in ("shortNames", "categories"):
        for at, value in enumerate(wanted.get(member) or ()):
            if fault := names.label_1035_fault(value):
                yield invalid(f"{path}.{member}[{at}]", value, fault)
    if wanted.get("kind") and wanted.get("kind") == wanted.get("listKind"):
        yield invalid(f"{path}.listKind", wanted["listKind"], "kind and listKind may not be the same")


def _conversion_faults(conversion: Obj) -> Iterator[Cause]:
    path, strategy = "spec.conversion", conversion.get("strategy") or ""
    webhook = conversion.get("webhook") or {}
    client, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if not strategy:
        yield required(f"{path}.strategy")
    elif strategy not in ("None", "Webhook"):
        yield not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if client is not None:
            yield forbidden_field(f"{path}.webhookClientConfig", text)
        if reviews:
            yield forbidden_field(f"{path}.conversionReviewVersions", text)
        return
    if client is None:
        yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    elif bool(client.get("url")) == bool(client.get("service")):
        yield required(f"{path}.webhookClientConfig", "exactly one of url or service is required")
    elif client.get("url"):
        scheme = urlsplit(client["url"]).scheme
        if scheme != "https":
            text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            yield invalid(f"{path}.webhookClientConfig.url", scheme, text)
    else:
        for member in ("name", "namespace"):
            if not client["service"].get(member):
                yield required(f"{path}.webhookClientConfig.service.{member}", f"service {member} is required")
    if not reviews:
        yield required(f"{path}.conversionReviewVersions")
    elif not set(reviews) & set(_REVIEW_VERSIONS):
        text = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        yield invalid(f"{path}.conversionReviewVersions", reviews, text)
