"""Which claims matching expressions Entra takes, by the issuer and by whose credential it is.

The language itself is `podpass.tokens.expressions`. Contract: azure workload identity, section 6.4, and the vendor's
page on flexible credentials as of August 2026, which since then asks for an immutable id in those of GitHub.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from podpass.tokens import expressions
from podpass.tokens.expressions import Expression, Operator

Holder = Literal["application", "managed-identity"]
Operators = frozenset[Operator]

_BOTH: Operators = frozenset({"eq", "matches"})
_EQ: Operators = frozenset({"eq"})
_IDS = frozenset({"repository_id", "repository_owner_id"})
_SUBJECT = frozenset({"sub"})


class GivenExpression(msgspec.Struct, frozen=True, rename="camel"):
    """`claimsMatchingExpression` as requests hold it."""

    value: str
    language_version: int


@dataclass(frozen=True, slots=True)
class Support:
    """What may stand in expressions for one kind of issuer."""

    issuer: re.Pattern[str]
    claims: Mapping[str, Operators]
    required: tuple[frozenset[str], ...] = ()
    """Of each set one claim at least must be matched."""

    def allows(self, expression: Expression) -> bool:
        named = {term.claim for term in expression.terms}
        return all(term.operator in self.claims.get(term.claim, ()) for term in expression.terms) and all(
            named & one_of for one_of in self.required
        )


_GITHUB = re.compile(r"https://token\.actions\.githubusercontent\.com")
_ELSEWHERE = (
    Support(re.compile(r"https://gitlab(?:\.com|(?:\.[A-Za-z0-9-]+)+\.(?:com|ca))"), {"sub": _BOTH}),
    Support(re.compile(r"https://app(?:\.eu)?\.terraform\.io"), {"sub": _BOTH}),
)
_SUPPORTED: Mapping[Holder, tuple[Support, ...]] = {
    "application": (
        Support(
            _GITHUB,
            {"sub": _BOTH, "job_workflow_ref": _BOTH, "repository_id": _EQ, "repository_owner_id": _EQ},
            (_SUBJECT, _IDS),
        ),
        *_ELSEWHERE,
    ),
    # No managed identity takes the ids that credentials for GitHub must name, so none can trust it flexibly.
    "managed-identity": (Support(_GITHUB, {"sub": _BOTH}, (_SUBJECT, _IDS)), *_ELSEWHERE),
}
_ANY = Support(re.compile(r".*", re.DOTALL), {"sub": _BOTH})


def expression_of(given: GivenExpression, issuer: str, holder: Holder, *, any_issuer: bool = False) -> Expression | str:
    """The expression of a credential for *issuer*, or the sentences that refuse it.

    With *any_issuer*, which only a lab offers, issuers that the vendor does not support may be matched by `sub`.
    """
    if given.language_version != expressions.LANGUAGE_VERSION:
        return (
            "The FederatedIdentityCredential.ClaimsMatchingExpression.LanguageVersion is invalid. The only language "
            f"version is {expressions.LANGUAGE_VERSION}."
        )
    expression = expressions.parse(given.value)
    if isinstance(expression, expressions.BadExpression):
        return _invalid(f"{expression.reason}, at position {expression.position}.")
    support = next((one for one in _SUPPORTED[holder] if one.issuer.fullmatch(issuer)), _ANY if any_issuer else None)
    if support is None:
        return _invalid(f"Expressions are not supported for issuer '{issuer[:200]}'.")
    if not support.allows(expression):
        return _invalid(
            f"Expression configured for issuer '{issuer[:200]}' either lacks all required claims or contains unallowed "
            "claims."
        )
    return expression


def shown(expression: Expression) -> dict[str, object]:
    """The expression as answers hold it."""
    return {"value": str(expression), "languageVersion": expressions.LANGUAGE_VERSION}


def _invalid(exception: str) -> str:
    return f"The FederatedIdentityCredential.ClaimsMatchingExpression.Value is invalid. Rule exception: {exception}"
