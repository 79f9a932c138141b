"""Carries bytes between a client and a program until the program has ended or the client has gone.

Contract: Kubernetes API surface, section 1.6.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from podpass.kube.objects import Obj
from podpass.lab.cluster.streaming.request import StreamOptions
from podpass.lab.node.streams import Streams

MOST_CELLS = 65535
HEARTBEAT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Input:
    """Something for the program's stdin."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InputEnd:
    """The client has no more for stdin."""


@dataclass(frozen=True, slots=True)
class Resize:
    """The client's terminal has another size."""

    width: int
    height: int


class RemoteClient(Protocol):
    """A client's end of an exec or attach, whatever protocol it speaks."""

    async def receive(self) -> Input | InputEnd | Resize | None:
        """What comes next; None once the client has gone."""
        ...

    async def send(self, number: int, data: bytes) -> None:
        """What was written to stdout (1) or stderr (2). Raises ConnectionResetError."""
        ...

    async def ping(self) -> None:
        """Say something that a client answers and nobody sees. Raises ConnectionResetError when it has gone."""
        ...

    async def finish(self, status: Obj) -> None:
        """Tell how it ended, and close."""
        ...


class ClientLeft(Exception):
    """The client has gone before the program's end."""


class Stopped(Exception):
    """The cluster stops before the program's end."""


async def carry(
    client: RemoteClient,
    streams: Streams,
    options: StreamOptions,
    stop: asyncio.Event,
    *,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> int | None:
    """Join *client* and *streams* to the program's end; the exit code that the client is told.

    Raises ClientLeft, Stopped once *stop* is set, FabricFailed.
    """
    incoming = asyncio.create_task(_incoming(client, streams))
    outgoing = asyncio.create_task(_outgoing(client, streams, options))
    stopping = asyncio.create_task(stop.wait())
    beating = asyncio.create_task(_heartbeat(client, heartbeat_seconds))
    tasks: tuple[asyncio.Task[Any], ...] = (incoming, outgoing, stopping, beating)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if outgoing in done:
            return outgoing.result()
        if incoming in done or beating in done:
            for task in done:
                task.result()
            # Only a client that has gone ends what comes from it.
            raise ClientLeft
        raise Stopped
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _heartbeat(client: RemoteClient, seconds: float) -> None:
    """Returns once the client has gone.

    While a program does not read, neither is the client read, and its leaving shows only when something is sent.
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            await client.ping()
        except ConnectionResetError:
            return


async def _incoming(client: RemoteClient, streams: Streams) -> None:
    while (event := await client.receive()) is not None:
        match event:
            case Input():
                await streams.write(event.data)
            case InputEnd():
                streams.end_input()
            case Resize():
                streams.resize(event.width, event.height)


async def _outgoing(client: RemoteClient, streams: Streams, options: StreamOptions) -> int | None:
    async def sink(number: int, data: bytes) -> None:
        if options.wants(number):
            await client.send(number, data)

    try:
        await streams.copy_output(sink)
    except ConnectionResetError as error:
        raise ClientLeft from error
    return await streams.ended()


def resize(width: object, height: object) -> Resize | None:
    """A size that a terminal can have; None for any other."""
    with contextlib.suppress(TypeError, ValueError):
        found = Resize(int(width), int(height))  # type: ignore[call-overload]
        if 0 < found.width <= MOST_CELLS and 0 < found.height <= MOST_CELLS:
            return found
    return None
