"""What a federated credential must be to be written, on an application as on a managed identity.

Wrong values are accepted as long as they have the right form; that they match nothing shows at the exchange. Only what
a flexible one may say depends on its issuer.
Contract: azure workload identity, sections 6.2 and 6.4.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from podpass.lab.entra.directory import Tenant
from podpass.lab.entra.flexible import GivenExpression, Holder, expression_of
from podpass.tokens.federation import FederatedCredential

MAX_CREDENTIALS = 20
MAX_TEXT = 600
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a credential can't be written. *message* is for the caller, without the parent's name."""

    kind: Literal["name", "absent", "empty", "long", "audiences", "both", "expression", "full", "taken"]
    member: str
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A federated credential as a request describes it."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    subject: str | None = None
    expression: GivenExpression | None = None


def credential_of(
    wanted: Wanted, siblings: Collection[FederatedCredential], *, holder: Holder, tenant: Tenant | None, is_new: bool
) -> FederatedCredential | Fault:
    """The credential, once nothing is wrong with it beside the parent's other credentials *siblings*.

    *tenant* is the directory it belongs to, which may have rules of its own.
    """
    if NAME.fullmatch(wanted.name) is None:
        return Fault(
            "name",
            "name",
            f"The federated identity credential name '{wanted.name[:120]}' is invalid: it must match "
            "^[a-zA-Z0-9]{1}[a-zA-Z0-9-_]{2,119}$.",
        )
    if (fault := _fault_of_texts(wanted)) is not None:
        return fault
    expression = None
    if wanted.expression is not None:
        any_issuer = tenant is not None and tenant.any_flexible_issuer
        found = expression_of(wanted.expression, wanted.issuer, holder, any_issuer=any_issuer)
        if isinstance(found, str):
            return Fault("expression", "claimsMatchingExpression", found)
        expression = found
    made = FederatedCredential(wanted.name, wanted.issuer, wanted.subject or "", wanted.audiences, expression)
    return _fault_beside(made, siblings, is_new=is_new) or made


def _fault_of_texts(wanted: Wanted) -> Fault | None:
    if len(wanted.audiences) != 1:
        return Fault(
            "audiences",
            "audiences",
            "The number of audiences must be exactly 1 for a federated identity credential; "
            f"{len(wanted.audiences)} were given.",
        )
    texts = {"issuer": wanted.issuer, "audiences": wanted.audiences[0]}
    match wanted.subject, wanted.expression:
        case None, None:
            return Fault("absent", "subject", "Property 'subject' cannot be empty.")
        case None, given:
            assert given is not None
            texts["claimsMatchingExpression"] = given.value
        case subject, None:
            assert subject is not None
            texts["subject"] = subject
        case _:
            return Fault(
                "both",
                "subject",
                "Properties 'subject' and 'claimsMatchingExpression' are mutually exclusive: one of them must be null.",
            )
    for member, text in texts.items():
        if not text:
            return Fault("empty", member, f"The value of '{member}' must not be empty.")
        if len(text) > MAX_TEXT:
            return Fault(
                "long", member, f"The value of '{member}' is too long: at most {MAX_TEXT} characters are allowed."
            )
    return None


def _fault_beside(
    made: FederatedCredential, siblings: Collection[FederatedCredential], *, is_new: bool
) -> Fault | None:
    if is_new and len(siblings) >= MAX_CREDENTIALS:
        return Fault("full", "", f"Too many Federated Identity Credentials: the maximum is {MAX_CREDENTIALS}.")
    for other in siblings:
        if (other.issuer, other.subject, other.expression) == (made.issuer, made.subject, made.expression):
            what = "subject" if made.expression is None else "claims matching expression"
            return Fault(
                "taken",
                "",
                f"Issuer and {what} combination already exists: federated identity credential '{other.name}' has it.",
            )
    return None
