"""What a decision of the token endpoint means to a person: which claim decided, and the problem that names a remedy.

Pure: the journal, its readers and the tests see the same values. Names in `decision` fill the catalogue's braces.
"""

import functools
from dataclasses import replace
from typing import Any

from podpass.azure.resourceids import NotAResourceId, ResourceId
from podpass.lab.entra.client_credentials import ClientCertificate, ClientSecret, Platform
from podpass.lab.entra.errors import error_text, wire_code
from podpass.lab.entra.model import Asked, Grant, Refusal
from podpass.lab.journal import Hop
from podpass.tokens import trust
from podpass.tokens.client import Fetch
from podpass.tokens.discovery import discovery_url
from podpass.tokens.federation import FederatedCredential

PROBLEMS = {
    70025: trust.problem_of(None),
    7000226: trust.problem_of(None),
    700024: "PP207",
    50166: "PP208",
    70024: "PP208",
    7000272: "PP209",
    700027: "PP210",
    50027: "PP211",
    5002730: "PP211",
    700016: "PP212",
    700038: "PP212",
    90002: "PP213",
    900021: "PP213",
    900023: "PP213",
    900191: "PP213",
    500011: "PP214",
    70022: "PP215",
}


def problem_of(refusal: Refusal) -> str:
    """The catalogue's code for a refusal, or an empty string."""
    if refusal.near_miss is not None:
        return trust.problem_of(refusal.near_miss)
    return PROBLEMS.get(refusal.code, "")


def why(outcome: Grant | Refusal) -> str:
    """One sentence naming what decided."""
    if isinstance(outcome, Grant):
        match outcome.credential:
            case ClientSecret(key_id=key_id):
                return f"The client secret is the one with the key id {key_id}."
            case Platform():
                return "The platform vouches for the machine that holds the identity."
            case ClientCertificate(key_id=key_id):
                return f"The key of the certificate with the key id {key_id} made the signature."
            case FederatedCredential(name=name, expression=None):
                return (
                    f"Issuer, subject and audience equal those of the federated credential {name}, and the issuer's key"
                    " made the signature."
                )
            case FederatedCredential(name=name):
                return (
                    f"Issuer and audience equal those of the flexible federated credential {name}, its expression"
                    " accepts the token's claims, and the issuer's key made the signature."
                )
    if outcome.near_miss is not None:
        return trust.sentence(outcome.near_miss)
    return error_text(outcome.code, outcome.values)


def decision(outcome: Grant | Refusal) -> dict[str, Any]:
    """The claims compared, with the names of everything concerned."""
    asked = outcome.asked
    values: dict[str, Any] = {
        "tenant": asked.tenant,
        "client_id": asked.client_id,
        **_identity(asked),
        "scope": asked.scope,
        **trust.claim_values(asked.claims),
    }
    if asked.token is not None:
        values["kid"] = asked.token.kid
    if asked.match is not None:
        values |= trust.credential_values(asked.match.credential)
        values["compared"] = trust.compared(asked.claims, asked.match.credential)
    if isinstance(outcome, Refusal):
        values["differs"] = [] if outcome.near_miss is None else list(outcome.near_miss.differs)
        if asked.application is not None:
            values["holder"] = asked.application.kind
            changed = problem_of(outcome) in trust.MENDED_BY_CHANGE
            name = values["credential"] if changed else trust.new_credential_name(asked.claims)
            values["trust"] = trust.wanted(asked.claims, name)
        # The values of the error's text; what is already named keeps its meaning.
        return {**outcome.values, **values}
    return {
        **values,
        "resource": outcome.audience,
        "expires_in": outcome.expires_in,
        "token_version": outcome.version,
    }


def hop(outcome: Grant | Refusal, *, issued: str = "") -> Hop:
    """The journal's record of a decision. *issued* is the access token's fingerprint."""
    asked = outcome.asked
    values = decision(outcome)
    refused = isinstance(outcome, Refusal)
    return Hop(
        who=values["subject"] or (f"client {asked.client_id}" if asked.client_id else "somebody"),
        whom="entra",
        what=f"token for {asked.scope}" if asked.scope else "token",
        outcome="refused" if refused else "granted",
        why=why(outcome),
        decision=values if refused else {**values, "issued": issued},
        wire=wire_code(outcome.code) if isinstance(outcome, Refusal) else "",
        problem=problem_of(outcome) if isinstance(outcome, Refusal) else "",
    )


def not_seen_yet(refused: Hop, awaited: FederatedCredential) -> Hop:
    """The record of a refusal that only the directory's delay explains."""
    why = f"The federated credential {awaited.name} trusts this token, but the token endpoint does not see it yet."
    return replace(refused, why=why, decision={**refused.decision, **trust.credential_values(awaited)}, problem="PP218")


def fetch_hop(fetch: Fetch) -> Hop:
    """The journal's record of one request to an issuer."""
    what = "discovery document" if fetch.step == "discovery" else "keys"
    values: dict[str, Any] = {"issuer": fetch.issuer, "url": fetch.url, "seconds": fetch.seconds}
    if fetch.failure:
        return Hop(
            who="entra",
            whom="issuer",
            what=f"{what} of {fetch.issuer}",
            outcome="failed",
            why=fetch.failure,
            decision={**values, "reason": fetch.failure, "discovery_url": discovery_url(fetch.issuer)},
            problem="PP208",
        )
    if fetch.kids:
        values["kids"] = list(fetch.kids)
    return Hop(who="entra", whom="issuer", what=f"{what} of {fetch.issuer}", outcome="done", decision=values)


def _identity(asked: Asked) -> dict[str, str]:
    """The application's name and, of a managed identity, the values that commands name it by."""
    if asked.application is None:
        return {}
    named = {"name": asked.application.display_name}
    if asked.application.resource_id and (place := _place(asked.application.resource_id)):
        named["identity"], named["resource_group"] = place
    return named


@functools.lru_cache(maxsize=1024)
def _place(resource_id: str) -> tuple[str, str] | None:
    """A managed identity's name and resource group."""
    try:
        parsed = ResourceId.parse(resource_id)
    except NotAResourceId:
        return None
    return parsed.name, parsed.group
