"""A head and its body leave together; nothing waits longer than a turn of the loop, and nothing overtakes."""

import asyncio
from typing import Any, cast

from podpass.serving.writes import JOINED_BYTES, JoinedWrites


class Recorded:
    """A transport that keeps what was written, call by call."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.calls.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def joined() -> tuple[JoinedWrites, Recorded]:
    transport = Recorded()
    return JoinedWrites(cast("Any", transport), asyncio.get_running_loop()), transport


async def test_two_writes_leave_as_one() -> None:
    writes, transport = joined()
    writes.write(b"head")
    assert transport.calls == []
    writes.write(b"body")
    assert transport.calls == [b"headbody"]


async def test_a_lone_write_leaves_in_the_same_turn_of_the_loop() -> None:
    writes, transport = joined()
    writes.write(b"head")
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon(turn.set)
    await turn.wait()
    assert transport.calls == [b"head"]


async def test_a_long_body_is_not_copied_and_keeps_its_place() -> None:
    writes, transport = joined()
    body = b"x" * (JOINED_BYTES + 1)
    writes.write(b"head")
    writes.write(body)
    assert transport.calls == [b"head", body]
    assert transport.calls[1] is body
    writes.write(body)
    assert transport.calls[2] is body


async def test_what_is_held_leaves_before_the_connection_closes() -> None:
    writes, transport = joined()
    writes.write(b"head")
    writes.close()
    assert (transport.calls, transport.closed, writes.is_closing()) == ([b"head"], True, True)


async def test_what_is_held_when_the_client_goes_is_dropped() -> None:
    writes, transport = joined()
    writes.write(b"head")
    transport.close()
    writes.flush()
    assert transport.calls == []
