"""What is written and read by programs in containers, on both runtimes."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.lab.node.streams.client import Client
from tests.lab.node.streams.conftest import Start

# --- exec


async def test_both_outputs_arrive_whole_after_the_programs_end(start: Start) -> None:
    run = await start()
    script = (
        "i=0; while [ $i -lt 3 ]; do head -c 200000 /dev/zero; head -c 100000 /dev/zero >&2; i=$((i+1)); done; exit 9"
    )
    client = Client(await run.execute(["sh", "-c", script], stdin=False, tty=False))
    await client.copying
    assert (len(client.seen[1]), len(client.seen[2])) == (600_000, 300_000)
    assert await client.streams.ended() == 9
    await client.leave()


async def test_input_reaches_its_end(start: Start) -> None:
    run = await start()
    client = Client(await run.execute(["wc", "-c"], stdin=True, tty=False))
    for _ in range(20):
        await client.streams.write(bytes(50_000))
    client.streams.end_input()
    await client.copying
    assert client.seen[1].strip() == b"1000000"
    await client.leave()


async def test_a_program_that_has_ended_takes_no_more_input(start: Start) -> None:
    run = await start()
    streams = await run.execute(["true"], stdin=True, tty=False)
    assert await streams.ended() == 0
    for _ in range(30):
        await streams.write(bytes(100_000))
    await streams.close()


async def test_a_program_that_does_not_read_makes_the_client_wait(start: Start) -> None:
    run = await start()
    streams = await run.execute(["sleep", "60"], stdin=True, tty=False)

    async def flood() -> None:
        while True:
            await streams.write(bytes(65536))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await flood()
    await streams.close()


async def test_a_client_that_does_not_read_makes_the_program_wait(start: Start, tmp_path: Path) -> None:
    run = await start()
    client = Client(await run.execute(["head", "-c", "3000000", "/dev/zero"], stdin=False, tty=False))
    client.reads.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await client.streams.ended()
    client.reads.set()
    await client.copying
    assert len(client.seen[1]) == 3_000_000
    await client.leave()


async def test_a_program_in_the_background_does_not_hold_its_client(start: Start) -> None:
    run = await start()
    client = Client(await run.execute(["sh", "-c", "echo begun; sleep 60 &"], stdin=False, tty=False))
    await client.copying
    assert client.seen[1] == b"begun\n"
    await client.leave()


async def test_a_program_is_killed_when_its_client_leaves(start: Start) -> None:
    run = await start()
    client = Client(await run.execute(["sh", "-c", "echo here; exec sleep 60"], stdin=False, tty=False))
    await client.see(b"here")
    await client.leave()
    assert await client.streams.ended() == 137


# --- attach


async def test_everybody_who_is_attached_sees_what_the_log_has(start: Start, tmp_path: Path) -> None:
    run = await start("read x; echo $x; echo $x >&2", stdin=True)
    clients = [Client(run.attach(stdin=number == 0)) for number in range(2)]
    await clients[0].streams.write(b"word\n")
    await run.finished()
    for client in clients:
        await client.copying
        assert client.seen == {1: b"word\n", 2: b"word\n"}
        assert await client.streams.ended() is None
    assert (tmp_path / "log").read_text().count("word") == 2


async def test_who_attaches_to_what_has_ended_sees_the_end(start: Start) -> None:
    run = await start("exit 3")
    await run.finished()
    client = Client(run.attach(stdin=False))
    await client.copying
    await client.leave()


async def test_input_ends_with_the_first_client_where_it_is_for_once(start: Start) -> None:
    run = await start("cat; echo over", stdin=True, stdin_once=True)
    client = Client(run.attach(stdin=True))
    await client.streams.write(b"word\n")
    await client.see(b"word")
    client.streams.end_input()
    await run.finished()
    assert await run.ended == 0
    await client.copying
    assert client.seen[1] == b"word\nover\n"


async def test_input_goes_on_for_the_next_client(start: Start) -> None:
    run = await start("exec cat", stdin=True)
    for word in (b"first", b"second"):
        client = Client(run.attach(stdin=True))
        await client.streams.write(word + b"\n")
        await client.see(word)
        client.streams.end_input()
        await client.leave()
    assert not run.ended.done()


async def test_a_container_without_input_reads_its_end_at_once(start: Start) -> None:
    run = await start("cat; exit 5")
    client = Client(run.attach(stdin=True))
    await client.streams.write(b"nobody hears")
    await run.finished()
    assert await run.ended == 5
    await client.leave()


async def test_an_attached_client_that_does_not_read_makes_the_container_wait(start: Start, tmp_path: Path) -> None:
    run = await start("read x; head -c 2000000 /dev/zero | tr '\\0' x", stdin=True)
    client = Client(run.attach(stdin=True))
    client.reads.clear()
    await client.streams.write(b"\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await asyncio.wait([run.ended])
    client.reads.set()
    await run.finished()
    await client.copying
    assert len(client.seen[1]) == 2_000_000


async def test_a_client_that_leaves_lets_the_container_go_on(start: Start) -> None:
    run = await start("read x; head -c 2000000 /dev/zero", stdin=True)
    client = Client(run.attach(stdin=True))
    client.reads.clear()
    await client.streams.write(b"\n")
    await client.leave()
    await run.finished()
    assert await run.ended == 0


async def test_descriptors_do_not_pile_up(start: Start) -> None:
    run = await start("exec cat", stdin=True)

    async def once(tty: bool) -> None:
        client = Client(await run.execute(["echo", "x"], stdin=True, tty=tty))
        await client.copying
        await client.leave()
        await Client(run.attach(stdin=True)).leave()

    for _ in range(2):
        await once(True)
        await once(False)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await once(True)
        await once(False)
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
