"""Nodes into values, over the functions that a place offers.

Functions see values; the few that see nodes are here: those that leave a branch out, and those that take a lambda.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from podpass.lab.arm.deployments.language.collections import COLLECTIONS
from podpass.lab.arm.deployments.language.dates import DATES
from podpass.lab.arm.deployments.language.errors import ExpressionError, unknown_function
from podpass.lab.arm.deployments.language.numbers import NUMBERS
from podpass.lab.arm.deployments.language.parsing import Call, Literal, Member, Node, is_expression, parse, unescaped
from podpass.lab.arm.deployments.language.registry import (
    Function,
    Functions,
    array,
    boolean,
    check_count,
    mapping,
    text,
)
from podpass.lab.arm.deployments.language.strings import STRINGS
from podpass.lab.arm.deployments.language.values import member, text_of

BUILT_IN: Functions = {**STRINGS, **COLLECTIONS, **NUMBERS, **DATES}

Find = Callable[[Call], Function | None]
"""The function of a place that a call names; None for one that the language itself has."""
_Lazy = Callable[["Evaluation", tuple[Node, ...]], Any]


class Evaluation:
    """Evaluates nodes with the functions that *find* gives, and the built-in ones.

    All methods raise ExpressionError.
    """

    def __init__(self, find: Find, variables: Mapping[str, Any] | None = None) -> None:
        self._find = find
        self._variables = variables or {}

    def text(self, given: str) -> Any:
        """The value of a text of a template: of the expression, or of the text that it is."""
        return self.node(parse(given)) if is_expression(given) else unescaped(given)

    def tree(self, given: Any) -> Any:
        """A JSON value with every text in it evaluated, names of members included."""
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, list):
            return [self.tree(item) for item in given]
        if isinstance(given, dict):
            return {text_of(self.text(name)): self.tree(value) for name, value in given.items()}
        return given

    def node(self, node: Node) -> Any:
        match node:
            case Literal(value):
                return value
            case Member(target, key):
                return member(self.node(target), self.node(key))
            case Call(name, arguments, namespace):
                lazy = None if namespace else _LAZY.get(name.lower())
                if lazy is not None:
                    return lazy(self, arguments)
                function = self._find(node)
                if function is None and not namespace:
                    function = BUILT_IN.get(name.lower())
                if function is None:
                    raise unknown_function(f"{namespace}.{name}" if namespace else name)
                return function([self.node(argument) for argument in arguments])

    def applied(self, function: str, node: Node) -> Callable[..., Any]:
        """The lambda that *node* is, as a callable."""
        if not isinstance(node, Call) or node.name.lower() != "lambda" or not node.arguments:
            raise ExpressionError(f"The template language function '{function}' expects a lambda as its parameter.")
        *names, body = node.arguments
        bound = [text("lambda", self.node(name)) for name in names]

        def apply(*values: Any) -> Any:
            # A lambda with fewer names than values takes the first ones: the index may be left out.
            inner = {**self._variables, **dict(zip(bound, values, strict=False))}
            return Evaluation(self._find, inner).node(body)

        return apply

    def variable(self, name: str) -> Any:
        if name not in self._variables:
            raise ExpressionError(f"The lambda variable '{name}' is not defined here.")
        return self._variables[name]


def _if(run: Evaluation, arguments: tuple[Node, ...]) -> Any:
    check_count("if", 3, 3, len(arguments))
    condition, yes, no = arguments
    return run.node(yes if boolean("if", run.node(condition)) else no)


def _and(run: Evaluation, arguments: tuple[Node, ...]) -> bool:
    check_count("and", 1, len(arguments), len(arguments))
    return all(boolean("and", run.node(argument)) for argument in arguments)


def _or(run: Evaluation, arguments: tuple[Node, ...]) -> bool:
    check_count("or", 1, len(arguments), len(arguments))
    return any(boolean("or", run.node(argument)) for argument in arguments)


def _filter(run: Evaluation, arguments: tuple[Node, ...]) -> list[Any]:
    items, keeps = _over(run, "filter", arguments)
    return [item for at, item in enumerate(items) if boolean("filter", keeps(item, at))]


def _map(run: Evaluation, arguments: tuple[Node, ...]) -> list[Any]:
    items, made = _over(run, "map", arguments)
    return [made(item, at) for at, item in enumerate(items)]


def _sort(run: Evaluation, arguments: tuple[Node, ...]) -> list[Any]:
    items, before = _over(run, "sort", arguments)

    def compared(one: Any, other: Any) -> int:
        if boolean("sort", before(one, other)):
            return -1
        return 1 if boolean("sort", before(other, one)) else 0

    return sorted(items, key=functools.cmp_to_key(compared))


def _reduce(run: Evaluation, arguments: tuple[Node, ...]) -> Any:
    check_count("reduce", 3, 3, len(arguments))
    value = run.node(arguments[1])
    step = run.applied("reduce", arguments[2])
    for at, item in enumerate(array("reduce", run.node(arguments[0]))):
        value = step(value, item, at)
    return value


def _to_object(run: Evaluation, arguments: tuple[Node, ...]) -> dict[str, Any]:
    check_count("toObject", 2, 3, len(arguments))
    key = run.applied("toObject", arguments[1])
    value = run.applied("toObject", arguments[2]) if len(arguments) > 2 else None
    items = array("toObject", run.node(arguments[0]))
    return {text("toObject", key(item)): value(item) if value else item for item in items}


def _map_values(run: Evaluation, arguments: tuple[Node, ...]) -> dict[str, Any]:
    check_count("mapValues", 2, 2, len(arguments))
    made = run.applied("mapValues", arguments[1])
    return {name: made(value) for name, value in mapping("mapValues", run.node(arguments[0])).items()}


def _group_by(run: Evaluation, arguments: tuple[Node, ...]) -> dict[str, list[Any]]:
    items, key = _over(run, "groupBy", arguments)
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(text("groupBy", key(item)), []).append(item)
    return groups


def _lambda_variables(run: Evaluation, arguments: tuple[Node, ...]) -> Any:
    check_count("lambdaVariables", 1, 1, len(arguments))
    return run.variable(text("lambdaVariables", run.node(arguments[0])))


def _over(run: Evaluation, function: str, arguments: tuple[Node, ...]) -> tuple[list[Any], Callable[..., Any]]:
    check_count(function, 2, 2, len(arguments))
    return array(function, run.node(arguments[0])), run.applied(function, arguments[1])


_LAZY: Mapping[str, _Lazy] = {
    "if": _if,
    "and": _and,
    "or": _or,
    "filter": _filter,
    "map": _map,
    "sort": _sort,
    "reduce": _reduce,
    "toobject": _to_object,
    "mapvalues": _map_values,
    "groupby": _group_by,
    "lambdavariables": _lambda_variables,
}
