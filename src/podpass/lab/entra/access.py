"""Who is calling: the access token on a request to ARM, Key Vault or another service of the lab.

Every service of the lab reads its callers here, so every one of them checks signature, lifetime, issuer and audience.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from podpass.lab.clock import Clock
from podpass.lab.entra.claims_requests import CHALLENGED, challenge
from podpass.telemetry.redaction import fingerprint
from podpass.tokens import claims as read
from podpass.tokens import jwt
from podpass.tokens.keys import JwkSet

RefusalCode = Literal["missing", "malformed", "expired", "bad-signature", "audience", "issuer", "revoked"]


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
    claims: str = ""
    """What the client is to ask for in a better token, as the parameter `claims` of a challenge holds it."""
    caller: Caller | None = None
    """Whose token it is, where that is beyond doubt."""

    @property
    def challenge(self) -> str:
        """What this adds to a WWW-Authenticate header: nothing, or the claims that are missing."""
        return f', error="insufficient_claims", claims="{self.claims}"' if self.claims else ""


def v1_issuer(tenant_id: str) -> str:
    return f"https://sts.windows.net/{tenant_id}/"


def v2_issuer(authority: str, tenant_id: str) -> str:
    return f"{authority.rstrip('/')}/{tenant_id}/v2.0"


class AccessTokens:
    """Reads callers from Authorization headers.

    *revoked* says from when on the tokens of a tenant's service principal count, in seconds since the epoch.
    """

    def __init__(
        self,
        keys: Callable[[], JwkSet],
        clock: Clock,
        authority: str,
        *,
        revoked: Callable[[str, str], int] = lambda tenant_id, object_id: 0,
        leeway_seconds: float = jwt.LEEWAY_SECONDS,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._authority = authority
        self._revoked = revoked
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
        caller = Caller(
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
        return self._if_revoked(caller, claims) or caller

    def _if_revoked(self, caller: Caller, claims: read.Claims) -> Refusal | None:
        """Only clients that answer claims challenges lose their tokens early; others keep them until they expire."""
        capabilities = claims.get("xms_cc")
        if not isinstance(capabilities, list) or CHALLENGED not in map(str.lower, map(str, capabilities)):
            return None
        since, issued = self._revoked(caller.tenant_id, caller.object_id), read.moment(claims, "iat") or 0.0
        if issued >= since:
            return None
        message = (
            "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: "
            "TokenIssuedBeforeRevocationTimestamp"
        )
        return Refusal("revoked", message, f"from {since}", f"{issued:.0f}", claims=challenge(since), caller=caller)


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
