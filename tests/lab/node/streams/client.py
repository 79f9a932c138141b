"""Who is connected to a program's streams."""

import asyncio

from podpass.lab.node.streams import Streams


class Client:
    """Reads what comes, and can be told not to."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.seen: dict[int, bytes] = {1: b"", 2: b""}
        self.reads = asyncio.Event()
        self.reads.set()
        self.came = asyncio.Condition()
        self.copying = asyncio.create_task(streams.copy_output(self._sink))

    async def _sink(self, number: int, data: bytes) -> None:
        await self.reads.wait()
        self.seen[number] += data
        async with self.came:
            self.came.notify_all()

    async def see(self, text: bytes, number: int = 1) -> None:
        async with self.came:
            await self.came.wait_for(lambda: text in self.seen[number])

    async def leave(self) -> None:
        self.copying.cancel()
        await asyncio.wait([self.copying])
        await self.streams.close()
