"""How a member of an entry is described: once, in its type, for reading, checking, writing and documenting.

An entry is a frozen dataclass. A field's type says which YAML it is; what stands beside it in `Annotated` says the
rest: a plain text what the member means, `Text` how it is spelt, `Ref` what it names, `Between` its bounds, `Words`
what a list may hold. An entry that needs more than each member alone says so in a method `check`.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin, get_type_hints

Json = dict[str, Any]
"""A mapping that a service reads and the scenario does not."""

Form = Literal["text", "flag", "number", "decimal", "choice", "texts", "entries", "entry", "labels", "json"]
REQUIRED: Any = object()
"""The default of a member that has none."""


@dataclass(frozen=True, slots=True)
class Text:
    """How a text is spelt, and the words for that."""

    pattern: re.Pattern[str]
    says: str


@dataclass(frozen=True, slots=True, init=False)
class Ref:
    """The text names an entry of one of these sections. *parent*: it is also what tells entries of one name apart."""

    sections: tuple[str, ...]
    parent: bool

    def __init__(self, *sections: str, parent: bool = False) -> None:
        object.__setattr__(self, "sections", sections)
        object.__setattr__(self, "parent", parent)


@dataclass(frozen=True, slots=True)
class Between:
    """The least and the greatest number."""

    least: float
    most: float


@dataclass(frozen=True, slots=True, init=False)
class Words:
    """What a list of texts may hold, in any letter case."""

    known: tuple[str, ...]

    def __init__(self, *known: str) -> None:
        object.__setattr__(self, "known", known)


class Checked(Protocol):
    """An entry with a rule about several of its members."""

    def check(self) -> Iterator[tuple[str, str]]:
        """What is wrong, each with the member to blame; the empty name blames the entry."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of an entry."""

    attribute: str
    name: str
    """As the file spells it."""
    form: Form
    default: Any
    says: str
    """What it means, for people."""
    spelling: Text | None = None
    ref: Ref | None = None
    bounds: Between | None = None
    words: tuple[str, ...] = ()
    entry: Any = None
    """The type of the entries in it."""

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED


def members(entry: Any) -> tuple[Member, ...]:
    """The members of a type of entries, its name first."""
    return _members(entry)


@cache
def _members(entry: Any) -> tuple[Member, ...]:
    hints = get_type_hints(entry, include_extras=True)
    found = [_member(one, hints[one.name]) for one in dataclasses.fields(entry)]
    return tuple(sorted(found, key=lambda one: one.attribute != "name"))


def camel(attribute: str) -> str:
    """`resource_group` as the file spells it: `resourceGroup`."""
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _member(one: "dataclasses.Field[Any]", hint: Any) -> Member:
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        marks = tuple(rest)
    default = one.default
    if default is dataclasses.MISSING:
        default = REQUIRED if one.default_factory is dataclasses.MISSING else one.default_factory()
    form, words, entry = _form(hint)
    listed = _mark(marks, Words)
    return Member(
        attribute=one.name,
        name=camel(one.name),
        form=form,
        default=default,
        says=_mark(marks, str) or "",
        spelling=_mark(marks, Text),
        ref=_mark(marks, Ref),
        bounds=_mark(marks, Between),
        words=listed.known if listed is not None else words,
        entry=entry,
    )


def _form(hint: Any) -> tuple[Form, tuple[str, ...], Any]:
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(one for one in get_args(hint) if one is not type(None))
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "choice", arguments, None
    if origin is tuple:
        return ("entries", (), arguments[0]) if dataclasses.is_dataclass(arguments[0]) else ("texts", (), None)
    if origin is dict:
        return ("labels" if arguments[1] is str else "json"), (), None
    if dataclasses.is_dataclass(hint):
        return "entry", (), hint
    simple: dict[Any, Form] = {str: "text", bool: "flag", int: "number", float: "decimal"}
    return simple[hint], (), None


def _mark(marks: tuple[Any, ...], kind: type) -> Any:
    return next((one for one in marks if isinstance(one, kind)), None)
