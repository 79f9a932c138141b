"""A service with a certificate authority of its own: it ends TLS itself, and sees its clients' certificates."""

import asyncio
import contextlib
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
from podpass.serving.connection import Limits
from podpass.serving.server import PEEK_SECONDS, bind_tcp, bind_unix, serving

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
    gateway = Gateway(names, {SERVICE: app, "arm": app}, journal, seal=TraceSeal())
    front, inner, inside = bind_tcp(), bind_tcp(), bind_unix(tmp_path / "g.sock")
    tls = own.server_context(["localhost"], asks_client=True)
    async with serving(app, [bind_tcp()], tls=tls) as engine:
        own_tls = {SERVICE: OwnTls(engine, tls)}
        proxy = ForwardProxy(gateway, names, ca, journal, own_tls=own_tls)
        async with (
            serve_gateway(gateway, [inner, inside], ca, names, own_tls=own_tls, limits=Limits(head_seconds=1)),
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


async def through_gateway(cluster: Cluster, host: str, tls: ssl.SSLContext, *, by_pod: bool) -> dict[str, Any]:
    connection = (
        asyncio.open_unix_connection(cluster.gateway_socket, ssl=tls, server_hostname=host)
        if by_pod
        else asyncio.open_connection(*cluster.gateway, ssl=tls, server_hostname=host)
    )
    reader, writer = await connection
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


@pytest.mark.parametrize("by_pod", [True, False])
async def test_a_certificate_arrives_through_the_gateway(cluster: Cluster, by_pod: bool) -> None:
    tls = cluster.tls(cluster.ca, shown=True)
    assert (await through_gateway(cluster, HOST, tls, by_pod=by_pod))["client"] == "CN=jane"


@pytest.mark.parametrize("by_pod", [True, False])
async def test_a_service_of_the_lab_learns_whether_a_pod_asks(
    cluster: Cluster, ca: CertificateAuthority, by_pod: bool
) -> None:
    tls = cluster.tls(ca, shown=False)
    found = await through_gateway(cluster, "management.azure.com", tls, by_pod=by_pod)
    assert found == {"client": "", "pod": by_pod}


async def test_a_greeting_in_parts_is_waited_for(cluster: Cluster) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = cluster.tls(cluster.ca, shown=False).wrap_bio(incoming, outgoing, server_hostname=HOST)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    reader, writer = await asyncio.open_connection(*cluster.gateway)
    for part in (hello[:3], hello[3:90], hello[90:]):
        writer.write(part)
        await writer.drain()
        # So that it arrives by itself.
        await asyncio.sleep(PEEK_SECONDS)
    incoming.write(await reader.read(65_536))
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write_eof()
    writer.close()
    assert client.version() is not None


async def test_one_who_says_nothing_or_no_tls_is_let_go(cluster: Cluster) -> None:
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        reader, writer = await asyncio.open_connection(*cluster.gateway)
        writer.write(said)
        writer.write_eof()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()
    assert (await ask(cluster, cluster.ca))["client"] == "CN=jane"


async def test_a_name_that_was_taken_away_leads_nowhere(cluster: Cluster) -> None:
    cluster.names.remove(HOST)
    cluster.names.remove(HOST)
    assert isinstance(cluster.names.resolve(HOST), Nowhere)
    with pytest.raises(aiohttp.ClientHttpProxyError):
        await ask(cluster, cluster.ca)
