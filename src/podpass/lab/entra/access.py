"""Who is calling: the access token on a request to ARM, Key Vault or another service of the lab.

Every service of the lab reads its callers here, so every one of them checks signature, lifetime, issuer and audience.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from podpass.lab.clock import Clock
from podpass.telemetry.redaction import fingerprint
from podpass.tokens import claims as read
from podpass.tokens import jwt
from podpass.tokens.keys import JwkSet

RefusalCode = Literal["missing", "malformed", "expired", "bad-signature", "audience", "issuer"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The service principal that an access token was issued to."""

    object_id: str
    client_id: str
    tenant_id: str
    issuer: str
    audience: str
    resource_id: str = ""
    """A managed identity's ARM id, as in `xms_mirid`."""
    roles: tuple[str, ...] = ()
    expires: float = 0.0
    """Seconds since the epoch."""
    token: str = ""
    """The token's fingerprint."""

    def __str__(self) -> str:
        return f"client {self.client_id}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request's access token does not count. *expected* and *found* are filled where a comparison failed."""

    code: RefusalCode
    message: str
    expected: str = ""
    found: str = ""


def v1_issuer(tenant_id: str) -> str:
    return f"https://sts.windows.net/{tenant_id}/"


def v2_issuer(authority: str, tenant_id: str) -> str:
    return f"{authority.rstrip('/')}/{tenant_id}/v2.0"


class AccessTokens:
    """Reads callers from Authorization headers."""

    def __init__(
        self,
        keys: Callable[[], JwkSet],
        clock: Clock,
        authority: str,
        *,
        leeway_seconds: float = jwt.LEEWAY_SECONDS,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._authority = authority
        self._leeway_seconds = leeway_seconds

    def authenticate(
        self, authorization_header: str | None, *, audiences: Collection[str], tenant_id: str | None = None
    ) -> Caller | Refusal:
        """The caller, once the token is found genuine, current, and meant for one of *audiences*.

        A trailing slash on an audience makes no difference, as at the real services. With *tenant_id* the token must
        be of that tenant.
        """
        if not authorization_header:
            return Refusal("missing", "The request has no Authorization header.")
        scheme, _, text = authorization_header.strip().partition(" ")
        if scheme.lower() != "bearer":
            return Refusal("malformed", "The Authorization header is not a bearer token.", "Bearer", scheme[:32])
        text = text.strip()
        try:
            token = jwt.verify_signature(text, self._keys(), algorithms=jwt.RS256)
        except jwt.Malformed as error:
            return Refusal("malformed", f"The access token can't be read: {error.reason}.")
        except jwt.InvalidToken:
            return Refusal("bad-signature", "The access token was not signed by this authority.")
        claims = token.claims
        if (problem := jwt.check_times(claims, now=self._clock.now(), leeway_seconds=self._leeway_seconds)) is not None:
            return _outside_its_time(problem)
        tenant, issuer = read.text(claims, "tid"), read.issuer(claims)
        wanted_tenant = tenant if tenant_id is None else tenant_id
        issuers = (v1_issuer(wanted_tenant), v2_issuer(self._authority, wanted_tenant))
        if not tenant or issuer not in issuers:
            return Refusal("issuer", "The access token is from the wrong issuer.", " or ".join(issuers), issuer)
        audience = next(iter(read.audiences(claims)), "")
        if audience.rstrip("/") not in {accepted.rstrip("/") for accepted in audiences}:
            expected = ", ".join(sorted(audiences))
            return Refusal("audience", "The access token is for another audience.", expected, audience)
        return Caller(
            object_id=read.text(claims, "oid"),
            client_id=read.text(claims, "appid") or read.text(claims, "azp"),
            tenant_id=tenant,
            issuer=issuer,
            audience=audience,
            resource_id=read.text(claims, "xms_mirid"),
            roles=tuple(role for role in claims.get("roles", ()) if isinstance(role, str)),
            expires=read.moment(claims, "exp") or 0.0,
            token=fingerprint(text),
        )


def _outside_its_time(problem: jwt.TimeProblem) -> Refusal:
    match problem.kind:
        case "expired":
            message = f"The access token expired {problem.off_by_seconds:.0f} seconds ago."
        case "not-yet-valid":
            message = f"The access token is not valid for another {problem.off_by_seconds:.0f} seconds."
        case "no-expiry":
            message = "The access token has no expiry time."
    found = "" if problem.expires is None else f"{problem.expires:.0f}"
    return Refusal("expired", message, f"after {problem.now:.0f}", found)
