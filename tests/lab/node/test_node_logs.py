"""Logs: format, long lines, rotation, and what readers ask for."""

import asyncio
from pathlib import Path

import pytest

from podpass.lab.clock import LabClock
from podpass.lab.node.logs import LONGEST_PART, ContainerLog, LineWriter, LogOptions, read


class Time:
    def __init__(self) -> None:
        self.seconds = 1_769_847_300.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture
def log(tmp_path: Path) -> ContainerLog:
    return ContainerLog(tmp_path / "c" / "0.log", LabClock(source=Time()), most_bytes=2000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c" / "0.log"


async def text(path: Path, log: ContainerLog | None = None, **options) -> bytes:
    return b"".join([chunk async for chunk in read(path, log, LogOptions(**options))])


async def test_lines_carry_time_and_stream(log: ContainerLog, path: Path) -> None:
    writer = LineWriter(log, "stderr")
    writer.data_received(b"one\ntw")
    writer.data_received(b"o\nrest")
    writer.connection_lost(None)
    written, mode = await asyncio.to_thread(lambda: (path.read_bytes(), path.stat().st_mode & 0o777))
    assert written.splitlines() == [
        b"2026-01-31T08:15:01.000000000Z stderr F one",
        b"2026-01-31T08:15:02.000000000Z stderr F two",
        b"2026-01-31T08:15:03.000000000Z stderr P rest",
    ]
    assert await text(path) == b"one\ntwo\nrest"
    assert mode == 0o600


async def test_a_long_line_is_cut_and_put_together(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log", LabClock())
    LineWriter(log, "stdout").data_received(b"x" * (LONGEST_PART * 2 + 5) + b"\nnext\n")
    assert (tmp_path / "0.log").read_bytes().count(b" P ") == 2
    assert await text(tmp_path / "0.log") == b"x" * (LONGEST_PART * 2 + 5) + b"\nnext\n"
    assert await text(tmp_path / "0.log", tail_lines=1) == b"next\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tail_lines": 2}, b"4\n5\n"),
        ({"tail_lines": 0}, b""),
        ({"tail_lines": 99}, b"1\n2\n3\n4\n5\n"),
        ({"limit_bytes": 3}, b"1\n2"),
        ({"since": 1_769_847_304.0}, b"4\n5\n"),
        ({"tail_lines": 1, "timestamps": True}, b"2026-01-31T08:15:05.000000000Z 5\n"),
    ],
)
async def test_options(log: ContainerLog, path: Path, options: dict, expected: bytes) -> None:
    LineWriter(log, "stdout").data_received(b"1\n2\n3\n4\n5\n")
    assert await text(path, **options) == expected


async def test_following_ends_with_the_container(log: ContainerLog, path: Path) -> None:
    writer = LineWriter(log, "stdout")
    writer.data_received(b"old\nnow\n")
    following = aiter(read(path, log, LogOptions(follow=True, tail_lines=1)))
    assert await anext(following) == b"now\n"
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        rest = tasks.create_task(anext(following))
        await asyncio.sleep(0)
        writer.data_received(b"later\n")
        assert await rest == b"later\n"
        log.close()
        assert [chunk async for chunk in following] == []


async def test_rotation_keeps_one_older_file_and_readers_go_on(log: ContainerLog, path: Path) -> None:
    writer = LineWriter(log, "stdout")
    writer.data_received(b"first\n")
    following = aiter(read(path, log, LogOptions(follow=True)))
    assert await anext(following) == b"first\n"
    writer.data_received(b"".join(b"line %04d\n" % n for n in range(60)))
    log.close()
    rest = b"".join([chunk async for chunk in following])
    assert rest.splitlines()[0] == b"line 0000"
    assert rest.splitlines()[-1] == b"line 0059"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["0.log", "0.log.1"]
    assert all(entry.stat().st_size <= 2000 for entry in path.parent.iterdir())
