"""The Authorization header and TLS context of each request, renewed as tokens rotate."""

import asyncio
import base64
import os
import ssl
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDict

from podpass.kube.config import Access, BasicPassword, ClientCertificate, ExecPlugin, StaticToken, TokenFile

TOKEN_REREAD_SECONDS = 30.0
EXEC_TIMEOUT_SECONDS = 60.0
EXPIRY_MARGIN_SECONDS = 30.0


class CredentialsFailed(Exception):
    """No credential could be had; the text says which file or program failed and never holds what it printed."""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    status: _Status = msgspec.field(default_factory=_Status)


class Credentials:
    """What one `Access` presents. A token file is read again after 30 s, a plugin is asked again at expiry."""

    def __init__(
        self,
        access: Access,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._monotonic = monotonic
        self._now = now
        self._lock = asyncio.Lock()
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._fresh_until: float | None = None
        self._secure = urlsplit(access.server).scheme == "https"
        self._tls = tls_context(access, access.certificate) if self._secure else None
        # A credential on a plain connection is readable on the way; kubectl sends none either.
        self._may_send = self._secure or (urlsplit(access.server).hostname or "") in ("127.0.0.1", "::1", "localhost")

    async def headers(self) -> CIMultiDict[str]:
        """Raises CredentialsFailed."""
        if not self._may_send:
            return CIMultiDict()
        if self._fresh_until is None or self._monotonic() >= self._fresh_until:
            async with self._lock:
                if self._fresh_until is None or self._monotonic() >= self._fresh_until:
                    await self._renew()
        return self._headers

    @property
    def tls(self) -> ssl.SSLContext | None:
        return self._tls

    def discard(self) -> None:
        """Ask again before the next request: the server refused what we sent."""
        self._fresh_until = None

    async def _renew(self) -> None:
        headers: CIMultiDict[str] = CIMultiDict()
        until = float("inf")
        match self._access.credential:
            case StaticToken(token):
                headers["Authorization"] = f"Bearer {token}"
            case BasicPassword(username, password):
                pair = base64.b64encode(f"{username}:{password}".encode()).decode()
                headers["Authorization"] = f"Basic {pair}"
            case TokenFile(path):
                try:
                    token = path.read_text().strip()
                except OSError as error:
                    raise CredentialsFailed(f"{path}: {error.strerror}") from error
                if not token:
                    raise CredentialsFailed(f"{path} is empty")
                headers["Authorization"] = f"Bearer {token}"
                until = self._monotonic() + TOKEN_REREAD_SECONDS
            case ExecPlugin() as plugin:
                status = await _run_plugin(plugin, self._access)
                if status.token:
                    headers["Authorization"] = f"Bearer {status.token}"
                if status.client_certificate_data:
                    pair_pem = ClientCertificate(
                        status.client_certificate_data.encode(), status.client_key_data.encode()
                    )
                    self._tls = tls_context(self._access, pair_pem) if self._secure else None
                if status.expiration_timestamp is not None:
                    left = status.expiration_timestamp.timestamp() - self._now()
                    until = self._monotonic() + max(left - EXPIRY_MARGIN_SECONDS, 1.0)
            case None:
                pass
        if self._access.impersonate_user:
            headers["Impersonate-User"] = self._access.impersonate_user
            for group in self._access.impersonate_groups:
                headers.add("Impersonate-Group", group)
        self._headers, self._fresh_until = headers, until


def tls_context(access: Access, certificate: ClientCertificate | None) -> ssl.SSLContext:
    """Trusts the access's authorities only, and presents *certificate*. Raises CredentialsFailed."""
    try:
        context = ssl.create_default_context(cadata=access.ca_pem.decode("latin-1") if access.ca_pem else None)
        if access.skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            # OpenSSL's binding loads key pairs from files only: one that nobody else can read, for an instant.
            with tempfile.NamedTemporaryFile(prefix="podpass-", suffix=".pem") as pair:
                pair.write(certificate.certificate_pem.rstrip() + b"\n" + certificate.key_pem)
                pair.flush()
                context.load_cert_chain(pair.name)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise CredentialsFailed(
            f"the certificates for {access.server} can't be used: {type(error).__name__}"
        ) from error
    return context


async def _run_plugin(plugin: ExecPlugin, access: Access) -> _Status:
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {
            "server": access.server,
            "certificate-authority-data": base64.b64encode(access.ca_pem or b"").decode(),
            "tls-server-name": access.tls_server_name,
            "insecure-skip-tls-verify": access.skip_tls_verify,
        }
    information = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    environment = {**os.environ, **dict(plugin.environment)}
    environment["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(information).decode()
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
        )
    except OSError as error:
        hint = f" {plugin.install_hint}" if plugin.install_hint else ""
        raise CredentialsFailed(f"the credential plugin {plugin.command}: {error.strerror}.{hint}") from error
    try:
        async with asyncio.timeout(EXEC_TIMEOUT_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise CredentialsFailed(f"the credential plugin {plugin.command} took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CredentialsFailed(f"the credential plugin {plugin.command} ended with code {process.returncode}")
    try:
        answer = msgspec.json.decode(output, type=_ExecCredential)
    except msgspec.MsgspecError as error:
        # Not chained: the decoder's exception may quote what the plugin printed.
        raise CredentialsFailed(f"the credential plugin {plugin.command} printed no ExecCredential: {error}") from None
    if not answer.status.token and not answer.status.client_certificate_data:
        raise CredentialsFailed(f"the credential plugin {plugin.command} gave neither a token nor a certificate")
    return answer.status
