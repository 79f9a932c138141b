import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import uvloop

from podpass.lab.doors.hermetic import NotHermetic, hermetic, is_local, new_event_loop, recording
from podpass.lab.journal import Journal

# Set aside for documentation (RFC 5737, RFC 3849): nobody is there, should the wall fail.
ELSEWHERE = "192.0.2.1"
ELSEWHERE_V6 = "2001:db8::1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", None, b"127.0.0.1"])
def test_this_machine_is_local(host: object) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [ELSEWHERE, ELSEWHERE_V6, "169.254.169.254", "0.0.0.0", "::", "example.com", "localhost.example.com", "", b"\xff"],
)
def test_everything_else_is_not(host: object) -> None:
    assert not is_local(host)


def test_loopback_and_unix_sockets_work_behind_the_wall(tmp_path: Path) -> None:
    with hermetic(), socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            client.connect(str(tmp_path / "s"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"", ("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("deed", "attempt"),
    [
        ("look up", lambda: socket.create_connection((ELSEWHERE, 443), timeout=1)),
        ("connect to", lambda: socket.socket().connect((ELSEWHERE, 443))),
        ("connect to", lambda: socket.socket(socket.AF_INET6).connect((ELSEWHERE_V6, 443))),
        ("connect to", lambda: socket.socket().connect_ex((ELSEWHERE, 443))),
        ("send to", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (ELSEWHERE, 53))),
        ("send to", lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, (ELSEWHERE, 53))),
        ("look up", lambda: socket.getaddrinfo("example.invalid", 443)),
        ("look up", lambda: socket.gethostbyname("example.invalid")),
        ("listen on", lambda: socket.create_server(("0.0.0.0", 0))),
        ("listen on", lambda: socket.create_server(("", 0))),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_every_way_out_is_refused_and_reported(deed: str, attempt: Callable[[], object]) -> None:
    reports: list[NotHermetic] = []
    with hermetic(reports.append), pytest.raises((NotHermetic, OSError)) as raised:
        attempt()
    assert "stays on this machine" in f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"
    assert [report.deed for report in reports] == [deed]


def test_wall_falls_when_its_context_ends() -> None:
    reports: list[NotHermetic] = []
    with hermetic(reports.append):
        pass
    # A name that can't exist: the look-up fails on its own, without asking anyone about a real host.
    with pytest.raises(OSError, match=r"(?i)name|temporary|host"):
        socket.getaddrinfo("-.invalid", 443, flags=socket.AI_NUMERICHOST)
    assert reports == []


Attempt = Callable[[asyncio.AbstractEventLoop], Awaitable[object]]


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda loop: loop.create_connection(asyncio.Protocol, ELSEWHERE, 443), id="connection"),
        pytest.param(lambda loop: loop.create_connection(asyncio.Protocol, "example.invalid", 443), id="by-name"),
        pytest.param(lambda loop: loop.getaddrinfo("example.invalid", 443), id="look-up"),
        pytest.param(
            lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(ELSEWHERE, 53)),
            id="datagrams",
        ),
        pytest.param(
            lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)),
            id="datagrams-to-anyone",
        ),
        pytest.param(lambda loop: loop.create_server(asyncio.Protocol, "0.0.0.0", 0), id="listener"),
        pytest.param(lambda loop: loop.create_server(asyncio.Protocol, None, 0), id="listener-anywhere"),
    ],
)
def test_uvloop_does_not_pass_the_wall(attempt: Attempt) -> None:
    async def go() -> None:
        with pytest.raises(NotHermetic):
            await attempt(asyncio.get_running_loop())

    with hermetic(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert isinstance(runner.get_loop(), uvloop.Loop)
        runner.run(go())


def test_uvloop_on_this_machine_works_behind_the_wall() -> None:
    async def go() -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", port)
        transport.close()
        server.close()
        return int(port)

    with hermetic(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(go())


async def test_client_library_is_refused() -> None:
    with hermetic():
        async with aiohttp.ClientSession() as session:
            with pytest.raises((aiohttp.ClientConnectorError, NotHermetic)):
                await session.get(f"http://{ELSEWHERE}/", timeout=aiohttp.ClientTimeout(total=5))


async def test_attempt_of_another_thread_is_recorded(journal: Journal) -> None:
    def attempt() -> None:
        with pytest.raises(NotHermetic):
            socket.getaddrinfo("example.invalid", 443)

    events = journal.follow()
    with hermetic(recording(journal, asyncio.get_running_loop())):
        thread = threading.Thread(target=attempt)
        thread.start()
        async with asyncio.timeout(5):
            event = await anext(events)
        thread.join()
    await events.aclose()  # type: ignore[attr-defined]
    assert (event.hop.who, event.hop.what, event.hop.outcome) == ("lab", "look up example.invalid", "refused")
