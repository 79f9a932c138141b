"""What a match, or a miss, of a token and federated credentials means to a person.

The names in the values fill the braces of the problem catalogue's causes and remedies. Nothing here knows where the
credentials came from, so a lab and a real cluster are explained by the same words.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from podpass.tokens import claims as read
from podpass.tokens.discovery import discovery_url
from podpass.tokens.federation import FederatedCredential, Kind, Match, NearMiss, difference_kind

_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")

_HOW: Mapping[Kind, str] = {
    "trailing-slash": "they differ only by the slash at the end",
    "letter-case": "they differ only in letter case",
    "white-space": "they differ only by white space",
    "missing": "the token has none",
    "other": "they are different",
}


def problem_of(result: Match | NearMiss | None) -> str:
    """The catalogue's code for what `federation.match` found; an empty string for a match."""
    if result is None:
        return "PP206"
    if isinstance(result, Match):
        return ""
    match result.deciding.claim:
        case "issuer":
            return "PP201" if result.deciding.kind == "trailing-slash" else "PP202"
        case "audience":
            return "PP203"
        case "subject":
            return "PP205" if result.deciding.kind == "letter-case" else "PP204"
        case "expression":
            return "PP216"


def sentence(near: NearMiss) -> str:
    """Which claim decided, and what the two sides say."""
    decided = near.deciding
    joined = " and " if decided.claim == "expression" else " or "
    found, expected = " ".join(decided.found) or "nothing", joined.join(decided.expected)
    return (
        f"The {decided.claim} decided: the token says {found}, the federated credential {near.credential.name}"
        f" says {expected}; {_HOW[decided.kind]}."
    )


def claim_values(claims: read.Claims) -> dict[str, str]:
    """What the token says of itself, its service account and its pod; what it does not say is left out."""
    audience = next(iter(read.audiences(claims)), "")
    values = dict(_said(read.issuer(claims), read.subject(claims), audience, new=bool(claims)))
    pod = read.kubernetes(claims).get("pod")
    if isinstance(pod, dict) and (name := read.text(pod, "name")):
        values["pod"] = name
    return values


# The same few workloads ask again and again, and every answer is in the journal.
@functools.lru_cache(maxsize=1024)
def _said(issuer: str, subject: str, audience: str, *, new: bool) -> Mapping[str, str]:
    values = {"issuer": issuer, "subject": subject, "audience": audience, "discovery_url": discovery_url(issuer)}
    if new:
        values["new_credential"] = _credential_name(issuer, subject)
    if (account := _service_account(subject)) is not None:
        values["namespace"], values["service_account"] = account
    return values


def credential_values(credential: FederatedCredential) -> dict[str, str]:
    values = {
        "credential": credential.name,
        "credential_issuer": credential.issuer,
        "credential_subject": credential.subject,
        "credential_audience": next(iter(credential.audiences), ""),
    }
    if credential.expression is not None:
        values["credential_expression"] = str(credential.expression)
    return values


def compared(claims: read.Claims, credential: FederatedCredential) -> list[dict[str, Any]]:
    """Each claim that counts beside the credential's, in the order of the checks; `how` where they differ."""
    rows = list(_exactly_compared(read.issuer(claims), read.audiences(claims), read.subject(claims), credential))
    for term in () if credential.expression is None else credential.expression.terms:
        value, equal = read.text(claims, term.claim), term.accepts(claims)
        row = {"claim": term.claim, "token": [value], "credential": [str(term)], "equal": equal}
        if not equal:
            row["how"] = "other" if value else "missing"
        rows.append(row)
    return rows


@functools.lru_cache(maxsize=1024)
def _exactly_compared(
    issuer: str, audiences: tuple[str, ...], subject: str, credential: FederatedCredential
) -> tuple[dict[str, Any], ...]:
    rows: list[dict[str, Any]] = []
    pairs = [("issuer", (issuer,), (credential.issuer,)), ("audience", audiences, credential.audiences)]
    if credential.expression is None:
        pairs.append(("subject", (subject,), (credential.subject,)))
    for claim, found, expected in pairs:
        equal = any(value and value in expected for value in found)
        row: dict[str, Any] = {"claim": claim, "token": list(found), "credential": list(expected), "equal": equal}
        if not equal:
            row["how"] = difference_kind(next(iter(found), ""), next(iter(expected), ""))
        rows.append(row)
    return tuple(rows)


MENDED_BY_CHANGE = frozenset({"PP201", "PP203", "PP205"})
"""The problems that a change of the closest credential mends; the others need one more."""


def wanted(claims: read.Claims, name: str) -> str:
    """The JSON of a federated credential that would trust the token, as `az ad app federated-credential` takes it."""
    credential = {
        "name": name,
        "issuer": read.issuer(claims),
        "subject": read.subject(claims),
        "audiences": list(read.audiences(claims)[:1]),
    }
    return json.dumps(credential)


def new_credential_name(claims: read.Claims) -> str:
    """A name for a credential that would trust the token: legal, and the same for the same issuer and subject.

    Contract: azure workload identity, section 6.2.
    """
    return _credential_name(read.issuer(claims), read.subject(claims))


def _credential_name(issuer: str, subject: str) -> str:
    suffix = hashlib.sha256(f"{issuer} {subject}".encode(errors="replace")).hexdigest()[:8]
    words = "-".join(_service_account(subject) or ("credential",))
    return f"{re.sub(r'[^a-zA-Z0-9-]', '-', words).strip('-')[:100] or 'credential'}-{suffix}"


@functools.lru_cache(maxsize=1024)
def _service_account(subject: str) -> tuple[str, str] | None:
    """Namespace and name, when *subject* is a service account's."""
    found = _SERVICE_ACCOUNT.fullmatch(subject)
    return None if found is None else (found[1], found[2])
