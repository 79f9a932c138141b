"""Tokens of identities: from the metadata service, or from the login service for service principals.

Contract: pod identity, sections 3.6, 3.10 and 9 (17).
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

from podpass.kube.client import AnswerUnusable, ApiError, Client, Unreachable
from podpass.kube.credentials import CredentialsFailed
from podpass.kube.resources import SECRETS
from podpass.nmi.client import Upstream
from podpass.nmi.metrics import NmiMetrics
from podpass.nmi.principals import Unusable, token_calls
from podpass.nmi.tokens import Fetch, Outcome, Refused, Token, TokenCache, Unavailable
from podpass.podidentity.objects import IdentityType, PodIdentity


@dataclass(frozen=True, slots=True)
class Issued:
    """The tokens of one request: the identity's own tenant's first, then those of auxiliary tenants."""

    tokens: tuple[Token, ...]
    are_listed: bool = False
    """Whether the answer is a list, as it is for an identity with auxiliary tenants."""


class Issuing:
    """Gives tokens out of one cache."""

    def __init__(
        self, upstream: Upstream, client: Client, metrics: NmiMetrics, *, now: Callable[[], float] = time.time
    ) -> None:
        self._upstream, self._client, self._metrics, self._now = upstream, client, metrics, now
        self._cache = TokenCache(now=now)

    def kept(self, identity: PodIdentity | None, resource: str, client_id: str) -> Issued | None:
        """What `issue` would give without asking anybody; None when it would have to."""
        if identity is not None and identity.type is not IdentityType.USER_ASSIGNED:
            return None
        token = self._cache.fresh(_metadata_key(identity, resource, client_id))
        return Issued((token,)) if token is not None else None

    async def issue(
        self, identity: PodIdentity | None, resource: str, client_id: str
    ) -> Issued | Refused | Unavailable:
        """The tokens of *identity*; without one, what the metadata service gives for *client_id* or by itself."""
        if identity is None or identity.type is IdentityType.USER_ASSIGNED:
            wanted = identity.client_id if identity is not None else client_id
            operation = "adal_token_msi" if identity is None else "adal_token_msi_userassignedid"
            outcome = await self._cache.get(
                _metadata_key(identity, resource, client_id), partial(self._metadata, operation, resource, wanted)
            )
            return Issued((outcome,)) if isinstance(outcome, Token) else outcome
        tokens: list[Token] = []
        for position in range(1 + len(identity.auxiliary_tenant_ids)):
            # A changed identity may have another credential, so its version is part of the key.
            key = ("principal", identity.key, identity.resource_version, position, resource)
            fetch: Fetch = partial(self._principal, identity, resource, position)
            outcome = await self._cache.get(key, fetch)
            if not isinstance(outcome, Token):
                return outcome
            tokens.append(outcome)
        return Issued(tuple(tokens), are_listed=len(tokens) > 1)

    async def _metadata(self, operation: str, resource: str, client_id: str) -> Outcome:
        started = time.perf_counter()
        outcome = await self._upstream.metadata_token(resource, client_id)
        self._metrics.fetched(operation, time.perf_counter() - started, failed=not isinstance(outcome, Token))
        return outcome

    async def _principal(self, identity: PodIdentity, resource: str, position: int) -> Outcome:
        if identity.secret is None:
            return Unavailable("the identity names no Secret")
        where = f"Secret {identity.secret.namespace}/{identity.secret.name}"
        try:
            secret = await self._client.get(SECRETS, identity.secret.name, identity.secret.namespace)
        except ApiError as error:
            return Unavailable(f"{where} could not be read: {error.message or error.status}")
        except (Unreachable, AnswerUnusable, CredentialsFailed) as error:
            return Unavailable(f"{where} could not be read: {type(error).__name__}")
        calls = token_calls(identity, secret, resource, now=int(self._now()))
        if isinstance(calls, Unusable):
            return Unavailable(calls.why)
        started = time.perf_counter()
        outcome = await self._upstream.principal_token(calls[position].endpoint, calls[position].form)
        self._metrics.fetched("adal_token", time.perf_counter() - started, failed=not isinstance(outcome, Token))
        return outcome


def _metadata_key(identity: PodIdentity | None, resource: str, client_id: str) -> Hashable:
    return ("metadata", (identity.client_id if identity is not None else client_id).lower(), resource)
