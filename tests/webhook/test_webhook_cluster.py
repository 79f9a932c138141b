"""The webhook in the lab's cluster, with its own account, its own permissions and its own certificate."""

import asyncio
import base64
import contextlib
import io
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from podpass.kube.client import ApiError, Client
from podpass.kube.config import Access, StaticToken
from podpass.kube.reflector import Change, Reflector
from podpass.kube.resources import (
    BUILTIN,
    CONFIGMAPS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
)
from podpass.lab.clock import SystemClock
from podpass.lab.cluster import Cluster
from podpass.lab.cluster.admission.client import Endpoint
from podpass.lab.cluster.storage import HistoryLimits
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, serving
from podpass.telemetry.logging import make_logger
from podpass.webhook import Settings, manifests, run

TENANT = "8d8ba3c5-6e2a-4e4e-9c3a-0d7f4f0a1b2c"
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
P = "azure.workload.identity/"
BY_KIND = {resource.kind: resource for resource in BUILTIN}


class Lab:
    """A cluster on a TLS socket, an admin, and a webhook that is installed as the manifests say."""

    def __init__(self, cluster: Cluster, server: str, ca_pem: bytes, port: int) -> None:
        self.cluster, self.server, self.ca_pem, self.port = cluster, server, ca_pem, port

    def client(self, token: str) -> Client:
        return Client(Access(self.server, self.ca_pem, credential=StaticToken(token)))


@contextlib.asynccontextmanager
async def lab(directory: Path, listener: Any, **options: Any) -> AsyncIterator[tuple[Lab, Client]]:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    port = listener.getsockname()[1]

    def resolve(namespace: str, name: str, service_port: int) -> Endpoint:
        assert (namespace, name, service_port) == (manifests.NAMESPACE, manifests.SERVICE, 443)
        return Endpoint("127.0.0.1", port)

    store, clock = Store.open(None), SystemClock()
    ca_pem = authority.cert_pem.bytes()
    api = bind_tcp()
    server = f"https://127.0.0.1:{api.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(store.close)
        cluster = await Cluster.open(
            name="test",
            store=store,
            clock=clock,
            journal=Journal(store, clock),
            keys_directory=directory,
            issuer="https://issuer.example.test/",
            ca_pem=ca_pem,
            resolve_service=resolve,
            **options,
        )
        await stack.enter_async_context(serving(cluster.app, [api], tls=tls))
        await stack.enter_async_context(cluster)
        controllers = asyncio.create_task(cluster.run())
        stack.push_async_callback(stopped, controllers)
        running = Lab(cluster, server, ca_pem, port)
        async with running.client(cluster.admin_token) as admin:
            yield running, admin


async def stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def installed(directory: Path) -> AsyncIterator[Client]:
    """An admin of a cluster whose webhook runs with nothing but the rights that the manifests give."""
    listener = bind_tcp()
    async with lab(directory, listener) as (running, admin):
        for objects in manifests.files().values():
            for obj in objects:
                if obj["kind"] in BY_KIND and obj["kind"] not in ("Deployment", "Service", "PodDisruptionBudget"):
                    await admin.create(BY_KIND[obj["kind"]], obj, obj["metadata"].get("namespace"))
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await admin.create_subresource(
            SERVICEACCOUNTS, manifests.ACCOUNT, "token", review, manifests.NAMESPACE
        )
        ready, log = asyncio.Event(), io.StringIO()
        async with running.client(answer["status"]["token"]) as own:
            serving_reviews = asyncio.create_task(
                run(
                    Settings(tenant_id=TENANT),
                    own,
                    listener=listener,
                    health_listener=bind_tcp(),
                    metrics_listener=bind_tcp(),
                    ready=ready,
                    log=make_logger("webhook", stream=log),
                )
            )
            try:
                async with asyncio.timeout(20):
                    await ready.wait()
                    configurations = admin.watch(MUTATINGWEBHOOKCONFIGURATIONS, resource_version="0")
                    async with contextlib.aclosing(configurations):
                        async for event in configurations:
                            if event.object and "caBundle" in event.object["webhooks"][0]["clientConfig"]:
                                break
                yield admin
            finally:
                await stopped(serving_reviews)
        assert "loop.failed" not in log.getvalue()
        assert "reflector.failed" not in log.getvalue()


def pod(name: str = "orders", *, use: str = "true", account: str = "orders-sa", **annotations: str) -> dict:
    values = {P + key.replace("_", "-"): value for key, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {P + "use": use}, "annotations": values},
        "spec": {"serviceAccountName": account, "containers": [{"name": "app", "image": "app:1"}]},
    }


async def test_labelled_pods_are_mutated_and_others_are_left_alone(tmp_path: Path):
    async with installed(tmp_path) as admin:
        await admin.create(NAMESPACES, {"metadata": {"name": "shop"}})
        account = {"metadata": {"name": "orders-sa", "annotations": {P + "client-id": CLIENT_ID}}}
        await admin.create(SERVICEACCOUNTS, account, "shop")

        made = await admin.create(PODS, pod(), "shop")
        (container,) = made["spec"]["containers"]
        assert {entry["name"]: entry["value"] for entry in container["env"]} == {
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
        }
        assert "/var/run/secrets/azure/tokens" in [mount["mountPath"] for mount in container["volumeMounts"]]
        (volume,) = [volume for volume in made["spec"]["volumes"] if volume["name"] == "azure-identity-token"]
        assert volume["projected"]["defaultMode"] == 420, "the API server fills in what the webhook leaves out"

        for label in ("True", "false", ""):
            untouched = await admin.create(PODS, pod("other", use=label), "shop", dry_run=True)
            assert "env" not in untouched["spec"]["containers"][0]

        with pytest.raises(ApiError) as caught:
            await admin.create(PODS, pod("bad", service_account_token_expiration="60"), "shop")
        assert caught.value.status == 400
        assert caught.value.message == (
            'admission webhook "mutation.azure-workload-identity.io" denied the request: '
            "token expiration 60 not valid. Expected value to be between 3600 and 86400"
        )
        secret = await admin.get(SECRETS, manifests.SECRET, manifests.NAMESPACE)
        assert set(secret["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}


async def test_kubectl_shows_the_warning_of_an_account_without_a_client_id(tmp_path: Path):
    async with installed(tmp_path) as admin:
        kubectl = Path(sys.executable).with_name("kubectl")
        config = tmp_path / "config"
        config.write_text(json.dumps(kubeconfig(admin.access)))
        process = await asyncio.create_subprocess_exec(
            kubectl,
            "--kubeconfig",
            config,
            "apply",
            "--filename",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(tmp_path)},
        )
        async with asyncio.timeout(30):
            out, error = await process.communicate(json.dumps(pod(account="default")).encode())
    assert out == b"pod/orders created\n"
    assert error.decode() == (
        "Warning: service account default/default has no annotation "
        "azure.workload.identity/client-id, so AZURE_CLIENT_ID is not set\n"
    )


def kubeconfig(access: Access) -> dict:
    certificate = base64.b64encode(access.ca_pem).decode()
    return {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": access.server, "certificate-authority-data": certificate}}],
        "users": [{"name": "test", "user": {"token": access.credential.token}}],
    }


async def test_the_copy_follows_the_embedded_api(tmp_path: Path):
    listener = bind_tcp()
    with listener:
        async with lab(tmp_path, listener) as (_, admin):
            changes: asyncio.Queue[Change] = asyncio.Queue()
            for number in range(7):
                await admin.create(CONFIGMAPS, {"metadata": {"name": f"c{number}"}}, "default")
            copy = Reflector(admin, CONFIGMAPS, namespace="default", page_size=3, on_change=changes.put_nowait)
            following = asyncio.create_task(copy.run())
            try:
                async with asyncio.timeout(20):
                    await copy.synced.wait()
                    assert {item["metadata"]["name"] for item in copy.items()} >= {f"c{number}" for number in range(7)}
                    await admin.patch(CONFIGMAPS, "c1", {"data": {"a": "1"}}, "default")
                    await admin.delete(CONFIGMAPS, "c2", "default")
                    while copy.get("default", "c2") is not None:
                        await changes.get()
                    assert copy.get("default", "c1")["data"] == {"a": "1"}
            finally:
                await stopped(following)


async def test_a_watch_from_a_forgotten_version_is_refused_as_expired(tmp_path: Path):
    listener = bind_tcp()
    with listener:
        async with lab(tmp_path, listener, history=HistoryLimits(kept_always=2, kept_at_most=3, age_seconds=0.0)) as (
            _,
            admin,
        ):
            first = await admin.create(CONFIGMAPS, {"metadata": {"name": "first"}}, "default")
            for number in range(7):
                await admin.create(CONFIGMAPS, {"metadata": {"name": f"c{number}"}}, "default")
            with pytest.raises(ApiError) as caught:
                await anext(admin.watch(CONFIGMAPS, "default", resource_version=first["metadata"]["resourceVersion"]))
            assert caught.value.expired
