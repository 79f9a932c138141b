"""Requests that the stock az sends, as vectors: what is recorded of each, and how a machine without az sends it again.

What differs from lab to lab is a name in braces: {subscription}, {tenant}, {operator}, {issuer}, {assertion}; {new-…}
is a GUID that az makes; {given-…} is one that the lab gave before, in the answer that *learns* names it. A URL
{follow:…} is the one in that header of the answer before. Of an answer the status and the shape are kept, no value.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podpass.lab.arm.roles import BY_GUID

VECTORS = Path(__file__).parent / "vectors" / "az_requests.json"
HEADERS = ("accept", "content-type", "metadata", "prefer", "if-match", "if-none-match", "x-http-method-override")
FOLLOWED = ("azure-asyncoperation", "location")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=/)[0-9a-f]{32}(?=[/?\"]|$)", re.I)
_NAME = re.compile(r"\{((?:given|new)-\d+|subscription|tenant|operator|issuer|assertion)\}")


def shape(value: Any) -> Any:
    """What kind of JSON *value* is: members by name, the first of a list, a type's name for a plain value."""
    match value:
        case dict():
            return {name: shape(member) for name, member in value.items()}
        case list():
            return [shape(member) for member in value[:1]]
        case None:
            return None
    return type(value).__name__


def misfit(expected: Any, value: Any, at: str = "$") -> str:
    """Where *value* lacks what *expected*, a shape, has; empty when it lacks nothing."""
    match expected:
        case None:
            return ""
        case dict():
            if not isinstance(value, dict):
                return f"{at} is no object"
            found = (
                misfit(member, value[name], f"{at}.{name}") if name in value else f"{at}.{name} is missing"
                for name, member in expected.items()
            )
            return next(filter(None, found), "")
        case list():
            if not isinstance(value, list) or len(value) < len(expected):
                return f"{at} is no list, or an empty one"
            return next(filter(None, (misfit(one, value[0], f"{at}[0]") for one in expected)), "")
    return "" if type(value).__name__ == expected or value is None else f"{at} is no {expected}"


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts in *value*, decoded JSON, with the way to each."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, (*path, name))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from leaves(member, (*path, number))


@dataclass
class Names:
    """The values that stand for names, and the names that stand for values."""

    known: dict[str, str]
    """Value by name."""
    origins: dict[str, tuple[dict[str, Any], list[str | int], int]] = field(default_factory=dict)
    """Where each id that the lab gave was first seen: the exchange, the way to the text, which id of the text."""

    def seen(self, exchange: dict[str, Any], answer: Any) -> None:
        """Remember the ids in *answer*; one gets a name once a later request holds it."""
        for path, text in leaves(answer):
            for number, found in enumerate(_ID.findall(text)):
                self.origins.setdefault(found.lower(), (exchange, list(path), number))

    def named(self, text: str, *, only_known: bool = False) -> str:
        """*text* with names for values; other ids get new ones, unless *only_known*."""
        for name, value in sorted(self.known.items(), key=lambda item: -len(item[1])):
            text = re.sub(re.escape(value), f"{{{name}}}", text, flags=re.IGNORECASE)
        return text if only_known else _ID.sub(lambda found: self._name(found[0]), text)

    def _name(self, value: str) -> str:
        origin = self.origins.get(value.lower())
        if value in self.known.values():
            return f"{{{next(name for name, known in self.known.items() if known == value)}}}"
        if _is_constant(value):
            return value
        name = f"{'given' if origin else 'new'}-{len(self.known)}"
        self.known[name] = value
        if origin:
            exchange, path, number = origin
            exchange.setdefault("learns", {})[name] = [*path, number]
        return f"{{{name}}}"

    def filled(self, text: str) -> str:
        """*text* with values for names; a new one gets a value."""

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("new-"):
                self.known.setdefault(name, str(uuid.uuid4()))
            return self.known[name]

        return _NAME.sub(value, text)

    def learn(self, exchange: dict[str, Any], answer: Any) -> None:
        """Take the values that *exchange* says are in *answer*."""
        for name, (*path, number) in exchange.get("learns", {}).items():
            text = answer
            for step in path:
                text = text[step]
            self.known[name] = _ID.findall(text)[number]


def _is_constant(value: str) -> bool:
    """Whether it is the id of a built-in role or application, the same in every lab."""
    return value.lower() in BY_GUID or value.startswith("00000")


def load() -> dict[str, Any]:
    return json.loads(VECTORS.read_text())


def save(version: str, commands: list[dict[str, Any]]) -> None:
    text = json.dumps({"azure_cli": version, "commands": commands}, indent=1, ensure_ascii=False)
    VECTORS.write_text(text + "\n")
