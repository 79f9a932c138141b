"""Terminals of programs in containers, on both runtimes and both event loops."""

import signal
from collections.abc import Iterator

import pytest

from tests.lab.node.streams.client import Client
from tests.lab.node.streams.conftest import Start


async def test_a_terminal_shows_everything_to_the_last_line(start: Start) -> None:
    run = await start()
    script = "tty; i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; printf the-end"
    client = Client(await run.execute(["sh", "-c", script], stdin=True, tty=True))
    await client.copying
    assert client.seen[1].startswith(b"/dev/pts/")
    assert client.seen[1].endswith(b"line 199\r\nthe-end")
    await client.leave()


@pytest.fixture
def _started_in_the_background() -> Iterator[None]:
    """As a shell starts what stands before `&`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_started_in_the_background")
async def test_what_is_typed_is_read_and_signals(start: Start) -> None:
    run = await start()
    client = Client(await run.execute(["sh", "-c", "read x; echo got $x; exec sleep 60"], stdin=True, tty=True))
    await client.streams.write(b"word\r")
    await client.see(b"got word")
    await client.streams.write(b"\x03")
    assert await client.streams.ended() == 130
    await client.leave()


async def test_a_terminal_has_the_size_it_is_given(start: Start) -> None:
    run = await start()
    wait = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    client = Client(await run.execute(["sh", "-c", wait], stdin=True, tty=True))
    await client.see(b"ready")
    client.streams.resize(99, 44)
    await client.see(b"44 99")
    await client.leave()


async def test_a_containers_own_terminal_is_that_of_its_session(start: Start) -> None:
    # It says so again and again: what was printed before somebody attached is not seen.
    run = await start(
        "trap 'echo interrupted; exit 7' INT; while :; do echo ready; sleep 0.05; done", stdin=True, tty=True
    )
    client = Client(run.attach(stdin=True))
    await client.see(b"ready")
    await client.streams.write(b"\x03")
    await run.finished()
    assert await run.ended == 7
    await client.copying
    assert client.seen[1].endswith(b"interrupted\r\n")
    assert client.seen[2] == b""
