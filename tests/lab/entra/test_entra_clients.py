"""Unmodified clients against the authority over TLS, with an issuer that is fetched for real."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msal
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    WorkloadIdentityCredential,
)
from azure.identity.aio import WorkloadIdentityCredential as AioWorkloadIdentityCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import SystemClock
from podpass.lab.entra import Entra, NoFaults
from podpass.lab.entra.client_credentials import ClientCertificate, ClientSecret, digest_of
from podpass.lab.entra.directory import Application, Directory, Tenant
from podpass.lab.entra.signing import SigningIdentity, SigningKeys
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.asgi import Request, Response, answering, json_response
from podpass.serving.server import bind_tcp, serving
from podpass.tokens import jwt
from podpass.tokens.client import KeyFetcher
from podpass.tokens.discovery import issuer_document, jwks_url
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import JwkSet, SigningKey
from tests.lab.entra.entra_world import AUDIENCE, IDENTITY, IDENTITY_OBJECT, SUBJECT, TENANT, VAULT

ISSUER_HOST = "issuer.example.test"


class Loopback(AbstractResolver):
    """Knows the issuer's name and no other."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host != ISSUER_HOST:
            raise OSError(f"unknown host {host}")
        found = {"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}
        return [found]  # type: ignore[list-item]

    async def close(self) -> None:
        pass


@dataclass
class Site:
    """A running authority and a running issuer."""

    authority: str
    issuer: str
    ca: Path
    entra: Entra
    journal: Journal
    cluster_keys: list[SigningKey]
    faults: NoFaults

    def assertion(self, key: SigningKey | None = None, **changes: Any) -> str:
        now = int(SystemClock().now())
        claims = {"aud": [AUDIENCE], "exp": now + 3600, "iat": now, "iss": self.issuer, "nbf": now, "sub": SUBJECT}
        return jwt.sign({**claims, **changes}, key or self.cluster_keys[0])


@pytest.fixture
async def site(
    tmp_path: Path,
    signing: tuple[SigningIdentity, SigningIdentity],
    cluster_key: SigningKey,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Site]:
    certificates = CertificateAuthority.open(tmp_path / "ca")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.pem)
    # Where the machine's environment names a bundle or a proxy, requests prefers them to what the client was given.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
    monkeypatch.setenv("NO_PROXY", "localhost")
    keys = [cluster_key]
    issuer_listener, entra_listener = bind_tcp(), bind_tcp()
    issuer = f"https://{ISSUER_HOST}:{issuer_listener.getsockname()[1]}/c1/"

    async def documents(request: Request) -> Response:
        if request.path == "/c1/.well-known/openid-configuration":
            return json_response(200, issuer_document(issuer, jwks_url(issuer), ["RS256"]))
        if request.path == "/c1/openid/v1/jwks":
            return json_response(200, JwkSet(tuple(key.public for key in keys)).to_dict())
        return Response(404)

    store = Store.open(tmp_path / "state.db")
    clock = SystemClock()
    journal, directory = Journal(store, clock), Directory(store, clock)
    directory.put_tenant(Tenant(TENANT))
    directory.put_application(Application(TENANT, IDENTITY, IDENTITY_OBJECT, "orders", "managed-identity"))
    directory.put_credential(TENANT, IDENTITY, FederatedCredential("c", issuer, SUBJECT, (AUDIENCE,)))
    connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=certificates.client_context())
    issuer_app = answering(documents, max_body=0, too_large=lambda _: Response(413))
    faults = NoFaults()
    async with aiohttp.ClientSession(connector=connector) as session:
        entra = Entra(
            store,
            clock,
            journal,
            directory,
            KeyFetcher(session, clock),
            signing=SigningKeys(None, clock, *signing),
            faults=faults,
        )
        async with (
            serving(issuer_app, [issuer_listener], tls=certificates.server_context([ISSUER_HOST])),
            serving(entra.app, [entra_listener], tls=certificates.server_context(["localhost"])),
        ):
            authority = f"https://localhost:{entra_listener.getsockname()[1]}"
            yield Site(authority, issuer, ca, entra, journal, keys, faults)
    store.close()


async def test_client_assertion_credential_gets_a_token(site: Site) -> None:
    def get() -> str:
        with ClientAssertionCredential(
            TENANT, IDENTITY, site.assertion, authority=site.authority, connection_verify=str(site.ca)
        ) as credential:
            return credential.get_token(VAULT).token

    token = jwt.verify_signature(await asyncio.to_thread(get), site.entra.keys)
    assert token.claims["oid"] == IDENTITY_OBJECT
    hops = [event.hop for event in site.journal.events()]
    assert [(hop.who, hop.whom, hop.outcome) for hop in hops] == [
        ("entra", "issuer", "done"),
        ("entra", "issuer", "done"),
        (SUBJECT, "entra", "granted"),
    ]
    assert len({event.trace for event in site.journal.events()}) == 1


async def test_workload_identity_credential_reads_the_token_from_its_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "azure-identity-token"
    file.write_text(site.assertion())
    settings = {"tenant_id": TENANT, "client_id": IDENTITY, "token_file_path": str(file), "authority": site.authority}

    def get() -> str:
        with WorkloadIdentityCredential(**settings, connection_verify=str(site.ca)) as credential:
            return credential.get_token(VAULT).token

    assert jwt.verify_signature(await asyncio.to_thread(get), site.entra.keys)
    async with AioWorkloadIdentityCredential(**settings, connection_verify=str(site.ca)) as credential:
        token = await credential.get_token("https://management.core.windows.net//.default")
    claims = jwt.verify_signature(token.token, site.entra.keys).claims
    assert claims["aud"] == "https://management.core.windows.net/"


async def test_the_client_shows_the_code_of_a_refusal(site: Site) -> None:
    def get() -> None:
        with ClientAssertionCredential(
            TENANT,
            IDENTITY,
            lambda: site.assertion(sub=SUBJECT.upper()),
            authority=site.authority,
            connection_verify=str(site.ca),
        ) as credential:
            credential.get_token(VAULT)

    with pytest.raises(ClientAuthenticationError, match=r"\(invalid_client\) AADSTS7002138: No matching federated"):
        await asyncio.to_thread(get)


async def test_a_rotated_cluster_key_works_without_a_restart(site: Site) -> None:
    def get(key: SigningKey) -> str:
        with ClientAssertionCredential(
            TENANT, IDENTITY, lambda: site.assertion(key), authority=site.authority, connection_verify=str(site.ca)
        ) as credential:
            return credential.get_token(VAULT).token

    await asyncio.to_thread(get, site.cluster_keys[0])
    new = await asyncio.to_thread(SigningKey.generate)
    site.cluster_keys.append(new)
    assert await asyncio.to_thread(get, new)


async def test_msal_discovers_the_authority_and_gets_a_token(site: Site) -> None:
    def get() -> dict[str, Any]:
        client = msal.ConfidentialClientApplication(
            IDENTITY,
            authority=f"{site.authority}/{TENANT}",
            client_credential={"client_assertion": site.assertion},
            instance_discovery=False,
            verify=str(site.ca),
        )
        return client.acquire_token_for_client([VAULT])

    answer = await asyncio.to_thread(get)
    assert jwt.verify_signature(answer["access_token"], site.entra.keys)
    assert answer["expires_in"] == 86399


async def test_msal_shows_the_code_of_a_refusal(site: Site) -> None:
    def get(secret: str) -> dict[str, Any]:
        client = msal.ConfidentialClientApplication(
            IDENTITY,
            authority=f"{site.authority}/{TENANT}",
            client_credential=secret,
            instance_discovery=False,
            verify=str(site.ca),
        )
        return client.acquire_token_for_client([VAULT])

    answer = await asyncio.to_thread(get, "a-secret")
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [7000215])


APPLICATION = "88888888-2222-4333-8444-555555555555"


async def test_a_client_secret_signs_an_application_in(site: Site) -> None:
    directory, now = site.entra.directory, SystemClock().now()
    directory.put_application(Application(TENANT, APPLICATION, IDENTITY_OBJECT[::-1], "orders-app"))

    def secret(text: str, ends: float) -> ClientSecret:
        return ClientSecret(
            key_id=text, digest=digest_of(text), hint=text[:3], display_name=None, starts=now - 60, ends=ends
        )

    directory.put_secrets(TENANT, APPLICATION, (secret("old", now - 1), secret("good", now + 60)))

    def get(text: str) -> str:
        with ClientSecretCredential(
            TENANT,
            APPLICATION,
            text,
            authority=site.authority,
            connection_verify=str(site.ca),
            disable_instance_discovery=True,
        ) as credential:
            return credential.get_token(VAULT).token

    claims = jwt.verify_signature(await asyncio.to_thread(get, "good"), site.entra.keys).claims
    assert (claims["appid"], claims["appidacr"]) == (APPLICATION, "1")
    for text, code in (("bad", 7000215), ("old", 7000222)):
        with pytest.raises(ClientAuthenticationError, match=f"AADSTS{code}:"):
            await asyncio.to_thread(get, text)
    assert "good" not in repr([event.hop for event in site.journal.events()]).replace("id good", "")


async def test_a_certificate_signs_an_application_in(site: Site, tmp_path: Path) -> None:
    directory, now = site.entra.directory, SystemClock().now()
    directory.put_application(Application(TENANT, APPLICATION, IDENTITY_OBJECT[::-1], "orders-app"))
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name.from_rfc4514_string("CN=orders")
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    der = certificate.public_bytes(serialization.Encoding.DER)

    def by_identity() -> str:
        with CertificateCredential(
            TENANT,
            APPLICATION,
            certificate_data=private + public,
            authority=site.authority,
            connection_verify=str(site.ca),
            disable_instance_discovery=True,
        ) as credential:
            return credential.get_token(VAULT).token

    def by_msal() -> dict[str, Any]:
        # Without a thumbprint MSAL names the certificate by SHA-256 and signs with PS256.
        client = msal.ConfidentialClientApplication(
            APPLICATION,
            authority=f"{site.authority}/{TENANT}",
            client_credential={"private_key": private.decode(), "public_certificate": public.decode()},
            instance_discovery=False,
            verify=str(site.ca),
        )
        return client.acquire_token_for_client([VAULT])

    with pytest.raises(ClientAuthenticationError, match="AADSTS700027:"):
        await asyncio.to_thread(by_identity)
    kept = ClientCertificate(key_id="k1", der=der, display_name=None, starts=now - 60, ends=now + 60)
    directory.put_certificates(TENANT, APPLICATION, (kept,))
    claims = jwt.verify_signature(await asyncio.to_thread(by_identity), site.entra.keys).claims
    assert (claims["appid"], claims["appidacr"]) == (APPLICATION, "2")
    answer = await asyncio.to_thread(by_msal)
    assert jwt.verify_signature(answer["access_token"], site.entra.keys).claims["appid"] == APPLICATION


async def test_an_application_signs_in_as_the_identity_it_trusts(site: Site) -> None:
    directory = site.entra.directory
    directory.put_application(Application(TENANT, APPLICATION, IDENTITY_OBJECT[::-1], "orders-app"))
    issuer = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    directory.put_credential(TENANT, APPLICATION, FederatedCredential("identity", issuer, IDENTITY_OBJECT, (AUDIENCE,)))

    def get() -> str:
        settings = {"authority": site.authority, "connection_verify": str(site.ca)}
        with (
            ClientAssertionCredential(TENANT, IDENTITY, site.assertion, **settings) as identity,
            ClientAssertionCredential(
                TENANT, APPLICATION, lambda: identity.get_token(f"{AUDIENCE}/.default").token, **settings
            ) as application,
        ):
            return application.get_token(VAULT).token

    claims = jwt.verify_signature(await asyncio.to_thread(get), site.entra.keys).claims
    assert (claims["appid"], claims["oid"]) == (APPLICATION, IDENTITY_OBJECT[::-1])


async def test_the_sdk_tries_again_when_the_authority_was_away(site: Site) -> None:
    def get() -> str:
        with ClientAssertionCredential(
            TENANT, IDENTITY, site.assertion, authority=site.authority, connection_verify=str(site.ca)
        ) as credential:
            return credential.get_token(VAULT).token

    site.faults.authority_unavailable = True
    async with asyncio.timeout(30), contextlib.aclosing(site.journal.follow()) as events:
        getting = asyncio.create_task(asyncio.to_thread(get))
        refused = (await anext(events)).hop
        site.faults.authority_unavailable = False
        assert await getting
    assert (refused.wire, refused.outcome) == ("AADSTS90033", "refused")
