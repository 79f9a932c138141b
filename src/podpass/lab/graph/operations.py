"""Which call a path and a method make, and the plain calls that every kind of directory object has.

A path is written with `{}` for each name in it: `groups/{}/members/{}/$ref`.
Contract: Azure HTTP surface, section 5.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from podpass.lab.graph import errors
from podpass.lab.graph.calls import Answer, Call, entity, page_of
from podpass.lab.graph.filters import selected

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call, and the action that the caller's directory role must hold; an empty one everybody may."""

    method: str
    path: str
    action: str
    run: Callable[[Call], Answer]
    versions: tuple[str, ...] = ("v1.0",)
    """The versions of Graph that have it."""

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))


class Operations:
    """All calls there are."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.all: tuple[Operation, ...] = tuple(operations)
        self._by_shape: dict[tuple[str, int], list[Operation]] = {}
        for one in self.all:
            self._by_shape.setdefault((one.method, len(one.parts)), []).append(one)

    def find(self, method: str, version: str, parts: Sequence[str]) -> tuple[Operation, tuple[str, ...]] | None:
        """The call with the names in its path; None for one that is not emulated."""
        for operation in self._by_shape.get((method, len(parts)), ()):
            names = _names(operation.parts, parts)
            if names is not None and version in operation.versions:
                return operation, names
        return None


def _names(wanted: Sequence[str], parts: Sequence[str]) -> tuple[str, ...] | None:
    names: list[str] = []
    for want, part in zip(wanted, parts, strict=True):
        if want == "{}":
            names.append(part)
        elif want.lower() != part.lower():
            return None
    return tuple(names)


class Kind(Protocol[_T]):
    """One kind of directory object. Every method raises GraphError when Graph would refuse."""

    @property
    def name(self) -> str:
        """The collection's: `servicePrincipals`."""
        ...

    @property
    def filtered(self) -> Mapping[str, str]:
        """The members that `$filter` may name, by their names in lower case."""
        ...

    def all(self, tenant_id: str) -> Iterable[_T]: ...
    def find(self, tenant_id: str, name: str) -> _T: ...
    def members(self, one: _T) -> Mapping[str, Any]:
        """The id, and what `$filter` may name."""
        ...

    def shown(self, one: _T) -> dict[str, Any]: ...
    def made(self, call: Call) -> _T:
        """A new one of the request's body."""
        ...

    def change(self, one: _T, body: bytes) -> None: ...
    def delete(self, one: _T) -> None: ...


class Plain(Generic[_T]):
    """List, create, read, change and delete of one kind."""

    def __init__(self, kind: Kind[_T]) -> None:
        self._kind = kind

    def operations(self) -> tuple[Operation, ...]:
        name = self._kind.name
        actions = f"microsoft.directory/{name}"
        return (
            Operation(method="GET", path=name, action=f"{actions}/standard/read", run=self._list),
            Operation(method="POST", path=name, action=f"{actions}/create", run=self._create),
            Operation(method="GET", path=f"{name}/{{}}", action=f"{actions}/standard/read", run=self._read),
            Operation(method="PATCH", path=f"{name}/{{}}", action=f"{actions}/basic/update", run=self._change),
            Operation(method="DELETE", path=f"{name}/{{}}", action=f"{actions}/delete", run=self._delete),
        )

    def _list(self, call: Call) -> Answer:
        kind = self._kind
        wanted = selected(
            call.query.get("$filter", ""), kind.filtered, lambda: errors.not_emulated(f"this filter on {kind.name}")
        )
        # Whoever looks for one among thousands is not to wait for the credentials of all.
        found = ((members["id"], one) for one in kind.all(call.tenant_id) if wanted(members := kind.members(one)))
        return page_of(kind.name, kind.name, found, call, kind.shown)

    def _create(self, call: Call) -> Answer:
        return entity(self._kind.name, self._kind.shown(self._kind.made(call)), 201)

    def _read(self, call: Call) -> Answer:
        return entity(self._kind.name, self._kind.shown(self._found(call)))

    def _change(self, call: Call) -> Answer:
        self._kind.change(self._found(call), call.body)
        return Answer(None, 204)

    def _delete(self, call: Call) -> Answer:
        self._kind.delete(self._found(call))
        return Answer(None, 204)

    def _found(self, call: Call) -> _T:
        return self._kind.find(call.tenant_id, call.names[0])
