"""Checks over the network: made from the node into the pod's own network, never through the host's.

The connection comes as a descriptor from whoever can make it in the right network; this module speaks over it.
"""

import asyncio
import functools
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urljoin, urlsplit

from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.handlers import grpc_health
from podpass.lab.node.handlers.checks import USER_AGENT, GrpcHealth, HttpGet, TcpConnect
from podpass.lab.node.handlers.grpc_health import NoHealth
from podpass.lab.node.handlers.probing import Answer

MOST_REDIRECTS = 10
MOST_BODY = 10 * 1024
_CHUNK = 16 * 1024
_SAFE = "!#$%&'()*+,/:;=?@[]~"
_ERRNO = re.compile(r"\[Errno \d+\] ")
_WORDS = (
    ("Connect call failed", "connection refused"),
    ("refused", "connection refused"),
    ("unreachable", "network is unreachable"),
    ("No route", "no route to host"),
    ("no answer", "i/o timeout"),
)


class Dialer(Protocol):
    """Makes TCP connections where a pod's ports are."""

    async def connect(self, address: str, port: int) -> int:
        """A descriptor of a connection. Raises FabricFailed."""
        ...


class _Failed(Exception):
    """The check failed; the text is the answer's output."""


async def connects(target: TcpConnect, dialer: Dialer, timeout_seconds: float) -> Answer:
    """Whether the port takes a connection."""
    try:
        async with asyncio.timeout(timeout_seconds):
            connection = await _dial(dialer, target.host, target.port)
    except TimeoutError:
        return Answer(False, f"dial tcp {target.host}:{target.port}: i/o timeout")
    except _Failed as error:
        return Answer(False, str(error))
    connection.close()
    return Answer(True)


async def get(request: HttpGet, dialer: Dialer, timeout_seconds: float) -> Answer:
    """Whether the answer to *request* is a success or a redirect; one to another host is not followed."""
    first = f'Get "{request.url}"'
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _follow(request, dialer)
    except TimeoutError:
        return Answer(False, f"{first}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    except _Failed as error:
        return Answer(False, f"{first}: {error}")


async def serves(call: GrpcHealth, dialer: Dialer, timeout_seconds: float) -> Answer:
    """Whether the service says that it serves."""
    where = f"{call.host}:{call.port}"
    try:
        async with asyncio.timeout(timeout_seconds):
            status = await _health(call, dialer)
    except TimeoutError:
        return Answer(False, f"timeout: health rpc did not complete within {timeout_seconds:g}s")
    except _Failed as error:
        return Answer(False, f'error: failed to connect service at "{where}": {error}')
    except (NoHealth, OSError) as error:
        return Answer(False, f"error: health rpc failed: {error}")
    if status == "SERVING":
        return Answer(True, "service healthy")
    return Answer(False, f'service unhealthy (responded with "{status}")')


async def _health(call: GrpcHealth, dialer: Dialer) -> str:
    """Raises _Failed, NoHealth, OSError."""
    connection = await _dial(dialer, call.host, call.port)
    try:
        reader, writer = await asyncio.open_connection(sock=connection, limit=_CHUNK)
    except BaseException:
        connection.close()
        raise
    try:
        writer.write(grpc_health.call(call.host, call.port, call.service))
        answer = grpc_health.Answer()
        while not answer.ended:
            data = await reader.read(_CHUNK)
            if not data:
                raise NoHealth("the server closed the connection")
            writer.write(answer.feed(data))
        return answer.status
    finally:
        writer.transport.abort()


async def _follow(request: HttpGet, dialer: Dialer) -> Answer:
    url = request.url
    for _ in range(MOST_REDIRECTS + 1):
        where = _where(url)
        status, location, body = await _exchange(request, dialer, where)
        if 300 <= status < 400 and location and status not in (300, 304):
            url = urljoin(url, location)
            if _where(url).host != where.host:
                return Answer(True, f"Probe terminated redirects, Response body: {body}", warning=True)
            continue
        if 200 <= status < 400:
            return Answer(True, body)
        return Answer(False, f"HTTP probe failed with statuscode: {status}", answered=True)
    raise _Failed(f"stopped after {MOST_REDIRECTS} redirects")


@dataclass(frozen=True, slots=True)
class _Where:
    """A URL taken apart."""

    secure: bool
    host: str
    port: int
    target: str


def _where(url: str) -> _Where:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _Failed(f'failed to parse "{url}": {error}') from error
    if parts.scheme not in ("http", "https"):
        raise _Failed(f'unsupported protocol scheme "{parts.scheme}"')
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Where(secure, parts.hostname or "", port or (443 if secure else 80), quote(target, safe=_SAFE))


async def _exchange(request: HttpGet, dialer: Dialer, where: _Where) -> tuple[int, str, str]:
    """One request: the answer's status, its Location, and the beginning of its body."""
    connection = await _dial(dialer, where.host, where.port)
    try:
        reader, writer = await asyncio.open_connection(
            sock=connection,
            limit=_CHUNK,
            ssl=_tls() if where.secure else None,
            server_hostname=where.host if where.secure else None,
        )
    except (OSError, ssl.SSLError) as error:
        connection.close()
        raise _Failed(_words(error)) from error
    except BaseException:
        connection.close()
        raise
    try:
        return await _speak(request, reader, writer, where)
    except (OSError, ssl.SSLError) as error:
        raise _Failed(_words(error)) from error
    finally:
        writer.transport.abort()


async def _speak(
    request: HttpGet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: _Where
) -> tuple[int, str, str]:
    # Imported here: nobody needs it before the first probe.
    import h11

    peer = h11.Connection(h11.CLIENT)
    sent = {name.lower() for name, _ in request.headers}
    own = (("Host", f"{where.host}:{where.port}"), ("User-Agent", USER_AGENT), ("Accept", "*/*"))
    headers = [*request.headers, *((name, value) for name, value in own if name.lower() not in sent)]
    # An author who sets these two to nothing wants them left out.
    headers = [(name, value) for name, value in headers if value or name.lower() not in ("user-agent", "accept")]
    encoded = [(name.encode(), value.encode()) for name, value in (*headers, ("Connection", "close"))]
    status, location, body = 0, "", bytearray()
    try:
        asked = h11.Request(method="GET", target=where.target, headers=encoded)
        writer.write(peer.send(asked) or b"")
        writer.write(peer.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(_CHUNK)
                if not data and not status:
                    raise _Failed("EOF")
                peer.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
                location = next((value.decode("latin-1") for name, value in event.headers if name == b"location"), "")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) >= MOST_BODY:
                    break
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                break
    except h11.LocalProtocolError as error:
        raise _Failed(f"net/http: invalid request: {error}") from error
    except h11.RemoteProtocolError as error:
        # A body that breaks off tells no less about the status that came before it.
        if not status:
            raise _Failed(f"malformed HTTP response: {error}") from error
    return status, location, bytes(body[:MOST_BODY]).decode("utf-8", "replace")


async def _dial(dialer: Dialer, host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError as error:
        # The node's network has no resolver of its own.
        raise _Failed(f"dial tcp: lookup {host}: no such host") from error
    try:
        descriptor = await dialer.connect(host, port)
    except FabricFailed as error:
        raise _Failed(f"dial tcp {where}: {dial_words(str(error))}") from error
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection


def dial_words(text: str) -> str:
    """Why a connection was not made, from the helper's words to those of a Go program."""
    words = next((words for sign, words in _WORDS if sign in text), "")
    return f"connect: {words}" if words and words != "i/o timeout" else words or _ERRNO.sub("", text)


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    return "read: connection reset by peer" if isinstance(error, ConnectionError) else _ERRNO.sub("", str(error))


@functools.cache
def _tls() -> ssl.SSLContext:
    """A probe asks whether somebody answers, not who: as the kubelet does, it takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
