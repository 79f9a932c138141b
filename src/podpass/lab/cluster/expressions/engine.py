"""CEL, the expression language of admission policies, match conditions and custom resources.

An expression is compiled once against the types of its variables and evaluated over plain values. What is wrong with
it, or with a value it met, is a value that carries the API server's words. The engine is imported at the first
expression. Contract: Kubernetes API surface, section 3.2.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 10_000
"""The engine takes time in proportion to the text: this much is read in less than a tenth of a second."""
OVER_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"

_ENGINE_CODE = re.compile(r"\A(?!ERROR: )[A-Z_]+: |\s*\[[A-Z_]+\]\Z")
_UNDECLARED = re.compile(
    r"<input>:(\d+):(\d+): undeclared reference to '([^'.]+)\.([^']+)' \(in container ''\)\n( \| .*\n) \| \.*\^"
)
"""The engine takes a chain of names for one; the API server names its first, or the member that is not there."""
_WORDS = (
    (re.compile(r'Key not found in map : "(.*)"', re.DOTALL), r"no such key: \1"),
    (re.compile(r"Key not found in map : (\S+)"), r"no such key: \1"),
    (re.compile(r"Index error: index=(-?\d+) size=\d+"), r"index out of bounds: \1"),
    (re.compile(r"divide by zero"), "division by zero"),
    (re.compile(r"No matching overloads found.*", re.DOTALL), "no such overload"),
    (re.compile(r'No value with name "([^"]*)" found in Activation'), r"no such attribute(s): \1"),
)
"""The engine's errors, and what the API server calls them."""


@dataclass(frozen=True, slots=True)
class NotCompiled:
    """Not an expression, or not of a type that is wanted; *why* is the text of a field error."""

    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The evaluation met an error: a missing key, an index out of bounds, a function that refused its argument."""

    why: str
    over_budget: bool = False
    """It took more iterations than one evaluation may."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was compiled."""

    text: str
    result: str
    """The type of its value as CEL writes it: `bool`, `list(string)`, `dyn`."""
    _compiled: Any = field(repr=False, compare=False)

    def evaluate(self, values: Mapping[str, Any]) -> Any | Failed:
        """Its value as plain data. *values* are those of the variables it was compiled with."""
        try:
            # Only a real dict is taken for one; anything else is an error of the engine.
            found = self._compiled.eval(data=dict(values))
            kind = found.type().name()
            value = found.plain_value()
        except (RuntimeError, TypeError, ValueError) as error:
            text = _plain(str(error))
            if "budget exceeded" in text:
                return Failed(OVER_BUDGET, over_budget=True)
            return Failed(text)
        # The engine gives an error as a value, and every such value is true.
        if kind in ("ERROR", "UNKNOWN"):
            return Failed(_worded(str(value)))
        return value

    def holds(self, values: Mapping[str, Any]) -> bool | Failed:
        """Whether it is true, and nothing that merely counts as true."""
        found = self.evaluate(values)
        return found if isinstance(found, Failed) else found is True


def compiled(
    text: str, variables: Mapping[str, str], returns: Sequence[str] = (), *, functions: bool = True
) -> Expression | NotCompiled:
    """The expression, checked against the types of *variables* (`string`, `list<int>`, `map<string, dyn>`, `dyn`).

    *returns* are the types its value may have, in the same spelling; empty means any. A name with a dot in it is one
    variable (`variables.limit`). Without *functions* only the language's own are known, which is what `matches` needs.
    """
    if len(text) > MAX_CHARACTERS:
        return NotCompiled(
            f"compilation failed: expression code point size exceeds limit: size: {len(text)}, limit {MAX_CHARACTERS}"
        )
    return _compiled(text, tuple(variables.items()), tuple(returns), functions)


@lru_cache(maxsize=512)
def _compiled(
    text: str, variables: tuple[tuple[str, str], ...], returns: tuple[str, ...], functions: bool
) -> Expression | NotCompiled:
    environment = _environment(variables, functions)
    try:
        found = environment.compile(text)
    except RuntimeError as error:
        return NotCompiled(f"compilation failed: {_UNDECLARED.sub(_undeclared, _plain(str(error)))}")
    result = _type_name(found.return_type().name())
    if returns and result not in {_type_name(each) for each in returns}:
        names = [_type_name(each) for each in returns]
        wanted = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
        return NotCompiled(f"must evaluate to {wanted} but got {result}")
    return Expression(text, result, found)


@lru_cache(maxsize=64)
def _environment(variables: tuple[tuple[str, str], ...], functions: bool) -> Any:
    from cel_expr_python import cel

    types = {name: cel.Type(kind) for name, kind in variables}
    if not functions:
        return cel.NewEnv(variables=types)
    from podpass.lab.cluster.expressions.functions import declarations, extensions

    return cel.NewEnv(variables=types, functions=declarations(), extensions=extensions())


def matches(pattern: str, text: str) -> bool | None:
    """Whether the RE2 *pattern* is found in *text*, in linear time; None when it is no pattern."""
    expression = compiled("text.matches(pattern)", {"text": "string", "pattern": "string"}, functions=False)
    assert isinstance(expression, Expression)
    found = expression.evaluate({"text": text, "pattern": pattern})
    return None if isinstance(found, Failed) else found is True


def _type_name(engine: str) -> str:
    name = engine.lower().replace("<", "(").replace(">", ")")
    return "null_type" if name == "null" else name


def _plain(text: str) -> str:
    return _ENGINE_CODE.sub("", text)


def _undeclared(found: re.Match[str]) -> str:
    line, column, root, rest, source = found.groups()
    at, what = int(column), f"undefined field '{rest}'"
    if root != "variables":
        at -= len(f"{root}.{rest}".rpartition(".")[0])
        what = f"undeclared reference to '{root}' (in container '')"
    return f"<input>:{line}:{max(at, 1)}: {what}\n{source} | {'.' * (max(at, 1) - 1)}^"


def _worded(text: str) -> str:
    text = _plain(text)
    for pattern, words in _WORDS:
        if pattern.search(text):
            return pattern.sub(words, text)
    return text
