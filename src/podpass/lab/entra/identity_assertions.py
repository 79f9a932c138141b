"""Assertions that this authority issued itself: an application may trust a managed identity's token.

The credential names the authority as issuer, the identity's object id as subject, and the exchange as audience, which
the token carries as that service's client id. Every other token of the authority is refused.
Contract: azure workload identity, section 5.6 (700222 to 700229, 7000226, 7000227, 7002137).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from podpass.lab.entra.directory import Application
from podpass.lab.entra.resources import EXCHANGE, EXCHANGE_ID
from podpass.tokens import claims as read
from podpass.tokens.federation import FederatedCredential, Match, NearMiss, match


@dataclass(frozen=True, slots=True)
class NotTrusted:
    """Why the token signs nobody in: the AADSTS code, and what came closest."""

    code: int
    near: NearMiss | None = None


def trusted(
    claims: read.Claims, holder: Application | None, target: Application, credentials: Iterable[FederatedCredential]
) -> Match | NotTrusted:
    """Whether *target* trusts a token of *holder*, whose object id it names; None where nobody has that id."""
    if "scp" in claims or read.text(claims, "idtyp") == "user":
        return NotTrusted(700229)
    if holder is None or holder.kind != "managed-identity" or target.kind != "application":
        return NotTrusted(700222)
    audiences = [EXCHANGE if audience == EXCHANGE_ID else audience for audience in read.audiences(claims)]
    found = match({**claims, "aud": audiences}, credentials)
    match found:
        case Match():
            return found
        case None:
            return NotTrusted(7000226)
        case NearMiss(deciding=decided):
            return NotTrusted(7000227 if decided.claim in ("issuer", "audience") else 7002137, found)
