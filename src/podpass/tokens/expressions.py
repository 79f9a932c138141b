"""Claims matching expressions: which tokens a flexible federated credential trusts, besides issuer and audience.

    claims['sub'] matches 'repo:contoso/*:ref:refs/heads/main' and claims['repository_id'] eq '456789'

One space between the parts, no brackets, no `or`. In a comparand `''` is a quote; after `matches` a `*` stands for any
run of characters and a `?` for one. Letter case counts everywhere.
Contract: azure workload identity, section 6.4; which issuers and claims are allowed is not the language's business.
"""

import functools
import re
from dataclasses import dataclass
from typing import Literal

from podpass.tokens import claims as read

Operator = Literal["eq", "matches"]
LANGUAGE_VERSION = 1

_OPERATORS: dict[str, Operator] = {"eq": "eq", "matches": "matches"}
_LOOKUP = re.compile(r"claims\['([^'\[\]]{1,128})'\] ")
_OPERATOR = re.compile(r"([A-Za-z]{1,32}) '")
_COMPARAND = re.compile(r"((?:[^']|'')*+)'")
_AND = " and "


@dataclass(frozen=True, slots=True)
class Term:
    """What one claim must be like."""

    claim: str
    operator: Operator
    comparand: str
    """Without its quotes, and a doubled one undone."""

    def __str__(self) -> str:
        comparand = self.comparand.replace("'", "''")
        return f"claims['{self.claim}'] {self.operator} '{comparand}'"

    def accepts(self, claims: read.Claims) -> bool:
        """Whether the token's claim is so. One that is missing, empty or no text never is."""
        value = read.text(claims, self.claim)
        if self.operator == "eq":
            return bool(value) and value == self.comparand
        return bool(value) and _pattern(self.comparand).match(value) is not None

    def accepts_in_another_case(self, claims: read.Claims) -> bool:
        """Whether only letter case keeps the token's claim from being so."""
        folded = Term(self.claim, self.operator, self.comparand.casefold())
        return folded.accepts({self.claim: read.text(claims, self.claim).casefold()})


@dataclass(frozen=True, slots=True)
class Expression:
    """Terms that must all hold; there is at least one."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return _AND.join(map(str, self.terms))

    def accepts(self, claims: read.Claims) -> bool:
        return all(term.accepts(claims) for term in self.terms)

    def refusing(self, claims: read.Claims) -> tuple[Term, ...]:
        """The terms that do not hold."""
        return tuple(term for term in self.terms if not term.accepts(claims))


@dataclass(frozen=True, slots=True)
class BadExpression:
    """Why a text is no expression, and at which of its characters, counted from 0."""

    reason: str
    position: int


def parse(text: str) -> Expression | BadExpression:
    """The expression that *text* is. `str` of it gives the same text back."""
    terms: list[Term] = []
    at = 0
    while True:
        term = _term(text, at)
        if isinstance(term, BadExpression):
            return term
        found, at = term
        terms.append(found)
        if at == len(text):
            return Expression(tuple(terms))
        if not text.startswith(_AND, at):
            return BadExpression("only ' and ' may stand between two terms", at)
        at += len(_AND)


def _term(text: str, at: int) -> tuple[Term, int] | BadExpression:
    lookup = _LOOKUP.match(text, at)
    if lookup is None:
        return BadExpression("a term begins with claims['NAME'] and one space", at)
    operator = _OPERATOR.match(text, lookup.end())
    if operator is None:
        return BadExpression("an operator, one space and a comparand in single quotes are wanted", lookup.end())
    if operator[1] not in _OPERATORS:
        return BadExpression(f"the operator '{operator[1]}' is neither eq nor matches", lookup.end())
    comparand = _COMPARAND.match(text, operator.end())
    if comparand is None:
        return BadExpression("the comparand has no closing quote", operator.end())
    if not comparand[1]:
        return BadExpression("the comparand is empty", operator.end())
    return Term(lookup[1], _OPERATORS[operator[1]], comparand[1].replace("''", "'")), comparand.end()


# The same few credentials are asked again and again.
@functools.lru_cache(maxsize=4096)
def _pattern(comparand: str) -> re.Pattern[str]:
    """Whole texts that *comparand* stands for.

    Each run of fixed text is looked for once and never again further on, so no comparand takes long on any claim.
    """
    first, *rest = [_fixed(piece) for piece in re.split(r"\*+", comparand)]
    if not rest:
        return re.compile(rf"{first}\Z", re.DOTALL)
    *middle, last = rest
    searched = "".join(f"(?>.*?{piece})" for piece in middle)
    return re.compile(rf"{first}{searched}.*{last}\Z", re.DOTALL)


def _fixed(piece: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in piece)
