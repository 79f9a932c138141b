"""A service with a certificate authority of its own: it ends TLS itself, and sees its clients' certificates."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.http import ForwardProxy, Gateway, OwnTls
from podpass.lab.doors.names import Names, Nowhere
from podpass.lab.doors.network import serve_forward_proxy, serve_gateway
from podpass.lab.doors.origin import asked_by_pod
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.journal import Journal
from podpass.serving.asgi import Request, answering, json_response
from podpass.serving.server import bind_tcp, bind_unix, serving

HOST = "red-1.hcp.westeurope.azmk8s.io"
SERVICE = "managed/red"


async def telling(request: Request) -> Any:
    subject = ""
    if request.client_certificate:
        subject = x509.load_pem_x509_certificate(request.client_certificate.encode()).subject.rfc4514_string()
    return json_response(200, {"client": subject, "pod": asked_by_pod()})


app = answering(telling, max_body=1_000, too_large=lambda request: json_response(413, {}))


@dataclass
class Cluster:
    ca: CertificateAuthority
    names: Names
    own_tls: dict[str, OwnTls]
    proxy: str
    gateway: tuple[str, int]
    gateway_socket: Path
    certificate: Path

    def tls(self, ca: CertificateAuthority, *, shown: bool) -> ssl.SSLContext:
        context = ca.client_context()
        if shown:
            context.load_cert_chain(self.certificate)
        return context


@pytest.fixture
async def cluster(ca: CertificateAuthority, journal: Journal, tmp_path: Path) -> AsyncIterator[Cluster]:
    own = CertificateAuthority.open(tmp_path / "own")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    certificate = tmp_path / "jane.pem"
    certificate.write_bytes(
        own.sign_client(subject, key.public_key(), timedelta(hours=1))
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    names = Names()
    names.add(HOST, SERVICE)
    gateway = Gateway(names, {SERVICE: app}, journal, seal=TraceSeal())
    front, inner, inside = bind_tcp(), bind_tcp(), bind_unix(tmp_path / "g.sock")
    tls = own.server_context(["localhost"], asks_client=True)
    async with serving(app, [bind_tcp()], tls=tls) as engine:
        own_tls = {SERVICE: OwnTls(engine, tls, own)}
        proxy = ForwardProxy(gateway, names, ca, journal, own_tls=own_tls)
        async with (
            serve_gateway(gateway, [inner, inside], ca, names, own_tls=own_tls),
            serve_forward_proxy(proxy, front),
        ):
            url = f"http://127.0.0.1:{front.getsockname()[1]}"
            yield Cluster(own, names, own_tls, url, inner.getsockname(), tmp_path / "g.sock", certificate)


async def ask(cluster: Cluster, ca: CertificateAuthority, *, shown: bool = True) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://{HOST}/", proxy=cluster.proxy, ssl=cluster.tls(ca, shown=shown)) as answer,
    ):
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.parametrize("shown", [True, False])
async def test_a_certificate_arrives_through_the_proxy(cluster: Cluster, shown: bool) -> None:
    assert await ask(cluster, cluster.ca, shown=shown) == {"client": "CN=jane" if shown else "", "pod": False}


async def test_the_labs_own_authority_does_not_stand_for_it(cluster: Cluster, ca: CertificateAuthority) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(cluster, ca)


@pytest.mark.parametrize("by_pod", [True, False])
async def test_the_gateway_shows_its_certificate_and_asks_for_none(cluster: Cluster, by_pod: bool) -> None:
    connecting = (
        asyncio.open_unix_connection(
            cluster.gateway_socket, ssl=cluster.tls(cluster.ca, shown=True), server_hostname=HOST
        )
        if by_pod
        else asyncio.open_connection(*cluster.gateway, ssl=cluster.tls(cluster.ca, shown=True), server_hostname=HOST)
    )
    reader, writer = await connecting
    writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"client": "", "pod": by_pod}


async def test_a_name_that_was_taken_away_leads_nowhere(cluster: Cluster) -> None:
    cluster.names.remove(HOST)
    cluster.names.remove(HOST)
    assert isinstance(cluster.names.resolve(HOST), Nowhere)
    with pytest.raises(aiohttp.ClientHttpProxyError):
        await ask(cluster, cluster.ca)
