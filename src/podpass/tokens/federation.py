"""A token against federated credentials: which one trusts it, or which came closest and why not.

The one rule behind the token endpoint's error code, the journal and the remedy a person is shown. Issuer, subject and
audience compare byte for byte; nothing is trimmed, folded or completed. A flexible credential has an expression over
the token's claims in the place of a subject.
Contract: azure workload identity, sections 5.7 and 6.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from podpass.tokens import claims as read
from podpass.tokens.expressions import Expression

Claim = Literal["issuer", "audience", "subject", "expression"]
Kind = Literal["trailing-slash", "letter-case", "white-space", "missing", "other"]
"""How two texts differ; *missing* when the token lacks the claim."""


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Trust in tokens of one issuer, about one subject or with such claims, meant for one of the audiences."""

    name: str
    issuer: str
    subject: str
    """Empty for a flexible credential."""
    audiences: tuple[str, ...]
    expression: Expression | None = None
    """What the claims must be like, of a flexible credential."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One claim, or the expression, that kept a credential from matching."""

    claim: Claim
    kind: Kind
    found: tuple[str, ...]
    """What the token says; of an expression, for each term that does not hold."""
    expected: tuple[str, ...]
    """What the credential says; of an expression, the terms that do not hold."""


@dataclass(frozen=True, slots=True)
class Match:
    """The federated credential that trusts the token."""

    credential: FederatedCredential


@dataclass(frozen=True, slots=True)
class NearMiss:
    """The federated credential that came closest, and the claims that kept it from matching."""

    credential: FederatedCredential
    differences: tuple[Difference, ...]
    """In the order of the checks: issuer, audience, subject or expression. Never empty."""

    @property
    def differs(self) -> tuple[Claim, ...]:
        return tuple(difference.claim for difference in self.differences)

    @property
    def deciding(self) -> Difference:
        """The first difference, which names the error."""
        return self.differences[0]


def match(claims: read.Claims, credentials: Iterable[FederatedCredential]) -> Match | NearMiss | None:
    """The first credential that trusts the token; else the one that came closest; None when there are none.

    Closest is decided in the order of the checks. A credential of the right issuer is closer than any of a wrong
    one, whatever its subject; among equals one that differs by a trailing slash or letter case only is closer, and a
    flexible one is closer than one of a different subject.
    """
    issuer, subject, audiences = read.issuer(claims), read.subject(claims), read.audiences(claims)
    offered = tuple(credentials)
    for credential in offered:
        if (
            credential.issuer == issuer
            # A claim that the token lacks matches nothing, not even an empty text.
            and issuer
            and (
                (credential.subject == subject and subject)
                if credential.expression is None
                else credential.expression.accepts(claims)
            )
            and any(audience in credential.audiences for audience in audiences)
        ):
            return Match(credential)
    closest: tuple[tuple[int, ...], NearMiss] | None = None
    for credential in offered:
        compared = (
            _compare("issuer", (issuer,), (credential.issuer,)),
            _compare("audience", audiences, credential.audiences),
            _compare("subject", (subject,), (credential.subject,))
            if credential.expression is None
            else _compare_expression(credential.expression, claims),
        )
        closeness = tuple(_closeness(difference) for difference in compared)
        if closest is None or closeness > closest[0]:
            differences = tuple(difference for difference in compared if difference is not None)
            closest = (closeness, NearMiss(credential, differences))
    return None if closest is None else closest[1]


def difference_kind(found: str, expected: str) -> Kind:
    """How two texts that are not equal differ; the mildest description that holds."""
    if not found:
        return "missing"
    if found.rstrip("/") == expected.rstrip("/"):
        return "trailing-slash"
    if found.casefold() == expected.casefold():
        return "letter-case"
    if found.strip() == expected.strip():
        return "white-space"
    return "other"


_ORDER: tuple[Kind, ...] = ("missing", "other", "white-space", "letter-case", "trailing-slash")


def _compare(claim: Claim, found: tuple[str, ...], expected: tuple[str, ...]) -> Difference | None:
    if any(value and value in expected for value in found):
        return None
    kinds: list[Kind] = [difference_kind(value, wanted) for value in found for wanted in expected]
    kind: Kind = max(kinds, key=_ORDER.index) if kinds else "missing"
    return Difference(claim, kind, tuple(value for value in found if value), expected)


def _compare_expression(expression: Expression, claims: read.Claims) -> Difference | None:
    refusing = expression.refusing(claims)
    if not refusing:
        return None
    found = tuple(read.text(claims, term.claim) for term in refusing)
    kind: Kind = "other"
    if not all(found):
        kind = "missing"
    elif all(term.accepts_in_another_case(claims) for term in refusing):
        kind = "letter-case"
    return Difference("expression", kind, tuple(value for value in found if value), tuple(map(str, refusing)))


def _closeness(difference: Difference | None) -> int:
    if difference is None:
        return 3
    if difference.kind in ("trailing-slash", "letter-case", "white-space"):
        return 2
    return 1 if difference.claim == "expression" else 0
