"""How a function of the language is declared: its name, how many arguments it takes, and what it does with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.deployments.language.errors import ExpressionError, wrong_count, wrong_type
from podpass.lab.arm.deployments.language.values import type_name

MANY = 10_000
MAX_TEXT = 131_072
"""The longest text that an expression may make, as in Azure."""
MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class Function:
    """A function over values that have been evaluated."""

    name: str
    least: int
    most: int
    run: Callable[..., Any]

    def __call__(self, arguments: list[Any]) -> Any:
        check_count(self.name, self.least, self.most, len(arguments))
        value = self.run(*arguments)
        if isinstance(value, str):
            check_length(self.name, len(value))
        elif isinstance(value, list) and len(value) > MAX_ITEMS:
            raise ExpressionError(f"The template function '{self.name}' made an array of more than {MAX_ITEMS} items.")
        return value


Functions = Mapping[str, Function]
"""By name in lower case."""


class Group(dict[str, Function]):
    """The functions of one page of the reference."""

    def add(self, name: str, least: int, most: int | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare the function below as *name*, which takes *least* to *most* arguments."""

        def keep(run: Callable[..., Any]) -> Callable[..., Any]:
            self[name.lower()] = Function(name, least, least if most is None else most, run)
            return run

        return keep


def check_count(name: str, least: int, most: int, given: int) -> None:
    if not least <= given <= most:
        wanted = str(least) if least == most else f"at least {least}" if most == MANY else f"{least} to {most}"
        raise wrong_count(name, wanted, given)


def check_length(function: str, length: int) -> None:
    """Raise ExpressionError when a text of this length would be too long; asked before it is made."""
    if length > MAX_TEXT:
        raise ExpressionError(f"The template function '{function}' made a text longer than {MAX_TEXT} characters.")


def text(function: str, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type(function, "String", type_name(value))
    return value


def integer(function: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(function, "Integer", type_name(value))
    return value


def boolean(function: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(function, "Boolean", type_name(value))
    return value


def array(function: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise wrong_type(function, "Array", type_name(value))
    return value


def mapping(function: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type(function, "Object", type_name(value))
    return value


def not_one_of(function: str, wanted: str, value: Any) -> ExpressionError:
    return wrong_type(function, wanted, type_name(value))
