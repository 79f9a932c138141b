"""The functions of the language that depend on where an expression stands: on parameters, loops, time and state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from podpass.lab.arm.deployments.language import dates
from podpass.lab.arm.deployments.language.errors import ExpressionError, RuntimeNeeded
from podpass.lab.arm.deployments.language.registry import Function, integer, text
from podpass.lab.arm.deployments.language.values import key_of


class Runtime(Protocol):
    """The state of resources, where a template may ask for it. All raise ExpressionError or ArmError."""

    def reference(self, resource: str, api_version: str, *, full: bool) -> Any: ...

    def references(self, collection: str, *, full: bool) -> list[Any]: ...

    def listed(self, function: str, resource: str, api_version: str, body: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Loops:
    """The copy loops around a place: the index in each, and the one that copyIndex() without a name means."""

    indexes: Mapping[str, int] = field(default_factory=dict)
    current: str = ""

    def inside(self, name: str, index: int, *, of_resource: bool = False) -> "Loops":
        return Loops({**self.indexes, name.lower(): index}, name.lower() if of_resource else self.current)


def looked_up(function: str, values: Mapping[str, Any]) -> Function:
    def look_up(name: Any) -> Any:
        key = key_of(values, text(function, name))
        if key is None:
            raise ExpressionError(
                f"The template parameter '{name}' is not found. Please see "
                "https://aka.ms/arm-template/#parameters for usage details."
            )
        return values[key]

    return Function(function, 1, 1, look_up)


def utc_now(now: float) -> Function:
    def shown(form: Any = dates.DEFAULT_FORMAT) -> str:
        return dates.shown(datetime.fromtimestamp(now, UTC), text("utcNow", form) or dates.DEFAULT_FORMAT)

    return Function("utcNow", 0, 1, shown)


def copy_index(loops: Loops, *given: Any) -> int:
    name, offset = loops.current, 0
    match given:
        case [str() as name, other]:
            offset = integer("copyIndex", other)
        case [str() as name]:
            pass
        case [other]:
            offset = integer("copyIndex", other)
    index = loops.indexes.get(name.lower())
    if index is None:
        raise ExpressionError(
            "The template language function 'copyIndex' has an invalid argument or is used outside a copy loop. "
            "Please see https://aka.ms/arm-resource-loops for usage details."
        )
    return index + offset


def runtime_functions(runtime: Runtime | None) -> dict[str, Function]:
    """reference() and references(), by name in lower case; without *runtime* they refuse."""

    def reference(resource: Any, version: Any = "", full: Any = "") -> Any:
        if runtime is None:
            raise RuntimeNeeded("reference")
        is_full = text("reference", full).lower() == "full"
        return runtime.reference(text("reference", resource), text("reference", version or ""), full=is_full)

    def references(collection: Any, full: Any = "") -> Any:
        if runtime is None:
            raise RuntimeNeeded("references")
        return runtime.references(text("references", collection), full=text("references", full).lower() == "full")

    return {
        "reference": Function("reference", 1, 3, reference),
        "references": Function("references", 1, 2, references),
    }


def listing(name: str, runtime: Runtime | None) -> Function:
    def run(resource: Any, version: Any = "", body: Any = None) -> Any:
        if runtime is None:
            raise RuntimeNeeded(name)
        return runtime.listed(name, text(name, resource), text(name, version or ""), body)

    return Function(name, 1, 3, run)
