"""What a decision of the token endpoint means to a person: which claim decided, and the problem that names a remedy.

Pure: the journal, its readers and the tests see the same values. Names in `decision` fill the catalogue's braces.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from podpass.azure.resourceids import NotAResourceId, ResourceId
from podpass.lab.entra.errors import error_text, wire_code
from podpass.lab.entra.model import Asked, Grant, Refusal
from podpass.lab.journal import Hop
from podpass.tokens import claims as read
from podpass.tokens.client import Fetch
from podpass.tokens.discovery import discovery_url
from podpass.tokens.federation import FederatedCredential, Kind, Match, NearMiss, difference_kind

PROBLEMS = {
    700212: "PP203",
    700213: "PP204",
    7002138: "PP205",
    70025: "PP206",
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
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")

_HOW: Mapping[Kind, str] = {
    "trailing-slash": "they differ only by the slash at the end",
    "letter-case": "they differ only in letter case",
    "white-space": "they differ only by white space",
    "missing": "the token has none",
    "other": "they are different",
}


def problem_of(refusal: Refusal) -> str:
    """The catalogue's code for a refusal, or an empty string."""
    if refusal.code == 700211:
        near = refusal.near_miss
        return "PP201" if near is not None and near.deciding.kind == "trailing-slash" else "PP202"
    return PROBLEMS.get(refusal.code, "")


def why(outcome: Grant | Refusal) -> str:
    """One sentence naming what decided."""
    if isinstance(outcome, Grant):
        return (
            f"Issuer, subject and audience equal those of the federated credential {outcome.credential.name},"
            " and the issuer's key made the signature."
        )
    near = outcome.near_miss
    if near is None:
        return error_text(outcome.code, outcome.values)
    decided = near.deciding
    found, expected = " ".join(decided.found) or "nothing", " or ".join(decided.expected)
    return (
        f"The {decided.claim} decided: the token says {found}, the federated credential {near.credential.name}"
        f" says {expected}; {_HOW[decided.kind]}."
    )


def decision(outcome: Grant | Refusal) -> dict[str, Any]:
    """The claims compared, with the names of everything concerned."""
    asked = outcome.asked
    claims = asked.claims
    values: dict[str, Any] = {
        "tenant": asked.tenant,
        "client_id": asked.client_id,
        **_identity(asked),
        "scope": asked.scope,
        "issuer": read.issuer(claims),
        "subject": read.subject(claims),
        "audience": next(iter(read.audiences(claims)), ""),
        "discovery_url": discovery_url(read.issuer(claims)),
        **_pod(claims),
    }
    if asked.token is not None:
        values |= {"kid": asked.token.kid, "new_credential": _new_name(claims)}
    matched = asked.match
    if isinstance(matched, Match | NearMiss):
        values |= _credential(matched.credential)
        values["compared"] = _compared(claims, matched.credential)
    if isinstance(outcome, Refusal):
        values["differs"] = [] if outcome.near_miss is None else list(outcome.near_miss.differs)
        # The values of the error's text; what is already named keeps its meaning.
        values = {**outcome.values, **values}
    else:
        values |= {"resource": outcome.audience, "expires_in": outcome.expires_in, "token_version": outcome.version}
    return values


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


def _pod(claims: Mapping[str, Any]) -> dict[str, str]:
    """Namespace, service account and pod of a service-account token."""
    named: dict[str, str] = {}
    if found := _SERVICE_ACCOUNT.fullmatch(read.subject(claims)):
        named = {"namespace": found[1], "service_account": found[2]}
    pod = read.kubernetes(claims).get("pod")
    if isinstance(pod, Mapping) and (name := read.text(pod, "name")):
        named["pod"] = name
    return named


def _credential(credential: FederatedCredential) -> dict[str, str]:
    return {
        "credential": credential.name,
        "credential_issuer": credential.issuer,
        "credential_subject": credential.subject,
        "credential_audience": next(iter(credential.audiences), ""),
    }


def _compared(claims: Mapping[str, Any], credential: FederatedCredential) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    pairs = (
        ("issuer", (read.issuer(claims),), (credential.issuer,)),
        ("audience", read.audiences(claims), credential.audiences),
        ("subject", (read.subject(claims),), (credential.subject,)),
    )
    for claim, found, expected in pairs:
        equal = any(value and value in expected for value in found)
        row: dict[str, Any] = {"claim": claim, "token": list(found), "credential": list(expected), "equal": equal}
        if not equal:
            row["how"] = difference_kind(next(iter(found), ""), next(iter(expected), ""))
        rows.append(row)
    return rows


def _new_name(claims: Mapping[str, Any]) -> str:
    """A name for a credential that would trust the token: legal, and the same for the same issuer and subject."""
    trusted = f"{read.issuer(claims)} {read.subject(claims)}"
    suffix = hashlib.sha256(trusted.encode()).hexdigest()[:8]
    found = _SERVICE_ACCOUNT.fullmatch(read.subject(claims))
    words = "-".join(found.groups()) if found else "credential"
    return f"{re.sub(r'[^a-zA-Z0-9-]', '-', words).strip('-')[:100] or 'credential'}-{suffix}"
