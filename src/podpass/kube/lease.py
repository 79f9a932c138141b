"""Leader election by a Lease: of several replicas one works at a time.

What counts is how long this process has seen a Lease unchanged, by its own clock: the times written in it are other
machines'. Contract: Kubernetes API surface, section 8; pod identity, section 2.10.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.resources import LEASES


class LeadershipLost(Exception):
    """Another replica leads, or this one could not say in time that it does."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants to lead, by which Lease, and for how long a word of it counts, in seconds."""

    identity: str
    namespace: str
    name: str
    duration_seconds: float = 15.0

    @property
    def renew_deadline_seconds(self) -> float:
        return self.duration_seconds / 2

    @property
    def retry_seconds(self) -> float:
        return self.duration_seconds / 4


def claim(lease: Obj | None, candidate: Candidate, *, seen_seconds: float, now: datetime) -> Obj | None:
    """The Lease to write in order to lead, or go on leading; None while another holds it.

    *seen_seconds* is how long it has been seen unchanged.
    """
    spec = objects.spec(lease) if lease is not None else {}
    holder = str(spec.get("holderIdentity") or "")
    if holder and holder != candidate.identity:
        duration = spec.get("leaseDurationSeconds")
        if seen_seconds < (float(duration) if isinstance(duration, int | float) else candidate.duration_seconds):
            return None
    written = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    changed: dict[str, Any] = {
        "holderIdentity": candidate.identity,
        "leaseDurationSeconds": max(round(candidate.duration_seconds), 1),
        "renewTime": written,
        "acquireTime": spec.get("acquireTime") if holder == candidate.identity else written,
        "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (holder not in ("", candidate.identity)),
    }
    metadata = {"name": candidate.name, "namespace": candidate.namespace}
    if lease is not None:
        # A resourceVersion, so that of two claims at once one is refused.
        metadata["resourceVersion"] = objects.resource_version(lease)
    return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": changed}


class Election:
    """One candidate's part in an election. *on_failure* hears of each try that the server refused."""

    def __init__(
        self,
        client: Client,
        candidate: Candidate,
        *,
        on_failure: Callable[[Exception], None] = lambda error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leads = asyncio.Event()
        self._client, self._candidate, self._on_failure, self._clock = client, candidate, on_failure, clock
        self._seen: tuple[str, float] = ("", 0.0)

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait until this candidate leads, then do *lead* as long as it does.

        Returns when *lead* does, after it has let go of the Lease; raises LeadershipLost, and what *lead* raises.
        """
        while not await self._claimed():  # noqa: ASYNC110 - a Lease is asked for, it does not call
            await asyncio.sleep(self._candidate.retry_seconds)
        self.leads.set()
        work = asyncio.ensure_future(lead())
        held = asyncio.create_task(self._hold())
        try:
            await asyncio.wait((work, held), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise LeadershipLost(f"the Lease {self._candidate.namespace}/{self._candidate.name} was lost")
            await work
        finally:
            self.leads.clear()
            for task in (work, held):
                task.cancel()
            await asyncio.gather(work, held, return_exceptions=True)
            await self._let_go()

    async def _hold(self) -> None:
        """Returns when the Lease is lost."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(self._candidate.retry_seconds)
            if await self._claimed():
                renewed = self._clock()
            elif self._clock() - renewed >= self._candidate.renew_deadline_seconds:
                return

    async def _claimed(self) -> bool:
        """Whether this candidate's claim was taken just now."""
        candidate = self._candidate
        try:
            async with asyncio.timeout(candidate.renew_deadline_seconds):
                lease = await self._read()
                version = objects.resource_version(lease) if lease is not None else ""
                if version != self._seen[0]:
                    self._seen = (version, self._clock())
                wanted = claim(lease, candidate, seen_seconds=self._clock() - self._seen[1], now=datetime.now(UTC))
                if wanted is None:
                    return False
                if lease is None:
                    await self._client.create(LEASES, wanted, candidate.namespace)
                else:
                    await self._client.replace(LEASES, wanted, candidate.namespace)
        except TimeoutError as error:
            self._on_failure(error)
            return False
        except CALL_FAILURES as error:
            # That another was faster is an election's ordinary end.
            if not (isinstance(error, ApiError) and error.status == 409):
                self._on_failure(error)
            return False
        return True

    async def _read(self) -> Obj | None:
        try:
            return await self._client.get(LEASES, self._candidate.name, self._candidate.namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def _let_go(self) -> None:
        """Leave the Lease to others at once, as far as the server can be reached."""
        with contextlib.suppress(*CALL_FAILURES, TimeoutError):
            async with asyncio.timeout(self._candidate.retry_seconds):
                lease = await self._read()
                if lease is not None and objects.spec(lease).get("holderIdentity") == self._candidate.identity:
                    lease["spec"]["holderIdentity"] = ""
                    await self._client.replace(LEASES, lease, self._candidate.namespace)
