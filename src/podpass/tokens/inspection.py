"""A token explained to a person: what kind it is, what each claim means, what looks wrong.

Nothing here shows the signature. `explain` trusts nothing and verifies nothing; `verify` does, against the keys of an
issuer that the caller names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from podpass.tokens import claims as read
from podpass.tokens import jwt
from podpass.tokens.client import DiscoveryFailed
from podpass.tokens.keys import JwkSet

TokenKind = Literal[
    "projected service-account token",
    "ordinary service-account token",
    "Entra access token v1",
    "Entra access token v2",
    "unknown",
]

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_API_AUDIENCE = "https://kubernetes.default.svc"
_LONG_SECONDS = 24 * 3600
_LONGEST_SPAN_SECONDS = 10_000 * 365.25 * 86_400

_NOTES = {
    "iss": "issuer: whose keys the signature is checked with; compares exactly, slash at the end included",
    "sub": "subject: whom the token is about; compares exactly, letter case included",
    "aud": "audience: for whom the token is meant; any other reader must refuse it",
    "exp": "expiry",
    "nbf": "not valid before",
    "iat": "issued at",
    "jti": "the token's own id",
    "kubernetes.io": "what the token is bound to: namespace, service account, pod, node",
    "appid": "client id of the application or managed identity (v1)",
    "azp": "client id of the application or managed identity (v2)",
    "appidacr": "how the client proved itself: 0 not at all, 1 secret, 2 certificate or assertion (v1)",
    "azpacr": "how the client proved itself: 0 not at all, 1 secret, 2 certificate or assertion (v2)",
    "oid": "object id of the service principal: role assignments name it",
    "tid": "tenant id",
    "idp": "who authenticated the subject",
    "idtyp": "app: no user is involved",
    "roles": "application roles granted on the audience",
    "ver": "version of the access token, chosen by the resource it is for",
    "xms_mirid": "resource id of the managed identity",
    "aio": "the issuer's own use",
    "rh": "the issuer's own use",
    "uti": "unique id of the token, as in the sign-in log",
}
_TIMES = ("exp", "nbf", "iat")


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim with a note in plain words; the note is empty for a claim that is not known."""

    name: str
    value: Any
    note: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What can be said about a token without verifying it."""

    kind: TokenKind
    header: Mapping[str, Any]
    claims: tuple[Claim, ...]
    lifetime_seconds: float | None
    remaining_seconds: float | None
    """Until the expiry; negative when it is past."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    """Worth knowing, and nothing wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an issuer's keys made the token, and what else keeps it from being accepted."""

    genuine: bool
    reason: str
    """Why not; or, of a genuine token, the key that signed it."""
    current: bool


class KeySource(Protocol):
    async def keys_for(self, issuer: str, kid: str) -> JwkSet: ...


def explain(token: str, now: float) -> Inspection:
    """Explain a compact token as of *now*, seconds since the epoch. Raises Malformed."""
    decoded = jwt.decode(token.strip())
    claims = decoded.claims
    expires = read.moment(claims, "exp")
    kind = kind_of(claims)
    return Inspection(
        kind=kind,
        header=decoded.header,
        claims=tuple(Claim(name, value, _note(name, value, now)) for name, value in claims.items()),
        lifetime_seconds=read.lifetime_seconds(claims),
        remaining_seconds=None if expires is None else expires - now,
        warnings=tuple(_warnings(decoded, kind, now)),
        notes=tuple(_remarks(claims, kind)),
    )


def kind_of(claims: read.Claims) -> TokenKind:
    """Which of the tokens around workload identity this is, by its claims."""
    if read.subject(claims).startswith(SERVICE_ACCOUNT_PREFIX) and read.kubernetes(claims):
        ordinary = "warnafter" in read.kubernetes(claims) or any(
            audience.startswith(_API_AUDIENCE) for audience in read.audiences(claims)
        )
        return "ordinary service-account token" if ordinary else "projected service-account token"
    if read.text(claims, "tid"):
        match read.text(claims, "ver"):
            case "1.0":
                return "Entra access token v1"
            case "2.0":
                return "Entra access token v2"
    return "unknown"


async def verify(token: str, issuer: str, source: KeySource, *, now: float) -> Verdict:
    """Check the token's signature with the keys that *issuer* publishes, its issuer and its time. Raises Malformed."""
    decoded = jwt.decode(token.strip())
    problem = jwt.check_times(decoded.claims, now=now)
    current = problem is None
    if read.issuer(decoded.claims) != issuer:
        named = read.issuer(decoded.claims) or "nobody"
        return Verdict(False, f"the token says it was issued by {named}, not by {issuer}", current)
    try:
        keys = await source.keys_for(issuer, decoded.kid)
        jwt.verify_signature(decoded, keys, algorithms=jwt.ASYMMETRIC)
    except DiscoveryFailed as error:
        return Verdict(False, f"the issuer's keys can't be had: {error.reason}", current)
    except jwt.InvalidToken as error:
        return Verdict(False, str(error), current)
    return Verdict(True, f"signed with key {decoded.kid}", current)


def _note(name: str, value: Any, now: float) -> str:
    note = _NOTES.get(name, "")
    if name in _TIMES and (moment := read.moment({name: value}, name)) is not None:
        return f"{note}: {_written(moment)}, {_distance(moment - now)}"
    return note


def _warnings(token: jwt.Token, kind: TokenKind, now: float) -> list[str]:
    claims, warnings = token.claims, []
    if token.algorithm not in jwt.ASYMMETRIC:
        unsigned = token.algorithm.lower() == "none"
        warnings.append(
            "the algorithm is none: the token is not signed, and nobody may believe it"
            if unsigned
            else f"the algorithm is {token.algorithm}, which no verifier of workload identity accepts"
        )
    if not token.kid:
        warnings.append("the header names no key (kid)")
    problem = jwt.check_times(claims, now=now, leeway_seconds=0)
    if problem is not None:
        text = {
            "expired": f"expired {_span(problem.off_by_seconds)} ago",
            "not-yet-valid": f"not valid for another {_span(problem.off_by_seconds)}",
            "no-expiry": "has no expiry",
        }[problem.kind]
        warnings.append(f"the token {text}")
    for name, words in (("iss", "issuer"), ("sub", "subject")):
        value = read.text(claims, name)
        if not value:
            warnings.append(f"the token has no {words}")
        elif value != value.strip():
            warnings.append(f"the {words} starts or ends with white space, which counts when it is compared")
    if not read.audiences(claims):
        warnings.append("the token has no audience")
    issuer = read.issuer(claims)
    if kind.endswith("service-account token"):
        if issuer.endswith("/"):
            warnings.append("the issuer ends with '/'; a federated credential must spell it with the slash")
        if issuer and not issuer.startswith("https://"):
            warnings.append("the issuer is not https; no cloud will fetch its keys")
        if len(read.audiences(claims)) > 1:
            warnings.append("the token has several audiences: each of them can use it at the others")
    return warnings


def _remarks(claims: read.Claims, kind: TokenKind) -> list[str]:
    remarks = []
    if isinstance(claims.get("aud"), list) and len(claims["aud"]) == 1:
        remarks.append("the audience is a list of one, as Kubernetes always writes it; it equals the plain text")
    lifetime = read.lifetime_seconds(claims)
    if kind == "ordinary service-account token":
        remarks.append("meant for the Kubernetes API server; a cloud's federated credential does not match it")
        if "warnafter" in read.kubernetes(claims):
            remarks.append("asked for one hour, extended to a year by the API server; warnafter marks the hour's end")
    elif kind == "projected service-account token" and lifetime is not None and lifetime > _LONG_SECONDS:
        remarks.append("lives longer than the 24 hours that the workload identity webhook allows")
    if kind == "projected service-account token" and "pod" in read.kubernetes(claims):
        remarks.append("bound to a pod: the API server refuses it once the pod is gone, a cloud can't know")
    return remarks


def _written(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "beyond the calendar"


def _distance(seconds: float) -> str:
    return f"in {_span(seconds)}" if seconds >= 0 else f"{_span(-seconds)} ago"


def _span(seconds: float) -> str:
    """A length of time in its two largest units."""
    if seconds > _LONGEST_SPAN_SECONDS:
        return "more than 10,000 years"
    whole = int(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit} {rest} {smaller}" if rest else f"{whole // length} {unit}"
    return f"{whole} s"
