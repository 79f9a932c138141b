"""What a federated credential must be to be written, on an application as on a managed identity.

Wrong values are accepted as long as they have the right form; that they match nothing shows at the exchange.
Contract: azure workload identity, section 6.2.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from podpass.tokens.federation import FederatedCredential

MAX_CREDENTIALS = 20
MAX_TEXT = 600
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a credential can't be written. *message* is for the caller, without the parent's name."""

    kind: Literal["name", "empty", "long", "audiences", "full", "taken"]
    member: str
    message: str


def fault_of(made: FederatedCredential, siblings: Collection[FederatedCredential], *, is_new: bool) -> Fault | None:
    """What is wrong with *made*, beside the parent's other credentials *siblings*; None when nothing is."""
    if NAME.fullmatch(made.name) is None:
        return Fault(
            "name",
            "name",
            f"The federated identity credential name '{made.name[:120]}' is invalid: it must match "
            "^[a-zA-Z0-9]{1}[a-zA-Z0-9-_]{2,119}$.",
        )
    texts = [("issuer", made.issuer), ("subject", made.subject)]
    if len(made.audiences) != 1:
        return Fault(
            "audiences",
            "audiences",
            "The number of audiences must be exactly 1 for a federated identity credential; "
            f"{len(made.audiences)} were given.",
        )
    for member, text in (*texts, ("audiences", made.audiences[0])):
        if not text:
            return Fault("empty", member, f"The value of '{member}' must not be empty.")
        if len(text) > MAX_TEXT:
            return Fault(
                "long", member, f"The value of '{member}' is too long: at most {MAX_TEXT} characters are allowed."
            )
    if is_new and len(siblings) >= MAX_CREDENTIALS:
        return Fault("full", "", f"Too many Federated Identity Credentials: the maximum is {MAX_CREDENTIALS}.")
    for other in siblings:
        if (other.issuer, other.subject) == (made.issuer, made.subject):
            return Fault(
                "taken",
                "",
                f"Issuer and subject combination already exists: federated identity credential '{other.name}' has it.",
            )
    return None
