"""What one function of CEL is made of.

The engine has no types of our own making, so a URL, a quantity, an address and a place to ask the authorizer about are
maps with one marking member; equal ones are equal maps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    parameters: tuple[str, ...]
    """Their CEL types; of a member function, the receiver's first."""
    returns: str
    call: Callable[..., Any]
    member: bool = False


LIST, MAP = "list<dyn>", "map<string, dyn>"


def makes(make: Callable[[str], Any]) -> Callable[[str], bool]:
    """Whether a text is what *make* takes."""

    def valid(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return valid


def part(value: dict[str, Any], member: str) -> Any:
    """What stands behind the marking member. Raises ValueError for a map that is something else."""
    try:
        return value[member]
    except (KeyError, TypeError) as error:
        raise ValueError("no such overload") from error
