"""What the core of the cluster asks of the parts around it, and what it offers to them.

Authentication, authorization, admission, tables, protobuf and field validation are each written against one of
these protocols; so is whoever answers a subresource.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.serving.asgi import Request, Response

if TYPE_CHECKING:
    from podpass.lab.cluster.registry import Kind

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as authentication found it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> Obj:
        """The user as AdmissionReview, TokenReview and SelfSubjectReview show it."""
        body: Obj = {"username": self.name}
        if self.uid:
            body["uid"] = self.uid
        if self.groups:
            body["groups"] = list(self.groups)
        if self.extra:
            body["extra"] = {key: list(values) for key, values in self.extra.items()}
        return body


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))
SYSTEM = User("system:apiserver", groups=("system:masters", "system:authenticated"))
"""Whom the cluster's own controllers write as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked for, as authorization sees it: a verb on a resource, or on a path that is no resource."""

    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection, impersonate; for paths the HTTP method."""
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    """The plural; empty for a path that is no resource."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    """Also taken from a `metadata.name` field selector of a list or watch."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The user may; the reason names the binding, where one decided."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """The user may not, and why."""

    reason: str
    """For a person: `User "u" cannot get resource "pods" in API group "" in the namespace "shop"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionAttributes:
    """A write as admission sees it."""

    kind: "Kind"
    operation: Operation
    namespace: str
    name: str
    """Empty when it is still to be generated."""
    user: User
    subresource: str = ""
    dry_run: bool = False
    options: Obj = field(default_factory=dict)
    """CreateOptions, UpdateOptions, PatchOptions or DeleteOptions, with kind and apiVersion."""
    warnings: list[str] = field(default_factory=list)
    """Admission appends; each becomes a Warning header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubresourceCall:
    """A request for a subresource, or for a kind that is only a question (then name and subresource are empty)."""

    kind: "Kind"
    namespace: str
    name: str
    subresource: str
    verb: str
    """get, create, update, patch or delete."""
    user: User
    request: Request
    body: Obj | None = None
    """The decoded body of a create or update; None where there was none."""
    change: Callable[[Obj], Obj] = dict
    """What an update or a patch makes of the subresource's present form. Raises StatusError."""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)


class Authenticator(Protocol):
    def authenticate(self, request: Request) -> User | None:
        """Who asks: the anonymous user without credentials, None with bad ones (401)."""
        ...


class Authorizer(Protocol):
    def authorize(self, user: User, attributes: Attributes) -> Allowed | Denied: ...


class Admission(Protocol):
    async def admit(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> Obj | None:
        """The mutating phase: built-in steps, then webhooks. *obj* is None for DELETE, *old* for CREATE.

        Returns the object to go on with (*obj* itself when nothing changed). Raises StatusError.
        """
        ...

    async def validate(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> None:
        """The validating phase, on the object as it will be stored. Raises StatusError."""
        ...


class Tables(Protocol):
    def render(
        self,
        kind: "Kind",
        items: Sequence[Obj],
        *,
        metadata: Obj,
        include_object: Literal["None", "Metadata", "Object"],
        with_columns: bool,
    ) -> Obj:
        """A meta.k8s.io/v1 Table. *metadata* is the list's; with_columns is False after a watch's first event."""
        ...


class ProtobufDecoder(Protocol):
    def __call__(self, body: bytes) -> Obj:
        """The object in a `application/vnd.kubernetes.protobuf` body, as JSON. Raises StatusError (400, 415)."""
        ...


class FieldValidator(Protocol):
    def __call__(self, kind: "Kind", obj: Obj, body: bytes) -> list[str]:
        """Removes members of *obj* that its schema does not know; gives a text for each, and for each duplicate.

        Texts are like `unknown field "spec.foo"`. *body* is the JSON as sent, for duplicates; empty if it was not JSON.
        """
        ...


class OpenApi(Protocol):
    async def __call__(self, request: Request) -> Response:
        """Answers every GET below /openapi/."""
        ...


class Objects(Protocol):
    """The objects, for the cluster's own parts. Raises StatusError as the API would.

    Objects that get and list give are shared with the cluster's memory: read them, copy before a change.
    """

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj: ...

    def find(self, resource: Resource, name: str, namespace: str = "") -> Obj | None: ...

    def list(self, resource: Resource, namespace: str = "") -> list[Obj]: ...

    def version(self, resource: Resource) -> int:
        """The resourceVersion of the newest change to any object of *resource*: a cheap key for caches."""
        ...

    def create(
        self, resource: Resource, obj: Obj, namespace: str = "", *, user: User = SYSTEM, dry_run: bool = False
    ) -> Awaitable[Obj]: ...

    def update(
        self,
        resource: Resource,
        obj: Obj,
        *,
        subresource: str = "",
        user: User = SYSTEM,
        dry_run: bool = False,
    ) -> Awaitable[Obj]:
        """Replace the object of obj's name and namespace; with a resourceVersion only if it is still that one."""
        ...

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        options: Mapping[str, Any] | None = None,
        user: User = SYSTEM,
    ) -> Awaitable[Obj]: ...
