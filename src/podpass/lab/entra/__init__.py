"""The lab's Entra: a login service that federates with any issuer the lab can reach.

Imitated: client secrets, certificates and federated assertions at the token endpoint (v2.0 and v1), the tenants'
discovery documents, the signing keys and instance discovery, with the real service's order of checks, codes and
texts. Tenants, applications and their credentials live in `directory.py`; other services of the lab read callers
from access tokens with `access.py`.

Missing, and refused in the real service's shape: users and interactive sign-in, on-behalf-of, device codes. Missing
without a shape: conditional access.

Contract: azure workload identity, section 5; azure HTTP surface, section 2.
"""

from dataclasses import dataclass
from typing import Any

from podpass.azure.clouds import PUBLIC
from podpass.imds.errors import IDENTITY_NOT_FOUND, ImdsError
from podpass.imds.responses import IssuedToken
from podpass.lab.clock import Clock
from podpass.lab.entra.access import AccessTokens
from podpass.lab.entra.directory import Application, Directory
from podpass.lab.entra.errors import error_text, wire_code
from podpass.lab.entra.http import EntraHttp, Faults
from podpass.lab.entra.issuing import BACKDATED_SECONDS
from podpass.lab.entra.model import Refusal, Rules, grant, of_identity
from podpass.lab.entra.resources import known_resources
from podpass.lab.entra.signing import SigningKeys
from podpass.lab.journal import Hop, Journal
from podpass.lab.store import Store
from podpass.serving.asgi import App
from podpass.tokens import jwt
from podpass.tokens.client import KeyFetcher
from podpass.tokens.keys import JwkSet

__all__ = ["Entra", "Faults", "NoFaults", "SigningKeys"]


@dataclass(slots=True)
class NoFaults:
    """Everything works."""

    issuer_unreachable: bool = False
    propagation_delay_seconds: float = 0.0
    negative_cache_seconds: float = 0.0
    authority_unavailable: bool = False
    tokens_per_10_seconds: float = 0.0


class Entra:
    """The login service: its ASGI app, and the reading of the access tokens it issues.

    *resources* are addresses of the lab's own services for which tokens may be asked besides Azure's well-known ones.
    *algorithms* are those of client assertions.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        journal: Journal,
        directory: Directory,
        key_fetcher: KeyFetcher,
        authority: str = PUBLIC.authority,
        *,
        signing: SigningKeys,
        faults: Faults | None = None,
        resources: tuple[str, ...] = (),
        algorithms: frozenset[str] = jwt.RS256,
    ) -> None:
        self.store = store
        self.directory = directory
        self.signing = signing
        self.authority = authority.rstrip("/")
        rules = Rules(authority=self.authority, algorithms=algorithms, resources=known_resources(resources))
        self.access_tokens = AccessTokens(lambda: self.keys, clock, self.authority, revoked=directory.revoked)
        self._rules, self._clock, self._journal = rules, clock, journal
        self._http = EntraHttp(
            clock=clock,
            journal=journal,
            directory=directory,
            key_fetcher=key_fetcher,
            signing=signing,
            rules=rules,
            faults=faults if faults is not None else NoFaults(),
        )
        self.app: App = self._http.app

    @property
    def keys(self) -> JwkSet:
        """The public keys of the access tokens."""
        return self.signing.accepted

    async def rotate_keys(self, *, withdraw: bool = False) -> list[dict[str, Any]]:
        """Sign with the next key from now on, and say which there are now. See `SigningKeys.rotate`."""
        await self.signing.rotate(withdraw=withdraw)
        described = self.signing.described()
        self._journal.record(
            Hop(
                who="the lab's operator",
                whom="entra",
                what="rotation of the signing keys",
                outcome="done",
                why="the keys before are withdrawn, and what they signed is refused"
                if withdraw
                else "the keys before stay until their last token has expired",
                decision={"keys": described},
            )
        )
        return described

    def revoke_tokens(self, application: Application) -> int:
        """Revoke the tokens that the application has now; see `Directory.revoke_tokens`."""
        since = self.directory.revoke_tokens(application.tenant_id, application.object_id)
        self._journal.record(
            Hop(
                who="the lab's operator",
                whom="entra",
                what=f"revocation of the tokens of {application.display_name}",
                outcome="done",
                why="services challenge clients that can answer for a newer token",
                decision={"client_id": application.client_id, "tenant": application.tenant_id, "since": since},
            )
        )
        return since

    def issue(self, tenant_id: str, principal_id: str, resource: str) -> IssuedToken | ImdsError:
        """A token for *resource* of a managed identity that the platform vouches for, by its object id."""
        application = self.directory.application_by_object_id(tenant_id, principal_id)
        if application is None or not application.enabled:
            return IDENTITY_NOT_FOUND
        found = grant(of_identity(application, resource), directory=self.directory, rules=self._rules)
        if isinstance(found, Refusal):
            text = f"{wire_code(found.code)}: {error_text(found.code, found.values)}"
            return ImdsError(400, "invalid_resource", text)
        now = int(self._clock.now())
        token = self._http.signed(found, now=now)
        return IssuedToken(token, application.client_id, now - BACKDATED_SECONDS, now + found.expires_in + 1)
