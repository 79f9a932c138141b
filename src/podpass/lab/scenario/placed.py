"""YAML in which every value knows its place, so that every fault can name its line."""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

MAX_BYTES = 1 << 20
# libyaml where PyYAML has it: a megabyte takes the pure parser ten seconds.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_VALUES = 50_000
_MAX_DEPTH = 32
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file."""

    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"line {self.line}, column {self.column}: {where}{self.text}"


class Faults:
    """Collects faults, so that one reading reports them all."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, node: yaml.Node, path: str, text: str) -> None:
        self.found.append(Fault(node.start_mark.line + 1, node.start_mark.column + 1, path, text))


def compose(text: str, faults: Faults) -> yaml.Node | None:
    """The document's root, or None with the reason among *faults*.

    Aliases are refused: a few bytes of them can stand for gigabytes.
    """
    if len(text.encode()) > MAX_BYTES:
        faults.found.append(Fault(1, 1, "", f"the file is larger than {MAX_BYTES} bytes"))
        return None
    try:
        if (fault := _unbounded(text)) is not None:
            faults.found.append(fault)
            return None
        root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        faults.found.append(
            _at(error.problem_mark or error.context_mark, f"not YAML: {error.problem or error.context}")
        )
        return None
    except yaml.YAMLError as error:
        faults.found.append(Fault(1, 1, "", f"not YAML: {type(error).__name__}"))
        return None
    if root is None:
        faults.found.append(Fault(1, 1, "", "the file is empty"))
    return root


def _unbounded(text: str) -> Fault | None:
    """What would make the file costly to read. Looks at the flat stream of events, so nothing is built yet."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            return _at(event.start_mark, "aliases (*name) are not supported")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
        if depth > _MAX_DEPTH or values > _MAX_VALUES:
            return _at(event.start_mark, f"more than {_MAX_VALUES} values, or nested deeper than {_MAX_DEPTH}")
    return None


def _at(mark: Any, text: str) -> Fault:
    # PyYAML's two parsers have a class of marks each.
    return Fault(mark.line + 1, mark.column + 1, "", text) if mark else Fault(1, 1, "", text)


def near(text: str, known: Iterable[str]) -> str:
    """A hint at what may have been meant; empty when nothing comes near."""
    by_key = {one.lower(): one for one in sorted(known)}
    found = difflib.get_close_matches(text.lower(), by_key, n=1, cutoff=0.6)
    return f"; did you mean {by_key[found[0]]}?" if found else ""


class Section:
    """A mapping in the file, read member by member. What was not asked for is a fault when `close` is called."""

    def __init__(self, node: yaml.Node, path: str, faults: Faults) -> None:
        self.node = node
        self.path = path
        self._faults = faults
        self._members: dict[str, yaml.Node] = {}
        self._asked: set[str] = set()
        if not isinstance(node, yaml.MappingNode):
            faults.add(node, path, "must be a mapping")
            return
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name:
                faults.add(key, path, "a member's name must be plain text")
            elif name in self._members:
                faults.add(key, self._at(name), "stands twice")
            else:
                self._members[name] = value

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        return name in self._members

    def fault(self, name: str, text: str) -> None:
        """Report *text* at the member *name*, or at the whole section when the member is absent."""
        self._faults.add(self._members.get(name, self.node), self._at(name), text)

    def text(
        self,
        name: str,
        *,
        default: str | None = None,
        pattern: re.Pattern[str] | None = None,
        says: str = "",
        one_of: tuple[str, ...] = (),
    ) -> str:
        """The member as text. Required unless *default* is given; *says* describes *pattern* in words."""
        self._asked.add(name)
        node = self._members.get(name)
        if node is None:
            if default is None:
                self._faults.add(self.node, self._at(name), "is required")
            return default or ""
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            self.fault(name, "must be text")
            return default or ""
        value: str = node.value
        if one_of and value not in one_of:
            self.fault(name, f"must be one of {', '.join(one_of)}, not {value!r}{near(value, one_of)}")
        if pattern is not None and not pattern.fullmatch(value):
            self.fault(name, f"{value!r} is not {says}")
        return value

    def texts(self, name: str, *, one_of: tuple[str, ...] = ()) -> tuple[str, ...]:
        node = self._asked_for(name)
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            self.fault(name, "must be a list of texts")
            return ()
        for item in node.value:
            if one_of and item.value.lower() not in [word.lower() for word in one_of]:
                self._faults.add(item, self._at(name), f"must be one of {', '.join(one_of)}, not {item.value!r}")
        return tuple(item.value for item in node.value)

    def each(self, name: str, read: Callable[["Section"], T]) -> tuple[T, ...]:
        """The member as a list of mappings, each read by *read*; empty when absent."""
        self._asked.add(name)
        node = self._members.get(name)
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.fault(name, "must be a list")
            return ()
        entries = []
        for index, item in enumerate(node.value):
            section = Section(item, f"{self._at(name)}[{index}]", self._faults)
            entries.append(read(section))
            section.close()
        return tuple(entries)

    def number(self, name: str, *, default: float, least: float, most: float, whole: bool = True) -> float:
        """The member as a number from *least* to *most*."""
        node = self._asked_for(name)
        if node is None:
            return default
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if (_WHOLE if whole else _DECIMAL).fullmatch(text) and least <= (value := float(text)) <= most:
            return int(text) if whole else value
        kind = "a whole number" if whole else "a number"
        self.fault(name, f"{text or 'this'!r} is not {kind} from {least:.0f} to {most:.0f}")
        return default

    def labels(self, name: str) -> dict[str, str]:
        """The member as a mapping of texts; empty when absent."""
        node = self._asked_for(name)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode) or not all(
            isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode) for key, value in node.value
        ):
            self.fault(name, "must be a mapping of texts")
            return {}
        return {key.value: value.value for key, value in node.value}

    def json(self, name: str) -> dict[str, Any]:
        """The member as a mapping of anything that JSON can say; empty when absent."""
        node = self._asked_for(name)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.fault(name, "must be a mapping")
            return {}
        found: dict[str, Any] = self._plain(node, name)
        return found

    def _plain(self, node: yaml.Node, name: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): self._plain(value, name) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, name) for item in node.value]
        assert isinstance(node, yaml.ScalarNode)
        try:
            match node.tag.rpartition(":")[2]:
                case "null":
                    return None
                case "bool":
                    return yaml.constructor.SafeConstructor().construct_yaml_bool(node)
                case "int":
                    return yaml.constructor.SafeConstructor().construct_yaml_int(node)
                case "float":
                    value = yaml.constructor.SafeConstructor().construct_yaml_float(node)
                    if not math.isfinite(value):
                        raise ValueError("JSON has no such number")
                    return value
        except ValueError as error:
            self._faults.add(node, self._at(name), f"{node.value!r} is not a number: {error}")
            return None
        return str(node.value)

    def _asked_for(self, name: str) -> yaml.Node | None:
        self._asked.add(name)
        return self._members.get(name)

    def section(self, name: str) -> "Section | None":
        self._asked.add(name)
        node = self._members.get(name)
        return None if node is None else Section(node, self._at(name), self._faults)

    def close(self) -> None:
        """Report every member nobody asked for."""
        for name, node in self._members.items():
            if name not in self._asked:
                known = ", ".join(sorted(self._asked))
                self._faults.add(node, self._at(name), f"is not known here{near(name, self._asked)}; known are {known}")
