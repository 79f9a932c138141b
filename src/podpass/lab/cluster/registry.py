"""The kinds a cluster serves: for each resource, the rules that differ from kind to kind.

The verbs are written once and generic; whatever a kind does of its own is a hook of its `Kind`. Custom resources
become kinds in the same way when their definition is established.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from podpass.kube import objects
from podpass.kube.merging import MapRule, rules_for
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import Cause
from podpass.lab.cluster.extension import SubresourceCall
from podpass.serving.asgi import App, Response

NameRule = Literal["subdomain", "label", "label1035", "path"]
"""Contract: Kubernetes API surface, section 2.2. "path" is what RBAC kinds use."""

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a kind's Table."""

    name: str
    cell: Callable[[Obj, float], Any]
    """The cell for an object at a time in seconds since the epoch."""
    type: str = "string"
    format: str = ""
    priority: int = 0
    """1: only `kubectl get -o wide` shows it."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class SchemaDocument:
    """What the OpenAPI documents show of a kind that is not built in."""

    fingerprint: str
    """Another one when the schema is another one."""
    schema: Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource: which verbs it takes, the kind of its body, and who answers."""

    name: str
    verbs: tuple[str, ...]
    kind: str
    """The kind in discovery: `Pod` for `pods/status`, `TokenRequest` for `serviceaccounts/token`."""
    group: str = ""
    version: str = "v1"
    handler: Callable[[SubresourceCall], Awaitable[Obj | Response | App]] | None = None
    """Answers with an object (201 for create, else 200), a whole response, or an ASGI app that answers itself."""
    stream: Callable[[SubresourceCall], App] | None = None
    """For logs: an ASGI app that answers the request itself."""
    part: Callable[[Obj, Obj], Obj] | None = None
    """For a path that changes a part of the object itself: the members to write, from the new and the stored object."""
    connects: bool = False
    """Opens a connection into the pod: whoever asks with GET, as websockets do, must be allowed to create as well."""


Allocate = Callable[[Obj, Obj | None], None]
"""Gives an object what no two may share; it may change the first, the second is the stored one. Raises StatusError."""


def _no_allocation(_new: Obj, _old: Obj | None) -> None:
    return None


def _no_causes(_: Obj) -> list[Cause]:
    return []


def _no_update_causes(_new: Obj, _old: Obj) -> list[Cause]:
    return []


def _nothing(_: Obj) -> None:
    return None


def _nothing_on_update(_new: Obj, _old: Obj) -> None:
    return None


def _nothing_on_delete(_obj: Obj, _now: str) -> None:
    return None


def _no_warnings(_new: Obj, _old: Obj | None) -> list[str]:
    return []


def _no_fields(_: Obj) -> Mapping[str, str]:
    return {}


def _no_grace(_: Obj) -> int | None:
    return None


def spec_changed(new: Obj, old: Obj) -> bool:
    """Whether anything but metadata and status differs: the rule for `metadata.generation`."""
    return {k: v for k, v in new.items() if k not in _NOT_SPEC} != {k: v for k, v in old.items() if k not in _NOT_SPEC}


_NOT_SPEC = ("metadata", "status", "apiVersion", "kind")


@dataclass(frozen=True, eq=False, kw_only=True)
class Kind:
    """One resource and its hooks. The hooks get objects they may change in place where they return nothing.

    The order of a create: prepare_create, default, admission, default again, complete_create, validate_create; of an
    update: prepare_update, default, admission, default again, validate_update. Metadata (name, labels, annotations,
    owners, finalizers, immutable members) is validated by the core, in front of these hooks.
    """

    resource: Resource
    name_rule: NameRule = "subdomain"
    has_status: bool = False
    """POST drops `.status`, PUT and PATCH keep the stored one, and `/status` changes nothing else."""
    keeps_status_on_create: bool = False
    """POST stores `.status` too, which is how a kubelet registers its node."""
    has_generation: bool = False
    built_in: bool = True
    """False for custom resources: no strategic merge, PUT needs a resourceVersion, items of lists carry their kind."""
    qualified_finalizers: bool = True
    """Finalizers without a slash are refused, as they are for Kubernetes' own kinds."""
    needs_version: bool = False
    """PUT needs a resourceVersion, as it does for all that is not built in."""
    default: Callable[[Obj], None] = _nothing
    prune: Callable[[Obj], list[str]] | None = None
    """Removes members that the kind's own schema does not know, and gives their paths; None: the table of fields."""
    validate_create: Callable[[Obj], list[Cause]] = _no_causes
    validate_update: Callable[[Obj, Obj], list[Cause]] = _no_update_causes
    """The new object first."""
    prepare_create: Callable[[Obj], None] = _nothing
    """Drops what a client may not set. The status split is done by the core where has_status."""
    complete_create: Callable[[Obj], None] = _nothing
    """Adds what is made of a new object's name and uid, which it has by now; after all mutation."""
    prepare_update: Callable[[Obj, Obj], None] = _nothing_on_update
    """Puts back what an update ignores; the new object first."""
    allocate: Allocate = _no_allocation
    """Called last, with nothing between it and the write, and for a dry run too."""
    prepare_delete: Callable[[Obj, str], None] = _nothing_on_delete
    """What the beginning of a deletion, at an RFC 3339 time, does to the object."""
    warn: Callable[[Obj, Obj | None], list[str]] = _no_warnings
    """What the writer is to be warned of; the new object first, and None for the old one of a create."""
    field_labels: Callable[[Obj], Mapping[str, str]] = _no_fields
    """Values for field selectors, beyond metadata.name and metadata.namespace, which all kinds have."""
    field_names: frozenset[str] = frozenset()
    """The labels that field_labels gives; any other is refused with 400."""
    columns: Sequence[Column] = ()
    """The Table's columns; empty means Name and Age."""
    grace_seconds: Callable[[Obj], int | None] = _no_grace
    """The default grace period of a deletion; None: the kind is deleted at once (0 also means at once)."""
    returns_object_on_delete: bool = False
    """DELETE answers the object instead of a Status. Contract: Kubernetes API surface, section 0.9."""
    generation_changed: Callable[[Obj, Obj], bool] = spec_changed
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    verbs: tuple[str, ...] = ALL_VERBS
    stored_as: Resource | None = None
    """The resource whose objects this is another version of; None: it stores its own."""
    from_stored: Callable[[Obj], Obj] | None = None
    """Converts a stored object to this version."""
    converts_until: int | None = None
    """Objects written after this resourceVersion are stored as they are served; None: from_stored is for all."""
    to_stored: Callable[[Obj], Obj] | None = None
    answer_create: Callable[[SubresourceCall], Awaitable[Obj | Response]] | None = None
    """For kinds that are only a question (TokenReview): nothing is stored, this gives the answer."""
    deprecated: str = ""
    """The warning that comes with every answer about this kind."""
    time_to_live_seconds: float | None = None
    """Objects older than this are removed, as events are after an hour."""

    merging: Callable[[], MapRule] | None = None
    """How its objects merge under server-side apply; None: as the table of built-in kinds says."""
    document: SchemaDocument | None = None
    """Its schema, where that is not built in."""
    not_emulated: str = ""
    """Why every request for it is refused with 501; empty when it is served."""

    def looks_like(self, other: "Kind") -> bool:
        """Whether objects of *other*, another state of the same resource, are what they are here."""
        return (
            self.document is not None
            and other.document is not None
            and self.document.fingerprint == other.document.fingerprint
        )

    def converts(self, rv: int) -> bool:
        """Whether an object stored at that resourceVersion has to go through from_stored."""
        return self.from_stored is not None and (self.converts_until is None or rv <= self.converts_until)

    @property
    def merge_rules(self) -> MapRule:
        if self.merging is not None:
            return self.merging()
        return rules_for(self.storage.group, self.storage.kind)

    @property
    def storage(self) -> Resource:
        return self.stored_as or self.resource

    def fields(self, obj: Obj) -> dict[str, str]:
        """Every value a field selector can ask for."""
        return {
            "metadata.name": objects.name(obj),
            "metadata.namespace": objects.namespace(obj),
            **self.field_labels(obj),
        }


class Registry:
    """The kinds served now, by path. Changes count up, so that discovery documents can be cached."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        self.changes = 0
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve *kind*, in the place of one with the same group, version and plural."""
        resource = kind.resource
        self._by_path[resource.group, resource.version, resource.plural] = kind
        self._by_kind[resource.api_version, resource.kind] = kind
        self.changes += 1

    def remove(self, resource: Resource) -> None:
        self._by_path.pop((resource.group, resource.version, resource.plural), None)
        self._by_kind.pop((resource.api_version, resource.kind), None)
        self.changes += 1

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_path.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> Kind | None:
        return self._by_kind.get((api_version, kind))

    def of(self, resource: Resource) -> Kind:
        """The kind of a resource that is served. Raises KeyError."""
        return self._by_path[resource.group, resource.version, resource.plural]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)
