"""From definitions to kinds: what is served of each, made anew when its definition changes.

Only the head of a definition is read when the cluster starts; a version's schema stays the bytes that are stored
until the first request that needs it. Contract: Kubernetes API surface, section 5.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from podpass.kube import objects
from podpass.kube.merging import MapRule
from podpass.kube.objects import Obj
from podpass.kube.resources import CUSTOMRESOURCEDEFINITIONS, Resource
from podpass.kube.status import Cause
from podpass.lab.cluster.collection import Change, Stored
from podpass.lab.cluster.customresources import naming, schemas
from podpass.lab.cluster.customresources.apply_rules import rules_of
from podpass.lab.cluster.customresources.columns import columns
from podpass.lab.cluster.customresources.jsonpath import JsonPath
from podpass.lab.cluster.customresources.ratcheting import remaining
from podpass.lab.cluster.customresources.rules import Rules
from podpass.lab.cluster.customresources.scale import ScalePaths, scale_faults
from podpass.lab.cluster.customresources.validation import MAX_CAUSES, NOWHERE, Check
from podpass.lab.cluster.customresources.values import Shape
from podpass.lab.cluster.extension import SubresourceCall
from podpass.lab.cluster.fieldvalidation import prune_metadata
from podpass.lab.cluster.metadata import STANDARD_FINALIZERS
from podpass.lab.cluster.registry import Kind, Registry, SchemaDocument, Subresource, spec_changed
from podpass.lab.cluster.versions import newest_first
from podpass.serving.asgi import Response

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
ScaleHandler = Callable[[SubresourceCall, ScalePaths], Any]

_decode = msgspec.json.Decoder().decode


class _Names(msgspec.Struct, rename="camel"):
    plural: str = ""
    singular: str = ""
    kind: str = ""
    list_kind: str = ""
    short_names: list[str] = []
    categories: list[str] = []


class _Schema(msgspec.Struct):
    openAPIV3Schema: msgspec.Raw = msgspec.Raw(b"{}")  # noqa: N815


class _Scale(msgspec.Struct, rename="camel"):
    spec_replicas_path: str = ""
    status_replicas_path: str = ""
    label_selector_path: str = ""


class _Subresources(msgspec.Struct):
    status: dict[str, Any] | None = None
    scale: _Scale | None = None


class Version(msgspec.Struct, rename="camel"):
    """One version, as its definition has it."""

    name: str = ""
    served: bool = False
    storage: bool = False
    deprecated: bool = False
    deprecation_warning: str = ""
    schema: _Schema = msgspec.field(default_factory=_Schema)
    subresources: _Subresources = msgspec.field(default_factory=_Subresources)
    additional_printer_columns: list[dict[str, Any]] = []
    selectable_fields: list[dict[str, str]] = []


class _Spec(msgspec.Struct):
    group: str = ""
    scope: str = ""
    versions: list[Version] = []
    conversion: dict[str, Any] = {}


class _Status(msgspec.Struct, rename="camel"):
    accepted_names: _Names = msgspec.field(default_factory=_Names)
    conditions: list[dict[str, Any]] | None = None


class _Definition(msgspec.Struct):
    spec: _Spec
    status: _Status


_read = msgspec.json.Decoder(_Definition).decode


class Definition:
    """What one stored definition says, as far as serving it goes."""

    def __init__(self, stored: Stored) -> None:
        read = _read(stored.body)
        self.rv = stored.rv
        self.group, self.versions = read.spec.group, read.spec.versions
        self.conversion = read.spec.conversion
        self.namespaced = read.spec.scope == "Namespaced"
        self.names = read.status.accepted_names
        conditions = {each.get("type"): each.get("status") == "True" for each in read.status.conditions or ()}
        self.serving = conditions.get(naming.ESTABLISHED, False) and bool(self.names.plural)
        self.terminating = conditions.get(naming.TERMINATING, False)
        self.fingerprint = hashlib.sha256(msgspec.json.encode([read.spec, read.status.accepted_names])).hexdigest()
        """The same for definitions whose objects look alike."""

    @property
    def by_webhook(self) -> bool:
        return self.conversion.get("strategy") == "Webhook"


class CustomVersion:
    """One version of a custom resource: what its schema does to objects, compiled when first asked for."""

    def __init__(self, version: Version, api_version: str) -> None:
        self._version = version
        self._api_version = api_version
        scale = version.subresources.scale
        self.has_status = version.subresources.status is not None
        self.scale_paths = None if scale is None else ScalePaths(*msgspec.structs.astuple(scale))

    @cached_property
    def schema(self) -> Obj:
        found: Obj = _decode(self._version.schema.openAPIV3Schema)
        return found

    @cached_property
    def shape(self) -> Shape:
        return Shape(self.schema)

    @cached_property
    def check(self) -> Check:
        return Check(self.schema)

    @cached_property
    def status_check(self) -> Check:
        return Check((self.schema.get("properties") or {}).get("status") or {})

    @cached_property
    def rules(self) -> Rules | None:
        """The CEL rules; None for a schema without any."""
        if b'"x-kubernetes-validations"' not in bytes(self._version.schema.openAPIV3Schema):
            return None
        return Rules(self.schema)

    @cached_property
    def merging(self) -> MapRule:
        return rules_of(self.schema)

    def prune(self, obj: Obj) -> list[str]:
        """Remove what the schema does not know, and give the path of each member that went."""
        unknown = prune_metadata(obj, self._api_version) if obj.get("metadata") is not None else []
        return unknown + self.shape.prune(obj)

    def settle(self, obj: Obj) -> None:
        self.shape.settle(obj)

    def present(self, obj: Obj) -> Obj:
        """An object that was stored under another schema, as this version has it."""
        obj["apiVersion"] = self._api_version
        self.shape.settle(obj)
        return obj

    def faults(self, obj: Obj) -> list[Cause]:
        return self._faults(obj, None)

    def change_faults(self, new: Obj, old: Obj) -> list[Cause]:
        return self._faults(new, old)

    def _faults(self, obj: Obj, old: Obj | None) -> list[Cause]:
        causes: list[Cause] = []
        if old is not None and self.has_status and _without_status(obj) == _without_status(old):
            # A write to the status is about the status alone, and its texts know no more.
            causes = (
                [_in_status(cause) for cause in self.status_check.causes(obj.get("status"))] if "status" in obj else []
            )
        else:
            self.check(obj, "", causes)
        if causes and old is not None:
            causes = remaining(causes, obj, old, self.schema)
        if self.scale_paths is not None:
            causes.extend(scale_faults(obj, self.scale_paths))
        if self.rules is not None:
            causes.extend(self.rules.faults(obj, old, causes))
        return causes[:MAX_CAUSES]

    @cached_property
    def selectable(self) -> Mapping[str, JsonPath]:
        paths = [each.get("jsonPath", "") for each in self._version.selectable_fields]
        return {path.removeprefix("."): JsonPath(path) for path in paths}

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {name: _text(path.values(obj)) for name, path in self.selectable.items()}


def _text(found: Sequence[Any]) -> str:
    value = found[0] if found else None
    if value is None:
        return ""
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def kinds_of(definition: Definition, scale: ScaleHandler) -> Iterator[Kind]:
    """A kind for each version that is served; the first is the one that the objects are kept by."""
    served = [each for each in definition.versions if each.served]
    home = next((each for each in served if each.storage), served[0] if served else None)
    if home is None:
        return
    resources = {each.name: _resource(definition, each) for each in served}
    for version in sorted(served, key=lambda each: each is not home):
        other = None if version is home else resources[home.name]
        yield _kind(definition, version, resources[version.name], other, home, scale)


def _resource(definition: Definition, version: Version) -> Resource:
    names = definition.names
    return Resource(
        definition.group,
        version.name,
        names.plural,
        names.kind,
        definition.namespaced,
        singular=names.singular,
        short_names=tuple(names.short_names),
        categories=tuple(names.categories),
        listed_as=names.list_kind,
    )


def _kind(
    definition: Definition,
    version: Version,
    resource: Resource,
    stored_as: Resource | None,
    home: Version,
    scale: ScaleHandler,
) -> Kind:
    custom = CustomVersion(version, resource.api_version)
    has_status = version.subresources.status is not None
    subresources: dict[str, Subresource] = {}
    if (paths := custom.scale_paths) is not None:

        async def answer(call: SubresourceCall) -> Obj | Response:
            found: Obj | Response = await scale(call, paths)
            return found

        subresources["scale"] = Subresource(
            "scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1", handler=answer
        )
    # Objects that were written under this schema need nothing done to them when they are read.
    same = bytes(version.schema.openAPIV3Schema) == bytes(home.schema.openAPIV3Schema)
    return Kind(
        resource=resource,
        built_in=False,
        qualified_finalizers=False,
        warn=_finalizer_warnings,
        has_status=has_status,
        has_generation=True,
        generation_changed=spec_changed if has_status else _data_changed,
        default=custom.settle,
        prune=custom.prune,
        validate_create=custom.faults,
        validate_update=custom.change_faults,
        field_labels=custom.fields,
        field_names=frozenset(custom.selectable),
        columns=columns(version.additional_printer_columns),
        subresources=subresources,
        verbs=tuple(each for each in _VERBS if each != "create") if definition.terminating else _VERBS,
        stored_as=stored_as,
        from_stored=custom.present,
        converts_until=definition.rv if same else None,
        merging=lambda: custom.merging,
        not_emulated=_not_emulated(definition, version, resource),
        document=SchemaDocument(definition.fingerprint, lambda: schemas.document_schema(custom.schema)),
        deprecated=_deprecation(definition, version),
    )


def _finalizer_warnings(new: Obj, old: Obj | None) -> list[str]:
    """New finalizers that others could come to use as well."""
    before = objects.finalizers(old) if old is not None else []
    warnings = []
    for each in objects.finalizers(new):
        if each in before or "/" in each or each in STANDARD_FINALIZERS:
            continue
        including = " including a path (/)" if "." in each else ""
        warnings.append(
            f'metadata.finalizers: "{each}": prefer a domain-qualified finalizer name{including} to avoid accidental'
            " conflicts with other finalizer writers"
        )
    return warnings


def _data_changed(new: Obj, old: Obj) -> bool:
    """Without a status subresource all but metadata counts."""
    return _without_metadata(new) != _without_metadata(old)


def _without_status(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _in_status(cause: Cause) -> Cause:
    if cause.field == NOWHERE:
        return cause
    return Cause(cause.reason, cause.message, f"status.{cause.field}" if cause.field else "status")


def _without_metadata(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if name not in ("metadata", "apiVersion", "kind")}


def _not_emulated(definition: Definition, version: Version, resource: Resource) -> str:
    if not definition.by_webhook or version.storage:
        return ""
    storage = next((each.name for each in definition.versions if each.storage), "")
    return (
        f"conversion webhooks are not emulated: {resource.qualified} can be asked for in version {storage} alone,"
        " in which they are stored"
    )


def _deprecation(definition: Definition, version: Version) -> str:
    if not version.deprecated:
        return ""
    if version.deprecation_warning:
        return version.deprecation_warning
    group, kind = definition.group, definition.names.kind
    text = f"{group}/{version.name} {kind} is deprecated"
    others = newest_first(each.name for each in definition.versions if each.served and not each.deprecated)
    better = [name for name in others if newest_first((name, version.name))[0] == name]
    return f"{text}; use {group}/{better[0]} {kind}" if better else text


class Publisher:
    """Keeps the registry at what the stored definitions say."""

    def __init__(self, registry: Registry, scale: ScaleHandler, wake: Callable[[Resource], None]) -> None:
        """*wake* tells the watches of a resource to look whether it is still served as it was."""
        self._registry = registry
        self._scale = scale
        self._wake = wake
        self._published: dict[str, tuple[tuple[str, bool, bool], list[Kind]]] = {}

    def notice(self, change: Change) -> None:
        """Called inside of every write: what a definition's change means holds for the very next request."""
        resource = change.resource
        if (resource.group, resource.plural) == _DEFINITIONS:
            self.publish(change.stored.key[1], None if change.type == "DELETED" else change.stored)

    def publish(self, name: str, stored: Stored | None) -> None:
        """Serve what the definition *name* says now; None: nothing any more."""
        known, before = self._published.get(name, (("", False, False), []))
        definition = None if stored is None else Definition(stored)
        state = ("", False, False)
        if definition is not None:
            state = (definition.fingerprint, definition.serving, definition.terminating)
            if state == known:
                return
        kinds = list(kinds_of(definition, self._scale)) if definition is not None and definition.serving else []
        kept = {kind.resource.version for kind in kinds}
        for kind in before:
            if kind.resource.version not in kept:
                self._registry.remove(kind.resource)
        for kind in kinds:
            self._registry.add(kind)
        if definition is None:
            self._published.pop(name, None)
        else:
            self._published[name] = (state, kinds)
        for kind in before:
            self._wake(kind.storage)


_DEFINITIONS = (CUSTOMRESOURCEDEFINITIONS.group, CUSTOMRESOURCEDEFINITIONS.plural)
