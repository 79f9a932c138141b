"""What goes when its time to live is over."""

import asyncio
import contextlib

from podpass.kube.status import StatusError
from podpass.lab.clock import seconds_of
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.verbs import Verbs

SWEEP_SECONDS = 30.0


class Expiry:
    """Objects with a time to live, which events are, go when it is over. Looks every SWEEP_SECONDS."""

    name = "expiry"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = controller_user("ttl-controller")

    async def run(self) -> None:
        while True:
            await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        now = self._verbs.clock.now()
        for kind in list(self._verbs.registry):
            if kind.time_to_live_seconds is None or kind.stored_as is not None:
                continue
            for stored in self._verbs.storage.page(kind.storage).items:
                obj = stored.object()
                times = (obj["metadata"].get("creationTimestamp"), obj.get("lastTimestamp"))
                newest = max((seconds_of(time) or 0.0 for time in times if time), default=now)
                if now - newest > kind.time_to_live_seconds:
                    with contextlib.suppress(Gone, StatusError):
                        await delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user)
