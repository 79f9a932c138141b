"""How entries are named, and found by what other entries call them.

An entry's path is that of what holds it, followed by its own name: tenant, subscription, group, vault. A reference is
the end of a path, as short as is unambiguous: `orders`, `shop/orders`, `production/shop/orders`. Letter case does not
count.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from podpass.lab.scenario.fields import members

T = TypeVar("T")
Path = tuple[str, ...]


@dataclass(slots=True)
class Index(Generic[T]):
    """What there is of each section, by path."""

    _known: dict[str, dict[Path, tuple[Path, T]]] = field(default_factory=dict)

    def add(self, section: str, path: Path, value: T) -> bool:
        """Keep *value*; False when the path is taken, and *value* takes its place."""
        known = self._known.setdefault(section, {})
        key = _key(path)
        free = key not in known
        known[key] = (path, value)
        return free

    def find(self, sections: tuple[str, ...], reference: str) -> list[tuple[Path, T]]:
        """Everything that *reference* may mean: one when it is right. A whole path means that and nothing longer."""
        wanted = _key(tuple(reference.split("/")))
        every = [self._known.get(section, {}) for section in sections]
        whole = [known[wanted] for known in every if wanted in known]
        return whole or [held for known in every for key, held in known.items() if key[-len(wanted) :] == wanted]

    def references(self, sections: tuple[str, ...]) -> list[str]:
        """How each entry of the sections may be called, at its shortest."""
        return [
            self.reference(path, section, *sections)
            for section in sections
            for path, _ in self._known.get(section, {}).values()
        ]

    def reference(self, path: Path, section: str, *beside: str) -> str:
        """The shortest text that means the *path* of *section* where it may mean one of the sections *beside*, too."""
        sections = tuple(dict.fromkeys((section, *beside)))
        for length in range(1, len(path) + 1):
            text = "/".join(path[-length:])
            if [held for held, _ in self.find(sections, text)] == [path]:
                return text
        return "/".join(path)


def path_of(entry: Any, index: Index[Any]) -> Path:
    """The path of an entry whose parent is in *index*; its name alone where the parent can't be found."""
    for member in members(type(entry)):
        if member.ref is not None and member.ref.parent:
            held = index.find(member.ref.sections, getattr(entry, member.attribute))
            if len(held) == 1:
                return (*held[0][0], entry.name)
    return (entry.name,)


def _key(path: Path) -> Path:
    return tuple(part.lower() for part in path)
