"""What a write may say: the kind and shape of the object, whose it is, and which part of it the write may change.

Contract: Kubernetes API surface, sections 2.1 and 2.6.
"""

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError, invalid
from podpass.lab.cluster import deletion, fields, metadata
from podpass.lab.cluster.registry import Kind

SET_BY_SERVER = (
    "uid", "creationTimestamp", "resourceVersion", "generation", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
KEPT_ON_UPDATE = (
    "name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip

_NAMESPACE_DIFFERS = "the namespace of the provided object does not match the namespace sent on the request"


def check_type(kind: Kind, obj: Obj) -> None:
    """Raises StatusError 400 for an object of another kind or version than the path's."""
    api_version, name = obj.get("apiVersion"), obj.get("kind")
    if not isinstance(api_version, str | None) or not isinstance(name, str | None):
        raise StatusError.bad_request("couldn't get version/kind; apiVersion and kind must be strings")
    expected = kind.resource
    if kind.built_in and (
        (api_version or expected.api_version) != expected.api_version or (name or "") not in ("", expected.kind)
    ):
        raise _another_kind(expected, api_version or expected.api_version, name or expected.kind)
    if api_version and api_version != kind.resource.api_version:
        raise StatusError.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version"
            f" ({kind.resource.api_version})"
        )
    if name and name != kind.resource.kind:
        cause = invalid("kind", name, f"must be {kind.resource.kind}")
        raise StatusError.invalid_kind(kind.resource.group, name, objects.name(obj), [cause])


def _another_kind(expected: Resource, api_version: str, name: str) -> StatusError:
    """400, naming Go's types: what the object is, and what it should be."""
    version = api_version.rpartition("/")[2]
    why = f'no kind "{name}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:111"'
    if fields.message_of(api_version, name) is not None:
        internal = expected.group.partition(".")[0] or "core"
        why = f"converting ({version}.{name}) to ({internal}.{expected.kind}): unknown conversion"
    return StatusError.bad_request(f'{name} in version "{version}" cannot be handled as a {expected.kind}: {why}')


def check_shape(kind: Kind, obj: Obj) -> None:
    """Give *obj* the metadata that it lacks. Raises StatusError 400 where members are not of their type."""
    if "metadata" not in obj:
        obj["metadata"] = {}
    if faults := metadata.shape_faults(obj):
        fault = faults[0]
        version = kind.resource.version
        raise StatusError.bad_request(
            f'{kind.resource.kind} in version "{version}" cannot be handled as a {kind.resource.kind}:'
            f" {fault.field}: {fault.message}"
        )


def settle_namespace(kind: Kind, meta: Obj, namespace: str) -> None:
    """Write the path's namespace into the metadata of a new object. Raises StatusError 400 for another one."""
    given = meta.get("namespace") or ""
    if kind.resource.namespaced:
        if given and given != namespace:
            raise StatusError.bad_request(_NAMESPACE_DIFFERS)
        meta["namespace"] = namespace
    elif not given:
        meta.pop("namespace", None)


def check_identity(kind: Kind, meta: Obj, old: Obj) -> None:
    """Raises StatusError for metadata that names another object than the stored *old*: 400, or 409 for its uid."""
    name, namespace = objects.name(old), objects.namespace(old)
    if (given := meta.get("name") or name) != name:
        raise StatusError.bad_request(name_differs(given, name))
    if kind.resource.namespaced and (meta.get("namespace") or namespace) != namespace:
        raise StatusError.bad_request(_NAMESPACE_DIFFERS)
    given = meta.get("uid") or ""
    if given and given != objects.uid(old):
        key = "/".join(part for part in (kind.resource.plural, namespace, name) if part)
        raise StatusError.conflict(
            kind.resource,
            name,
            f"StorageError: invalid object, Code: 4, Key: /registry/{key}, ResourceVersion: 0, AdditionalErrorMsg: "
            + deletion.uid_differs(given, objects.uid(old)),
        )


def only_writable(kind: Kind, subresource: str, new: Obj, old: Obj) -> Obj:
    """*new* reduced to what a write to *subresource* (empty: the object itself) may change."""
    sent = new["metadata"].get("managedFields")
    found = kind.subresources.get(subresource)
    part = None if found is None else found.part
    if part is not None or subresource in ("status", "finalize"):
        reduced = {**old, "metadata": dict(old["metadata"])}
        if sent is not None:
            reduced["metadata"]["managedFields"] = sent
        if part is not None:
            reduced |= part(new, old)
        elif subresource == "finalize":
            reduced["spec"] = {**objects.spec(old), "finalizers": objects.spec(new).get("finalizers") or []}
        elif "status" in new:
            reduced["status"] = new["status"]
        else:
            reduced.pop("status", None)
        return reduced
    if kind.has_status and not subresource:
        new = {name: value for name, value in new.items() if name != "status"}
        if "status" in old:
            new["status"] = old["status"]
    return new


def name_differs(given: object, name: str) -> str:
    return f"the name of the object ({given}) does not match the name on the URL ({name})"
