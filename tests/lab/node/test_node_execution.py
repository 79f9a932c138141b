"""Programs started beside the first one of a container: what they see, how they end, what they can't do."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from podpass.lab.node.driver import NotStarted
from podpass.lab.node.execution import Finished, run_to_end
from podpass.lab.node.images import ResolvedImage
from podpass.lab.node.runtime import ContainerProcess, Mount, PodSandbox, Runtime
from podpass.lab.node.security import DEFAULT_CAPABILITIES

_SECONDS = 20.0
Start = Callable[..., Awaitable[ContainerProcess]]


@pytest.fixture(params=["plain", "sandbox"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
async def start(pod: PodSandbox, image: ResolvedImage, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """Starts a container that runs until it is ended."""
    nothing = os.open(os.devnull, os.O_RDWR)

    async def begin(runtime: Runtime, script: str = "exec sleep 60", **members: object) -> ContainerProcess:
        process = ContainerProcess(
            container_id="c1",
            pod=pod,
            image=image,
            argv=("sh", "-c", script),
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "COLOUR": "blue"},
            capabilities=DEFAULT_CAPABILITIES,
        )
        process = replace(process, **members)  # type: ignore[arg-type]
        await runtime.create_pod(pod)
        await runtime.run(process, nothing, nothing)
        return process

    yield begin
    os.close(nothing)


async def run(runtime: Runtime, process: ContainerProcess, *argv: str, seconds: float = _SECONDS) -> Finished:
    return await run_to_end(runtime, process, argv, seconds=seconds)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not await holds():  # noqa: ASYNC110 - what another process does is no event here
            await asyncio.sleep(0.02)


async def test_a_command_has_the_containers_variables_and_volumes(
    runtime: Runtime, start: Start, volume: Callable[..., Mount]
) -> None:
    process = await start(runtime, mounts=(volume("/data"),))
    done = await run(runtime, process, "sh", "-c", "cat ${LAB_ROOT:-}/data/greeting; echo $COLOUR $HOSTNAME")
    assert done == Finished(0, b"helloblue orders\n")


async def test_a_command_starts_in_the_containers_working_directory(runtime: Runtime, start: Start) -> None:
    process = await start(runtime, working_directory="/srv/app")
    assert (await run(runtime, process, "sh", "-c", "pwd")).output.endswith(b"/srv/app\n")


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_a_commands_exit_code_is_told(runtime: Runtime, start: Start, code: int) -> None:
    assert (await run(runtime, await start(runtime), "sh", "-c", f"exit {code}")).code == code


async def test_output_is_kept_to_a_bound_while_all_of_it_is_read(runtime: Runtime, start: Start) -> None:
    done = await run(runtime, await start(runtime), "sh", "-c", "head -c 3000000 /dev/zero; exit 4")
    assert done == Finished(4, bytes(10 * 1024))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param("no-such-program", 'exec: "no-such-program": executable file not found in $PATH', id="path"),
        pytest.param("/no/such", 'exec: "/no/such": stat /no/such: no such file or directory', id="absolute"),
        pytest.param("/etc", 'exec: "/etc": permission denied', id="not executable"),
    ],
)
async def test_a_program_that_is_not_there_is_named(runtime: Runtime, start: Start, command: str, words: str) -> None:
    with pytest.raises(NotStarted) as caught:
        await run(runtime, await start(runtime), command)
    assert (str(caught.value), caught.value.program) == (words, True)


async def test_a_command_that_takes_too_long_is_killed_with_its_group(
    runtime: Runtime, start: Start, tmp_path: Path
) -> None:
    process = await start(runtime)
    with pytest.raises(TimeoutError):
        await run(runtime, process, "sh", "-c", "sleep 61.0 & sleep 61.0", seconds=0.3)
    script = 'pgrep -f "sleep 6[1].[0]"'
    await until(lambda: _no_output(run(runtime, process, "sh", "-c", script)))


async def test_nothing_is_started_in_a_container_that_has_ended(runtime: Runtime, start: Start) -> None:
    process = await start(runtime)
    await runtime.signal(process.container_id, signal.SIGKILL)
    with pytest.raises(NotStarted, match=r"not running|ended|joined"):
        async with asyncio.timeout(_SECONDS):
            while True:
                await run(runtime, process, "true")


async def test_commands_end_with_their_container(runtime: Runtime, start: Start) -> None:
    process = await start(runtime)
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        execution = await runtime.execute(process, ["sleep", "60"], (nothing, nothing, nothing))
    finally:
        os.close(nothing)
    async with asyncio.timeout(_SECONDS):
        await runtime.signal(process.container_id, signal.SIGKILL)
        assert await execution.ended == 137


async def test_what_a_command_left_behind_ends_with_its_container(
    runtime: Runtime, start: Start, tmp_path: Path
) -> None:
    process = await start(runtime)
    reading, writing = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        execution = await runtime.execute(process, ["sh", "-c", "sleep 60 &"], (nothing, writing, writing))
    finally:
        os.close(writing)
        os.close(nothing)
    assert await execution.ended == 0
    await runtime.signal(process.container_id, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        async with asyncio.timeout(_SECONDS):
            # It held the other end.
            assert await asyncio.to_thread(pipe.read) == b""


async def test_a_terminal_is_the_commands_own(runtime: Runtime, start: Start) -> None:
    process = await start(runtime)
    execution = await runtime.execute(process, ["sh", "-c", "tty && stty size </dev/tty"], None, size=(100, 30))
    assert execution.terminal is not None
    try:
        assert await asyncio.wait_for(execution.ended, _SECONDS) == 0
        words = os.read(execution.terminal, 4096).replace(b"\r\n", b"\n")
    finally:
        os.close(execution.terminal)
    assert words.startswith(b"/dev/pts/")
    assert words.endswith(b"30 100\n")


@pytest.mark.parametrize("user", [None, 1000])
async def test_a_command_has_the_namespaces_user_and_rights_of_its_container(
    sandbox: Runtime, start: Start, user: int | None, volume: Callable[..., Mount]
) -> None:
    look = (
        "ls / /data; cd /proc/self/ns && readlink cgroup ipc mnt net pid user uts;"
        " grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp)' /proc/self/status"
    )
    mount = volume("/data", file="seen", read_only=False)
    process = await start(
        sandbox, f"({look}) >/data/seen; echo done >>/data/seen; exec sleep 60", user=user, mounts=(mount,)
    )
    await until(lambda: _true((mount.source / "seen").read_text().endswith("done\n")))
    found = await run(sandbox, process, "sh", "-c", look)
    assert found.code == 0
    assert found.output.decode() + "done\n" == (mount.source / "seen").read_text()


async def _no_output(command: Awaitable[Finished]) -> bool:
    return not (await command).output


async def _true(value: bool) -> bool:
    return value
