"""A second wall: this process cannot reach beyond the machine even if a part of it tries.

The first wall is that nothing here asks to: `network.lab_session` knows one destination. This module catches what
forgets it. An audit hook sees every address that Python's socket module is given. uvloop connects and resolves in C,
past that hook (seen with uvloop 0.23: create_connection, getaddrinfo and datagrams raise no event; sock_connect does),
so a process that runs uvloop starts it with `new_event_loop`, which checks the same rule.
Not covered: child processes (pods have their own network namespaces), and C libraries that open sockets themselves.
"""

import asyncio
import contextlib
import functools
import ipaddress
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from podpass.lab.doors.names import printable
from podpass.lab.journal import Hop, Journal

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


class NotHermetic(PermissionError):
    """The process tried to reach, or to be reached from, beyond this machine; nothing was sent."""

    def __init__(self, deed: str, host: str) -> None:
        super().__init__(f"{deed} {host}: the lab stays on this machine")
        self.deed, self.host = deed, host


Report = Callable[[NotHermetic], None]

# Audit hooks can't be removed, so there is one, and it asks here.
_reports: list[Report] = []


@contextlib.contextmanager
def hermetic(report: Report = lambda attempt: None) -> Iterator[None]:
    """Refuse everything beyond loopback and unix sockets while the context is open, in all threads.

    An attempt raises NotHermetic where it is made, after *report* was told, in the thread that made it.
    """
    _install_hook()
    _reports.append(report)
    try:
        yield
    finally:
        _reports.remove(report)


def recording(journal: Journal, loop: asyncio.AbstractEventLoop) -> Report:
    """A report that records attempts in *journal*, whose connection belongs to *loop*'s thread."""

    def record(attempt: NotHermetic) -> None:
        hop = Hop(who="lab", whom="door", what=f"{attempt.deed} {attempt.host}", outcome="refused", why=str(attempt))
        # Later, not here: the attempt may come from another thread, or from inside a transaction.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(journal.record, hop)

    return record


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop with the rule in front of what it does in C; asyncio's own loop where uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()

    class HermeticLoop(uvloop.Loop):
        async def create_connection(
            self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
        ) -> Any:
            if host is not None:
                check("connect to", host)
            return await super().create_connection(protocol_factory, host, port, **more)

        async def create_datagram_endpoint(
            self, protocol_factory: Any, local_addr: Any = None, remote_addr: Any = None, **more: Any
        ) -> Any:
            sock = more.get("sock")
            unix = socket.AF_UNIX in (more.get("family"), None if sock is None else sock.family)
            if _reports and not unix and remote_addr is None:
                # Where datagrams go from such a socket is decided later, in C.
                raise _told(NotHermetic("send datagrams from", str(local_addr)))
            if not unix and remote_addr is not None:
                check("send to", remote_addr[0])
            return await super().create_datagram_endpoint(protocol_factory, local_addr, remote_addr, **more)

        async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
            check("look up", host)
            return await super().getaddrinfo(host, port, **more)

        async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
            if more.get("sock") is None:
                check("listen on", "0.0.0.0" if host is None else host)  # noqa: S104 - what None means to it
            return await super().create_server(protocol_factory, host, port, **more)

    return HermeticLoop()


def check(deed: str, host: Any) -> None:
    """Raise NotHermetic when *host* is not this machine's and the wall stands."""
    if _reports and not is_local(host):
        shown = host.decode("latin-1") if isinstance(host, bytes) else str(host)
        raise _told(NotHermetic(deed, printable(shown)))


def is_local(host: Any) -> bool:
    """Whether *host* is a loopback address or a name of one; None stands for loopback in look-ups."""
    if host is None:
        return True
    name = host.decode("latin-1") if isinstance(host, bytes | bytearray) else str(host)
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _told(attempt: NotHermetic) -> NotHermetic:
    for report in list(_reports):
        report(attempt)
    return attempt


@functools.cache
def _install_hook() -> None:
    sys.addaudithook(_audit)


_DEEDS = {
    "socket.connect": "connect to",
    "socket.sendto": "send to",
    "socket.sendmsg": "send to",
    "socket.bind": "listen on",
    "socket.getaddrinfo": "look up",
    "socket.gethostbyname": "look up",
}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # Called for every audited event of the process: leave at once unless it is one of ours.
    if not _reports or event not in _DEEDS:
        return
    deed = _DEEDS[event]
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        check(deed, arguments[0])
        return
    connection, address = arguments[0], arguments[1]
    if connection.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple) and address:
        check(deed, address[0] or "0.0.0.0")  # noqa: S104 - what an empty host means
