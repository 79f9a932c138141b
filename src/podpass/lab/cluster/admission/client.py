"""The cluster's only outgoing request: an AdmissionReview to a webhook, over TLS that its configuration trusts.

A service is reached at the address that the resolver gives, under its own name; a URL on this machine directly, any
other only through the session that says where names lead. Contract: Kubernetes API surface, sections 3.2 and 3.3.
"""

import asyncio
import base64
import binascii
import ipaddress
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from podpass.kube.objects import Obj
from podpass.lab.cluster.admission.review import CallFailed
from podpass.lab.cluster.admission.selection import Webhook

MAX_ANSWER_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Service's pod listens on this machine."""

    host: str
    port: int


class ServiceUnreachable(Exception):
    """A Service that leads nowhere: it does not exist, or no pod of it is ready. The text says which."""


ResolveService = Callable[[str, str, int], Endpoint]
"""Namespace, name and port of a Service to where it listens. Raises ServiceUnreachable."""


def no_services(namespace: str, name: str, _port: int) -> Endpoint:
    """The resolver of a cluster that runs no services."""
    raise ServiceUnreachable(
        f'service "{name}" not found in namespace "{namespace}": this cluster has no Services; name the webhook by'
        " clientConfig.url, an address of this machine"
    )


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    """As messages show it, and as it is sent."""
    server_name: str
    connect: str
    """The URL that is connected to."""


class WebhookClient:
    """Calls webhooks. Opens a session of its own at the first call; `close` ends it.

    A webhook outside this machine can't be called.
    """

    def __init__(self, resolve: ResolveService = no_services) -> None:
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def review(self, webhook: Webhook, body: Obj) -> bytes | CallFailed:
        """The body of the webhook's answer, or why there is none, in the API server's words."""
        timeout = webhook.timeout_seconds
        try:
            target = self._target(webhook.body.get("clientConfig") or {}, timeout)
        except ServiceUnreachable as error:
            return CallFailed(f"failed to call webhook: {error}")
        try:
            context = _context(str((webhook.body.get("clientConfig") or {}).get("caBundle") or ""))
        except (ssl.SSLError, ValueError, binascii.Error):
            return CallFailed("failed to call webhook: unable to load root certificates from caBundle")
        try:
            async with asyncio.timeout(timeout):
                return await self._post(target, msgspec.json.encode(body), context)
        except TimeoutError:
            reason = "context deadline exceeded"
        except aiohttp.ClientConnectorCertificateError as error:
            reason = f"tls: failed to verify certificate: {_certificate_fault(error.certificate_error)}"
        except aiohttp.ClientConnectorError as error:
            reason = f"dial tcp {error.host}:{error.port}: connect: {_system_text(error)}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        return CallFailed(f'failed to call webhook: Post "{target.url}": {reason}')

    async def _post(self, target: _Target, body: bytes, context: ssl.SSLContext) -> bytes | CallFailed:
        session = self._opened()
        for attempt in range(2):
            try:
                async with session.post(
                    target.connect,
                    data=body,
                    headers={
                        "Content-Type": "application/json",
                        "Accept": "application/json",
                        "Host": target.server_name,
                    },
                    ssl=context,
                    server_hostname=target.server_name,
                    allow_redirects=False,
                ) as response:
                    answer = await _read(response.content)
                    return answer if response.status == 200 else CallFailed(_refusal(response.status, answer))
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection may have been closed by the webhook just now; one fresh try tells.
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = _loopback_session()
        return self._session

    def _target(self, client: Obj, timeout: int) -> _Target:
        service = client.get("service")
        query = f"timeout={timeout}s"
        if isinstance(service, dict):
            namespace, name = service.get("namespace") or "", service.get("name") or ""
            port, path = int(service.get("port") or 443), service.get("path") or "/"
            endpoint = self._resolve(namespace, name, port)
            server_name = f"{name}.{namespace}.svc"
            host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
            return _Target(
                f"https://{server_name}:{port}{path}?{query}",
                server_name,
                f"https://{host}:{endpoint.port}{path}?{query}",
            )
        url = str(client.get("url") or "")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not _is_loopback(host):
            raise ServiceUnreachable(f'Post "{url}?{query}": the lab connects to nothing outside this machine')
        return _Target(f"{url}?{query}", host, f"{url}?{query}")


def _loopback_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=True,
        headers={"User-Agent": "kube-apiserver-admission"},
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=32)
def _context(bundle: str) -> ssl.SSLContext:
    """TLS that trusts the bundle only; without one, the machine's roots, as the API server does."""
    if not bundle:
        return ssl.create_default_context()
    return ssl.create_default_context(cadata=base64.b64decode(bundle).decode("ascii"))


async def _read(content: aiohttp.StreamReader) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in content.iter_chunked(64 * 1024):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _refusal(status: int, body: bytes) -> str:
    if status == 404:
        return "failed to call webhook: the server could not find the requested resource"
    if status >= 500:
        text = body[:200].decode("utf-8", "replace").strip() or "unknown"
        why = f"an error on the server ({_quoted(text)}) has prevented the request from succeeding"
    else:
        why = f"the server rejected our request for an unknown reason (status {status})"
    return f"failed to call webhook: {why}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _certificate_fault(error: Any) -> str:
    text = getattr(error, "verify_message", "") or str(error)
    if "self-signed" in text or "unable to get local issuer" in text:
        return "x509: certificate signed by unknown authority"
    if "expired" in text:
        return "x509: certificate has expired or is not yet valid"
    return f"x509: {text}"


def _system_text(error: aiohttp.ClientConnectorError) -> str:
    # asyncio puts its own sentence in the place of the system's.
    number = error.os_error.errno
    return os.strerror(number).lower() if number else str(error.os_error)
