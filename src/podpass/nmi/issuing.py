"""Tokens of identities: from the metadata service, or from the login service for service principals.

Contract: pod identity, sections 3.6, 3.10 and 9 (17).
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from podpass.kube.client import CALL_FAILURES, ApiError, Client
from podpass.kube.resources import SECRETS
from podpass.nmi.client import Upstream
from podpass.nmi.holders import object_id_of
from podpass.nmi.metrics import NmiMetrics
from podpass.nmi.principals import Unusable, token_calls
from podpass.nmi.requests import Asked
from podpass.nmi.tokens import Fetch, Outcome, Refused, Token, TokenCache, Unavailable
from podpass.podidentity.objects import IdentityType, PodIdentity


@dataclass(frozen=True, slots=True)
class Issued:
    """The tokens of one request: the identity's own tenant's first, then those of auxiliary tenants."""

    tokens: tuple[Token, ...]
    are_listed: bool = False
    """Whether the answer is a list, as it is for an identity with auxiliary tenants."""
    client_id: str = ""
    """Of the identity whose tokens they are; empty where the metadata service chose one."""


class Issuing:
    """Gives tokens out of one cache."""

    def __init__(
        self, upstream: Upstream, client: Client, metrics: NmiMetrics, *, now: Callable[[], float] = time.time
    ) -> None:
        self._upstream, self._client, self._metrics, self._now = upstream, client, metrics, now
        self._cache = TokenCache(now=now)

    def kept(self, identity: PodIdentity | None, asked: Asked) -> Issued | None:
        """What `issue` would give without asking anybody; None when it would have to."""
        if identity is not None and identity.type is not IdentityType.USER_ASSIGNED:
            return None
        token = self._cache.fresh(_metadata_key(identity, asked))
        return Issued((token,), client_id=_client_id(identity)) if token is not None else None

    async def issue(self, identity: PodIdentity | None, asked: Asked) -> Issued | Refused | Unavailable:
        """The tokens of *identity*; without one, what the metadata service gives for what is *asked*."""
        resource = asked.resource
        if identity is None or identity.type is IdentityType.USER_ASSIGNED:
            key = _metadata_key(identity, asked)
            operation = "adal_token_msi" if identity is None else "adal_token_msi_userassignedid"
            outcome = await self._cache.get(key, partial(self._metadata, operation, Asked(*key)))
            return Issued((outcome,), client_id=_client_id(identity)) if isinstance(outcome, Token) else outcome
        tokens: list[Token] = []
        for position in range(1 + len(identity.auxiliary_tenant_ids)):
            # A changed identity may have another credential, so its version is part of the key.
            tenant_key = ("principal", identity.key, identity.resource_version, position, resource)
            fetch: Fetch = partial(self._principal, identity, resource, position)
            outcome = await self._cache.get(tenant_key, fetch)
            if not isinstance(outcome, Token):
                return outcome
            tokens.append(outcome)
        return Issued(tuple(tokens), are_listed=len(tokens) > 1, client_id=identity.client_id)

    async def issue_to_holder(
        self, identities: Iterable[PodIdentity], asked: Asked
    ) -> Issued | Refused | Unavailable | None:
        """The tokens of that of *identities* whose object id is *asked* for; None when it is none of them.

        When one gave no token, it may have been that one: then why it gave none.
        """
        asking = [asyncio.create_task(self.issue(identity, asked)) for identity in identities]
        failed: Refused | Unavailable | None = None
        try:
            # Together, so that an identity without an answer doesn't hold up the one that is meant.
            for next_answer in asyncio.as_completed(asking):
                issued = await next_answer
                if not isinstance(issued, Issued):
                    failed = failed or issued
                elif object_id_of(issued.tokens[0].access_token) == asked.object_id.lower():
                    return issued
        finally:
            for task in asking:
                task.cancel()
        return failed

    async def _metadata(self, operation: str, asked: Asked) -> Outcome:
        started = time.perf_counter()
        outcome = await self._upstream.metadata_token(asked)
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
        except CALL_FAILURES as error:
            return Unavailable(f"{where} could not be read: {type(error).__name__}")
        calls = token_calls(identity, secret, resource, now=int(self._now()))
        if isinstance(calls, Unusable):
            return Unavailable(calls.why)
        started = time.perf_counter()
        outcome = await self._upstream.principal_token(calls[position].endpoint, calls[position].form)
        self._metrics.fetched("adal_token", time.perf_counter() - started, failed=not isinstance(outcome, Token))
        return outcome


def _client_id(identity: PodIdentity | None) -> str:
    return identity.client_id if identity is not None else ""


def _metadata_key(identity: PodIdentity | None, asked: Asked) -> tuple[str, str, str, str]:
    """What is asked of the metadata service, as the members of Asked, in the one form of all that mean the same."""
    if identity is not None:
        return asked.resource, identity.client_id.lower(), "", ""
    return asked.resource, asked.client_id.lower(), asked.resource_id.lower(), asked.object_id.lower()
