"""The webhook's process over real TLS sockets, against a loopback API server."""

import asyncio
import base64
import contextlib
import io
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import jsonpatch
import msgspec
import pytest
import trustme
from cryptography import x509
from loopback_cluster import loopback_cluster

from podpass.kube.client import Client
from podpass.serving.server import bind_tcp
from podpass.telemetry.logging import make_logger
from podpass.webhook import Settings, run
from podpass.webhook.certificates import Material, due, renewed
from podpass.webhook.manifests import CONFIGURATION, SECRET, SERVICE, certificate_secret, webhook_configuration
from podpass.webhook.settings import CertificateSource
from podpass.webhook.tls import serving_name

NAMESPACE = "azure-workload-identity-system"
NAME = serving_name(SERVICE, NAMESPACE)
SECRET_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}"
CONFIGURATION_PATH = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{CONFIGURATION}"
ACCOUNT_PATH = "/api/v1/namespaces/shop/serviceaccounts/orders-sa"
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
ACCOUNT = {"metadata": {"annotations": {"azure.workload.identity/client-id": CLIENT_ID}}}
SETTINGS = Settings(tenant_id="8d8ba3c5-6e2a-4e4e-9c3a-0d7f4f0a1b2c", namespace=NAMESPACE)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def material() -> Material:
    return renewed(None, due(None, NAME, now=time.time()), NAME, now=time.time())


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(context)
    return context


def trusting(pem: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem.decode())


class Log(io.StringIO):
    """A log whose lines wake up whoever waits for something to have happened."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


class Running:
    """A webhook that runs, and a keep-alive session that calls it as the API server does."""

    def __init__(self, port: int, health_port: int, log: Log) -> None:
        self.port, self.health_port, self.log = port, health_port, log
        self.session = aiohttp.ClientSession()

    async def review(self, pod: dict, trust: ssl.SSLContext, *, namespace: str = "shop") -> dict:
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u-1",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "operation": "CREATE",
                "namespace": namespace,
                "object": pod,
            },
        }
        async with self.session.post(
            f"https://127.0.0.1:{self.port}/mutate-v1-pod?timeout=10s", json=review, ssl=trust, server_hostname=NAME
        ) as answer:
            assert answer.status == 200
            return await answer.json()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://127.0.0.1:{self.health_port}{path}") as answer:
            return answer.status, await answer.text()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* holds; it is looked at after each line of the log."""
        async with asyncio.timeout(10):
            while not condition():
                self.log.written.clear()
                await self.log.written.wait()

    def logged(self, event: str) -> list[dict]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@contextlib.asynccontextmanager
async def webhook(
    client: Client, settings: Settings = SETTINGS, *, wait: bool = True, **options
) -> AsyncIterator[Running]:
    listener, health = bind_tcp(), bind_tcp()
    ready = asyncio.Event()
    log = Log()
    running = Running(listener.getsockname()[1], health.getsockname()[1], log)
    task = asyncio.create_task(
        run(
            settings,
            client,
            listener=listener,
            health_listener=health,
            metrics_listener=bind_tcp(),
            ready=ready,
            log=make_logger("webhook", level="debug", stream=log),
            **options,
        )
    )
    try:
        async with running.session:
            if wait:
                async with asyncio.timeout(10):
                    await ready.wait()
            yield running
    finally:
        task.cancel()
        async with asyncio.timeout(10):
            with contextlib.suppress(asyncio.CancelledError):
                await task


def pod(name: str = "orders") -> dict:
    spec = {"serviceAccountName": "orders-sa", "containers": [{"name": "app", "image": "app:1"}]}
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_review_is_answered_with_a_patch_that_applies(authority: trustme.CA):
    async with loopback_cluster() as (cluster, client):
        cluster.put(ACCOUNT_PATH, ACCOUNT)
        async with webhook(client, tls=server_context(authority)) as running:
            trust = trusting(authority.cert_pem.bytes())
            answer = await running.review(pod(), trust)
            again = await running.review(pod("other"), trust)
            response = answer["response"]
            assert answer["apiVersion"] == "admission.k8s.io/v1"
            assert (response["uid"], response["allowed"], response["patchType"]) == ("u-1", True, "JSONPatch")
            assert response["status"] == {"code": 200}
            mutated = jsonpatch.apply_patch(pod(), json.loads(base64.b64decode(response["patch"])))
            assert mutated["spec"]["containers"][0]["env"][0] == {"name": "AZURE_CLIENT_ID", "value": CLIENT_ID}
            assert again["response"]["allowed"]
            assert len(running.session.connector._conns) == 1, "the connection is kept for the next review"
            (first, _) = running.logged("review.admitted")
            assert first["pod"] == "orders"
            assert first["operations"] == 3
            assert CLIENT_ID in first["client_id"]
            status, metrics = await running.get("/metrics")
    assert status == 200
    assert 'azwi_mutation_request_count{namespace="",service_name="webhook"} 2.0' in metrics
    assert 'controller_runtime_webhook_requests_total{code="200",webhook="/mutate-v1-pod"} 2.0' in metrics


async def test_an_account_that_the_copy_has_not_seen_is_read_live_once(authority: trustme.CA):
    async with loopback_cluster() as (cluster, client):
        cluster.hidden.add(ACCOUNT_PATH)
        async with webhook(client, tls=server_context(authority)) as running:
            cluster.put(ACCOUNT_PATH, ACCOUNT)
            answer = await running.review(pod(), trusting(authority.cert_pem.bytes()))
        assert answer["response"]["auditAnnotations"] == {"layout": "v1", "client-id": CLIENT_ID}
        assert [r.path for r in cluster.requests].count(ACCOUNT_PATH) == 1


async def test_an_account_that_is_nowhere_denies_the_pod(authority: trustme.CA):
    async with loopback_cluster() as (_, client), webhook(client, tls=server_context(authority)) as running:
        answer = await running.review(pod(), trusting(authority.cert_pem.bytes()))
        assert answer["response"] == {
            "uid": "u-1",
            "allowed": False,
            "status": {"code": 400, "message": 'serviceaccounts "orders-sa" not found'},
        }
        (line,) = running.logged("review.denied")
        assert line["code"] == 400


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "A", "x" * 300, "a?b"])
async def test_a_name_that_nothing_can_have_never_becomes_an_address(authority: trustme.CA, name: str):
    async with loopback_cluster() as (cluster, client), webhook(client, tls=server_context(authority)) as running:
        asking = {**pod(), "spec": {**pod()["spec"], "serviceAccountName": name}}
        answer = await running.review(asking, trusting(authority.cert_pem.bytes()))
        assert answer["response"]["status"]["code"] == 400
        assert "not found" in answer["response"]["status"]["message"]
        assert all(request.path == "/api/v1/serviceaccounts" for request in cluster.requests)
        assert max(map(len, running.log.getvalue().splitlines())) < 2000


async def test_an_api_server_that_is_gone_denies_and_does_not_hang(authority: trustme.CA):
    async with contextlib.AsyncExitStack() as stack:
        async with loopback_cluster() as (cluster, client):
            await stack.enter_async_context(Client(client.access))
            other = await stack.enter_async_context(Client(client.access))
            running = await stack.enter_async_context(webhook(other, tls=server_context(authority)))
            cluster.close_watches()
        answer = await running.review(pod(), trusting(authority.cert_pem.bytes()))
        assert answer["response"]["status"]["code"] == 400
        assert "could not be read" in answer["response"]["status"]["message"]


async def test_the_certificate_is_made_in_the_secret_and_its_authority_is_registered():
    async with loopback_cluster() as (cluster, client):
        cluster.put(ACCOUNT_PATH, ACCOUNT)
        cluster.put(SECRET_PATH, certificate_secret(NAMESPACE))
        cluster.put(CONFIGURATION_PATH, webhook_configuration(namespace=NAMESPACE))
        async with webhook(client) as running:

            def bundle() -> str:
                return cluster.objects[CONFIGURATION_PATH]["webhooks"][0]["clientConfig"].get("caBundle", "")

            await running.until(bundle)
            made = Material.from_secret(cluster.objects[SECRET_PATH])
            assert base64.b64decode(bundle()) == made.ca_certificate
            answer = await running.review(pod(), trusting(made.ca_certificate))
            assert answer["response"]["allowed"]
            assert await running.get("/readyz") == (200, "ok")
            edited = msgspec.json.decode(msgspec.json.encode(cluster.objects[CONFIGURATION_PATH]))
            edited["webhooks"][0]["clientConfig"]["caBundle"] = "ZWRpdGVk"
            cluster.put(CONFIGURATION_PATH, edited)
            await running.until(lambda: base64.b64decode(bundle()) == made.ca_certificate)
            assert b"PRIVATE KEY" not in running.log.getvalue().encode()
        assert set(cluster.objects[SECRET_PATH]["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}


async def test_a_write_that_another_replica_won_is_not_repeated_blindly(material: Material):
    async with loopback_cluster() as (cluster, client):
        cluster.put(SECRET_PATH, certificate_secret(NAMESPACE))
        cluster.put(CONFIGURATION_PATH, webhook_configuration(namespace=NAMESPACE))
        cluster.conflicts = 1
        async with webhook(client, wait=False) as running:
            await running.until(lambda: running.logged("certificate.turn_failed"))
            winner = {**certificate_secret(NAMESPACE), "data": material.to_data()}
            cluster.put(SECRET_PATH, winner)
            await running.until(
                lambda: (
                    cluster.objects[CONFIGURATION_PATH]["webhooks"][0]["clientConfig"].get("caBundle")
                    == base64.b64encode(material.ca_certificate).decode()
                )
            )
        assert Material.from_secret(cluster.objects[SECRET_PATH]) == material


async def test_without_a_registration_the_webhook_serves_but_is_not_ready(material: Material):
    async with loopback_cluster() as (cluster, client):
        cluster.put(SECRET_PATH, {**certificate_secret(NAMESPACE), "data": material.to_data()})
        async with webhook(client) as running:
            assert await running.get("/healthz") == (200, "ok")
            status, text = await running.get("/readyz")
            assert status == 500
            assert f'[-]registration mutatingwebhookconfigurations "{CONFIGURATION}" not found' in text
            cluster.put(CONFIGURATION_PATH, webhook_configuration(namespace=NAMESPACE))
            await running.until(lambda: running.logged("ca_bundle.written"))


async def test_before_there_is_a_certificate_neither_check_passes():
    async with loopback_cluster() as (_, client), webhook(client, wait=False) as running:
        status, text = await running.get("/healthz")
        assert status == 500
        assert "[-]certificates no certificate was loaded yet" in text
        assert (await running.get("/readyz"))[0] == 500


async def test_new_files_are_served_without_a_restart(tmp_path: Path, material: Material):
    other = renewed(None, due(None, NAME, now=0), NAME, now=time.time())
    material.write(tmp_path)
    settings = replace(
        SETTINGS,
        certificates=CertificateSource.FILES,
        certificate_directory=tmp_path,
        certificate_poll_seconds=0.02,
    )
    async with loopback_cluster() as (cluster, client):
        cluster.put(ACCOUNT_PATH, ACCOUNT)
        async with webhook(client, settings) as running:
            kept = trusting(material.ca_certificate)
            assert (await running.review(pod(), kept))["response"]["allowed"]
            (tmp_path / "tls.crt").write_bytes(b"half of a")
            await running.until(lambda: running.logged("certificate.unusable"))
            assert (await running.review(pod(), trusting(material.ca_certificate)))["response"]["allowed"]
            other.write(tmp_path)
            await running.until(lambda: len(running.logged("certificate.loaded")) == 2)
            assert (await running.review(pod(), kept))["response"]["allowed"], "an open connection goes on"
            assert (await running.review(pod(), trusting(other.ca_certificate)))["response"]["allowed"]


async def test_a_self_signed_certificate_is_kept_for_the_next_start(tmp_path: Path):
    settings = replace(SETTINGS, certificates=CertificateSource.SELF_SIGNED, certificate_directory=tmp_path / "own")
    async with loopback_cluster() as (cluster, client):
        cluster.put(ACCOUNT_PATH, ACCOUNT)
        async with webhook(client, settings) as running:
            made = Material.from_directory(tmp_path / "own")
            assert (await running.review(pod(), trusting(made.ca_certificate)))["response"]["allowed"]
            assert await running.get("/readyz") == (200, "ok")
        async with webhook(client, settings):
            assert Material.from_directory(tmp_path / "own") == made
        assert not [request for request in cluster.requests if request.method != "GET"]
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "own").iterdir()} == {0o600}


async def test_nothing_older_than_the_least_tls_version_is_spoken(tmp_path: Path):
    settings = replace(SETTINGS, certificates=CertificateSource.SELF_SIGNED, certificate_directory=tmp_path)
    async with loopback_cluster() as (cluster, client):
        cluster.put(ACCOUNT_PATH, ACCOUNT)
        async with webhook(client, settings) as running:
            trust = trusting((tmp_path / "ca.crt").read_bytes())
            trust.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(aiohttp.ClientConnectionError):
                await running.review(pod(), trust)
        async with webhook(client, replace(settings, tls_min_version="1.2")) as running:
            assert (await running.review(pod(), trust))["response"]["allowed"]


class TestRenewal:
    """The check is a function of the material, the name and the time."""

    def test_a_fresh_pair_is_good(self, material: Material):
        assert due(material, NAME, now=time.time()) is None

    def test_the_leaf_is_renewed_90_days_before_its_end_under_the_same_authority(self, material: Material):
        end = x509.load_pem_x509_certificate(material.certificate).not_valid_after_utc.timestamp()
        assert due(material, NAME, now=end - 91 * 86400) is None
        now = end - 89 * 86400
        renewal = due(material, NAME, now=now)
        assert renewal.what == "leaf"
        again = renewed(material, renewal, NAME, now=now)
        assert again.ca_certificate == material.ca_certificate
        assert again.ca_key == material.ca_key
        assert again.certificate != material.certificate
        assert due(again, NAME, now=now) is None

    def test_an_authority_near_its_end_takes_the_leaf_with_it(self, material: Material):
        end = x509.load_pem_x509_certificate(material.ca_certificate).not_valid_after_utc.timestamp()
        assert due(material, NAME, now=end - 89 * 86400).what == "authority"

    @pytest.mark.parametrize(
        ("part", "what"),
        [("ca_certificate", "authority"), ("ca_key", "authority"), ("certificate", "leaf"), ("key", "leaf")],
    )
    def test_a_part_that_cant_be_read_is_made_anew(self, material: Material, part: str, what: str):
        assert due(replace(material, **{part: b"rubbish"}), NAME, now=time.time()).what == what

    def test_another_name_needs_another_leaf(self, material: Material):
        assert due(material, "other.ns.svc", now=time.time()).what == "leaf"

    @pytest.mark.parametrize("secret", [None, {}, {"data": {}}, {"data": {"ca.crt": "!"}}, {"data": {"tls.crt": ""}}])
    def test_an_empty_secret_holds_nothing(self, secret):
        assert Material.from_secret(secret) is None
        assert due(None, NAME, now=0).what == "authority"

    def test_what_is_made_is_what_the_contract_says(self, material: Material):
        ca = x509.load_pem_x509_certificate(material.ca_certificate)
        leaf = x509.load_pem_x509_certificate(material.certificate)
        assert material.ca_key.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
        assert ca.subject.rfc4514_string() == "CN=azure-workload-identity-ca,O=azure-workload-identity"
        assert leaf.subject.rfc4514_string() == f"CN={SERVICE}", "the whole name has more than 64 characters"
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [NAME]
        assert ca.not_valid_after_utc - ca.not_valid_before_utc == timedelta(days=3650)
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=365)
        assert datetime.now(UTC) - leaf.not_valid_before_utc < timedelta(hours=1, minutes=5)

    def test_no_key_shows_in_a_repr(self, material: Material):
        assert "PRIVATE" not in repr(material)

    def test_a_long_namespace_still_gets_a_certificate(self):
        name = serving_name(SERVICE, "n" * 63)
        assert due(renewed(None, due(None, name, now=0), name, now=time.time()), name, now=time.time()) is None
