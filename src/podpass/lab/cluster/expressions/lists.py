"""The functions of CEL about lists and sets. `indexOf` of lists is missing: the strings extension has that name."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from podpass.lab.cluster.expressions.function import INT64, LIST, Function


def _same(one: Any, other: Any) -> bool:
    # In Python True equals 1, in CEL it does not.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _has(elements: Iterable[Any], wanted: Any) -> bool:
    return any(_same(each, wanted) for each in elements)


def _is_sorted(elements: list[Any]) -> bool:
    return all(one <= other for one, other in pairwise(elements))


def _sum(elements: list[Any]) -> Any:
    if not elements:
        return 0
    total = elements[0]
    for each in elements[1:]:
        total = total + each
    if isinstance(total, int) and total not in INT64:
        raise ValueError("integer overflow")
    return total


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def found(elements: list[Any]) -> Any:
        if not elements:
            raise ValueError(f"{name} called on empty list")
        return choose(elements)

    return found


LISTS = (
    Function("isSorted", (LIST,), "bool", _is_sorted, member=True),
    Function("sum", (LIST,), "dyn", _sum, member=True),
    Function("min", (LIST,), "dyn", _extreme("min", min), member=True),
    Function("max", (LIST,), "dyn", _extreme("max", max), member=True),
    Function("sets.contains", (LIST, LIST), "bool", lambda a, b: all(_has(a, each) for each in b)),
    Function("sets.intersects", (LIST, LIST), "bool", lambda a, b: any(_has(a, each) for each in b)),
    Function(
        "sets.equivalent",
        (LIST, LIST),
        "bool",
        lambda a, b: all(_has(a, each) for each in b) and all(_has(b, each) for each in a),
    ),
)
