"""From a scenario's values to its text, which reads as the same values."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from podpass.lab.scenario.fields import members
from podpass.lab.scenario.model import Scenario

_WIDTH = 120


def write(scenario: Scenario, *, head: Sequence[str] = (), notes: Mapping[str, Sequence[str]] | None = None) -> str:
    """The file that says *scenario*. *head* are comments at its top, *notes* comments above a section, by its name.

    Members that are as they would be without a word are left out.
    """
    parts = ["".join(_comment(line) for line in head) + "version: 1\n"]
    for member in members(Scenario):
        above = "".join(_comment(line) for line in (notes or {}).get(member.name, ()))
        value = getattr(scenario, member.attribute)
        if value in ((), None):
            if above:
                parts.append(above)
            continue
        shown = plain(value) if member.form == "entry" else [plain(entry) for entry in value]
        parts.append(above + yaml.dump({member.name: shown}, Dumper=_Dumper, sort_keys=False, width=_WIDTH))
    return "\n".join(parts)


def plain(entry: Any) -> dict[str, Any]:
    """An entry as the mapping that stands for it in the file."""
    shown: dict[str, Any] = {}
    for member in members(type(entry)):
        value = getattr(entry, member.attribute)
        if not member.is_required and value == member.default:
            continue
        match member.form:
            case "entries":
                shown[member.name] = [plain(one) for one in value]
            case "entry":
                shown[member.name] = plain(value)
            case "texts":
                shown[member.name] = list(value)
            case "json" | "labels":
                shown[member.name] = _sorted(value)
            case _:
                shown[member.name] = value
    return shown


def _sorted(value: Any) -> Any:
    """In an order that does not depend on how it came about."""
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list | tuple) else value


# libyaml where PyYAML has it, as for reading.
_BASE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):  # type: ignore[misc]
    """Text of several lines stands as it is, and no anchors are made: the reader refuses aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # A block can't hold every text: one with spaces before a line's end, or with what is not printable, is quoted.
    clean = all(line == line.rstrip() for line in text.split("\n")) and text.replace("\n", "").isprintable()
    block = "\n" in text and clean and not text.startswith((" ", "\n"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else None)


_Dumper.add_representer(str, _text)


def _comment(line: str) -> str:
    # What comes from a name must not end the comment.
    return "# " + "".join(one if one.isprintable() else "?" for one in line) + "\n"
