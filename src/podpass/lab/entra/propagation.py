"""What the token endpoint sees of federated credentials while the directory catches up with itself.

The real directory is many: a change is seen after a while, and an answer that there is no such credential is kept for
another while, so that asking right after creation makes it worse. Both happen here only when asked for, by the clock.
Contract: azure workload identity, section 6.3.
"""

from typing import Protocol

from podpass.lab.clock import Clock
from podpass.lab.entra.directory import Directory
from podpass.tokens.claims import Claims
from podpass.tokens.federation import FederatedCredential, Match, match

MISSES = frozenset({70025, 700211, 700212, 700213, 7002131, 7002138})
"""The codes that say there is no such credential."""
MOST_KEPT = 1024


class Delays(Protocol):
    """How late the directory is; looked at for each request."""

    propagation_delay_seconds: float
    negative_cache_seconds: float


class SeenCredentials:
    """The federated credentials as the token endpoint sees them. What it keeps of misses does not outlive it."""

    def __init__(self, directory: Directory, clock: Clock, delays: Delays) -> None:
        self._directory, self._clock, self._delays = directory, clock, delays
        self._missed: dict[tuple[str, str], tuple[float, tuple[FederatedCredential, ...]]] = {}

    def of(self, tenant_id: str, client_id: str) -> tuple[FederatedCredential, ...]:
        """The credentials of an application."""
        if self._missed and (kept := self._kept(tenant_id, client_id)) is not None:
            return kept
        delay = self._delays.propagation_delay_seconds
        if delay > 0:
            return self._directory.credentials_as_of(tenant_id, client_id, self._clock.now() - delay)
        return self._directory.credentials(tenant_id, client_id)

    def missed(self, tenant_id: str, client_id: str) -> None:
        """None of the credentials fitted: they stay as they were seen for a while, counted from the first miss."""
        seconds = self._delays.negative_cache_seconds
        if seconds > 0 and self._kept(tenant_id, client_id) is None:
            seen = self.of(tenant_id, client_id)
            self._missed[tenant_id, client_id] = (self._clock.now() + seconds, seen)
            if len(self._missed) > MOST_KEPT:
                del self._missed[next(iter(self._missed))]

    def awaited(self, tenant_id: str, client_id: str, claims: Claims) -> FederatedCredential | None:
        """The credential that will trust the token once it is seen."""
        found = match(claims, self._directory.credentials(tenant_id, client_id))
        return found.credential if isinstance(found, Match) else None

    def _kept(self, tenant_id: str, client_id: str) -> tuple[FederatedCredential, ...] | None:
        kept = self._missed.get((tenant_id, client_id))
        if kept is None:
            return None
        until, seen = kept
        if self._clock.now() < until and self._delays.negative_cache_seconds > 0:
            return seen
        del self._missed[tenant_id, client_id]
        return None
