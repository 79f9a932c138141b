"""The controller against a cluster's API and the lab's Resource Manager, over real sockets."""

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from podpass.azure.clouds import PUBLIC
from podpass.kube import resources
from podpass.kube.client import ApiError, Client
from podpass.kube.config import Access, StaticToken
from podpass.kube.objects import Obj
from podpass.lab.arm.paths import resource_id
from podpass.lab.arm.seeding import Identity
from podpass.mic.assigned import FINALIZER
from podpass.mic.cleanup import clean_up
from podpass.mic.cloud import CloudConfig, ManagedIdentity
from podpass.mic.loop import run
from podpass.mic.settings import Settings
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, IDENTITIES
from podpass.serving.asgi import (
    Receive,
    Response,
    Scope,
    Send,
    json_response,
    read_body,
    request_of,
    send_response,
)
from podpass.serving.server import bind_tcp, serving
from podpass.telemetry.logging import make_logger
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import SUBSCRIPTION, World
from tests.podidentity.identity_cluster import CRDS, IdentityCluster, ended, identity_cluster

T = TypeVar("T")
SCALE_SETS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop/providers/Microsoft.Compute/virtualMachineScaleSets"
LABEL = {"aadpodidbinding": "web"}


@dataclass
class Cloud:
    """The lab's Resource Manager and a metadata service, with what the test wants said first."""

    world: World
    writes: list[tuple[str, Any]] = field(default_factory=list)
    """The PATCHes: the name of the machine, and the body."""
    answers: list[Response] = field(default_factory=list)
    """To PATCHes, before Resource Manager is asked."""
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    """By a machine's name: its PATCHes wait for it."""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, limit=1 << 20)
        request = request_of(scope, body)
        if request.path.startswith("/metadata/identity"):
            assert request.headers["metadata"] == "true"
            token = {"access_token": self.world.token(), "expires_in": "86400"}
            await send_response(send, json_response(200, token))
            return
        # Each question lets a second pass, so that operations end.
        self.world.start += 1.0
        if request.method == "PATCH":
            name = request.path.rpartition("/")[2]
            self.writes.append((name, json.loads(request.body)))
            self.came.set()
            if name in self.hold:
                await self.hold[name].wait()
            if self.answers:
                await send_response(send, self.answers.pop(0))
                return

        async def again() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.world.arm.app(scope, again, send)

    def assigned(self, name: str = "pool") -> set[str]:
        """The names of the identities that a scale set has."""
        found = self.world.arm.estate.get(resource_id(f"{SCALE_SETS}/{name}"))
        assert found is not None
        ids = (found.extra.get("identity") or {}).get("userAssignedIdentities") or {}
        return {each.rpartition("/")[2] for each in ids}


@dataclass
class Estate:
    """A cluster, its clouds, and MIC between them."""

    cluster: IdentityCluster
    cloud: Cloud
    identities: dict[str, Identity]
    settings: Settings
    url: str
    log: io.StringIO = field(default_factory=io.StringIO)

    @property
    def kube(self) -> Client:
        return self.cluster.kube

    @contextlib.asynccontextmanager
    async def mic(self, client: Client | None = None, **changed: Any) -> AsyncIterator[None]:
        cloud = replace(PUBLIC, resource_manager=f"{self.url}/", authority_host=f"{self.url}/")
        config = CloudConfig(cloud, SUBSCRIPTION, "shop", ManagedIdentity())
        ready = asyncio.Event()
        running = asyncio.create_task(
            run(
                replace(self.settings, **changed),
                client or self.kube,
                cloud=lambda: config,
                health_listener=bind_tcp(),
                metrics_listener=bind_tcp(),
                cloud_retry_seconds=(0.0, 0.0),
                ready=ready,
                log=make_logger("mic", stream=self.log),
            )
        )
        try:
            async with asyncio.timeout(20):
                await ready.wait()
            yield
        finally:
            await ended(running)

    async def node(self, name: str, scale_set: str = "pool", number: int = 0) -> None:
        spec = {"providerID": f"azure://{SCALE_SETS}/{scale_set}/virtualMachines/{number}"}
        await self.kube.create(resources.NODES, {"metadata": {"name": name}, "spec": spec})

    async def identity(self, name: str, *, namespace: str = "shop") -> None:
        made = self.identities[name]
        await self.cluster.identity(name, namespace=namespace, clientID=made.client_id, resourceID=made.id)

    async def bound(self, name: str, selector: str = "web", *, namespace: str = "shop") -> None:
        await self.identity(name, namespace=namespace)
        await self.cluster.binding(f"{name}-binding", name, selector, namespace=namespace)

    async def pod(self, name: str, *, node: str = "node-a", namespace: str = "shop", **options: Any) -> Obj:
        return await self.cluster.pod(name, "10.0.0.1", node=node, namespace=namespace, labels=LABEL, **options)

    async def remove_pod(self, name: str, namespace: str = "shop") -> None:
        await self.kube.delete(resources.PODS, name, namespace, grace_period_seconds=0)

    async def until(self, check: Callable[[], Awaitable[T | None]]) -> T:
        """What *check* gives, asked again after every write of the cluster until it gives something."""
        written = asyncio.Event()
        self.cluster.api.cluster.storage.listen(lambda _: written.set())
        async with asyncio.timeout(20):
            while (found := await check()) is None:
                await written.wait()
                written.clear()
        return found

    async def statuses(self) -> dict[str, str]:
        listing = await self.kube.list(ASSIGNED_IDENTITIES)
        return {each["metadata"]["name"]: each["status"]["status"] for each in listing.items}

    async def become(self, expected: dict[str, str]) -> None:
        async def check() -> bool | None:
            return True if await self.statuses() == expected else None

        try:
            await self.until(check)
        except TimeoutError:
            raise AssertionError(f"{await self.statuses()} and not {expected}\n{self.log.getvalue()}") from None

    async def event(self, reason: str) -> Obj:
        async def check() -> Obj | None:
            listing = await self.kube.list(resources.EVENTS)
            return next((each for each in listing.items if each["reason"] == reason), None)

        return await self.until(check)


@pytest.fixture
async def estate(tmp_path: Path, signing_key: SigningKey) -> AsyncIterator[Estate]:
    world = World(signing_key)
    identities = {name: world.identity(name) for name in ("one", "two", "three")}
    for name in ("pool", "other"):
        body = {"location": "eastus", "sku": {"name": "Standard_D2s_v3", "capacity": 1}}
        assert (await world.call("PUT", f"{SCALE_SETS}/{name}", body)).status == 201
    cloud = Cloud(world)
    listener = bind_tcp()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(
        metadata_host=url, instance="me", election_seconds=15.0, retry_seconds=0.0, immutable=frozenset()
    )
    async with identity_cluster(tmp_path) as cluster, serving(cloud.app, [listener], grace_seconds=0.1):
        made = Estate(cluster, cloud, identities, settings, url)
        await made.node("node-a")
        yield made


async def test_the_first_pod_brings_its_identity_and_the_last_takes_it_away(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        assert estate.cloud.assigned() == {"one"}
        await estate.pod("web-1")
        await estate.become({"web-0-shop-one": "Assigned", "web-1-shop-one": "Assigned"})
        await estate.remove_pod("web-0")
        await estate.become({"web-1-shop-one": "Assigned"})
        assert estate.cloud.assigned() == {"one"}
        await estate.remove_pod("web-1")
        await estate.become({})
        assert estate.cloud.assigned() == set()
    assert len(estate.cloud.writes) == 2


async def test_the_object_is_what_the_original_writes(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
    found = await estate.kube.get(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")
    assert found["metadata"]["labels"] == {"nodename": "node-a"}
    assert found["metadata"]["finalizers"] == [FINALIZER]
    spec = found["spec"]
    assert (spec["pod"], spec["podNamespace"], spec["nodename"]) == ("web-0", "shop", "node-a")
    assert found["spec"]["azureIdentityRef"]["spec"]["clientID"] == estate.identities["one"].client_id
    assert spec["azureBindingRef"]["metadata"]["name"] == "one-binding"
    assert found["status"] == {"availableReplicas": 1, "status": "Assigned"}
    name, body = estate.cloud.writes[0]
    key = estate.identities["one"].id.lower()
    assert (name, body) == ("pool", {"identity": {"type": "UserAssigned", "userAssignedIdentities": {key: {}}}})
    said = await estate.event("binding applied")
    assert said["involvedObject"]["kind"] == "AzureIdentityBinding"
    assert said["source"]["component"] == "aadpodidentity.k8s.io"


async def test_what_was_there_before_the_start_is_done(estate: Estate) -> None:
    await estate.bound("one")
    await estate.pod("web-0")
    async with estate.mic():
        await estate.become({"web-0-shop-one": "Assigned"})
    await estate.remove_pod("web-0")
    async with estate.mic(instance="another"):
        await estate.become({})
    assert estate.cloud.assigned() == set()


async def test_many_pods_at_once_are_one_write(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await asyncio.gather(*(estate.pod(f"web-{number}") for number in range(40)))
        await estate.become({f"web-{number}-shop-one": "Assigned" for number in range(40)})
    assert len(estate.cloud.writes) == 1


async def test_pods_of_one_name_in_two_namespaces_are_two(estate: Estate) -> None:
    await estate.kube.create(resources.NAMESPACES, {"metadata": {"name": "bank"}})

    async def has_an_account() -> bool | None:
        return True if (await estate.kube.list(resources.SERVICEACCOUNTS, "bank")).items else None

    await estate.until(has_an_account)
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.pod("web-0", namespace="bank")
        await estate.become({"web-0-shop-one": "Assigned", "web-0-bank-one": "Assigned"})
        await estate.remove_pod("web-0")
        await estate.become({"web-0-bank-one": "Assigned"})
        assert estate.cloud.assigned() == {"one"}


async def test_a_pod_that_has_ended_needs_nothing(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("job")
        await estate.become({"job-shop-one": "Assigned"})
        await estate.cluster.phase("job", "Succeeded", "10.0.0.1")
        await estate.become({})


async def test_an_edited_identity_is_assigned_anew(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        two = estate.identities["two"]
        spec = {"clientID": two.client_id, "resourceID": two.id}
        await estate.kube.patch(IDENTITIES, "one", {"spec": spec}, "shop")

        async def changed() -> bool | None:
            found = await estate.kube.get(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")
            same = found["spec"]["azureIdentityRef"]["spec"]["clientID"] == two.client_id
            return True if same and found["status"]["status"] == "Assigned" else None

        await estate.until(changed)
    assert estate.cloud.assigned() == {"two"}


async def test_an_identity_that_can_t_be_used_gives_nothing(estate: Estate) -> None:
    async with estate.mic():
        await estate.cluster.identity("bad", resourceID="nonsense")
        await estate.cluster.binding("bad", "bad", "web")
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})


async def test_a_deleted_binding_takes_the_identity_away(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        await estate.kube.delete(BINDINGS, "one-binding", "shop")
        await estate.become({})
        assert estate.cloud.assigned() == set()


async def test_an_immutable_identity_is_never_taken_away(estate: Estate) -> None:
    async with estate.mic(immutable=frozenset({estate.identities["one"].client_id.lower()})):
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        await estate.remove_pod("web-0")
        await estate.become({})
        assert estate.cloud.assigned() == {"one"}


async def test_a_slow_machine_holds_up_no_other(estate: Estate) -> None:
    await estate.node("node-b", "other")
    estate.cloud.hold["pool"] = asyncio.Event()
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("slow")
        await estate.cloud.came.wait()
        await estate.pod("fast", node="node-b")
        await estate.become({"slow-shop-one": "Created", "fast-shop-one": "Assigned"})
        estate.cloud.hold.pop("pool").set()
        await estate.become({"slow-shop-one": "Assigned", "fast-shop-one": "Assigned"})


async def test_one_bad_identity_holds_up_no_other(estate: Estate) -> None:
    bad = estate.identities["two"].id
    error = {"code": "FailedIdentityOperation", "message": f"Identity operation failed for '{bad}'."}
    estate.cloud.answers = [json_response(400, {"error": error})]
    async with estate.mic():
        await estate.bound("one")
        await estate.bound("two")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned", "web-0-shop-two": "Created"})
        assert estate.cloud.assigned() == {"one"}
        said = await estate.event("binding apply error")
        assert "FailedIdentityOperation" in said["message"]


@pytest.mark.parametrize("status", [401, 404, 409, 500])
async def test_a_refusal_of_resource_manager_is_tried_again(estate: Estate, status: int) -> None:
    refusal = json_response(status, {"error": {"code": "X", "message": "no"}})
    estate.cloud.answers = [refusal] * (3 if status == 500 else 1)
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})


async def test_a_throttled_write_waits_as_it_is_told(estate: Estate) -> None:
    body = {"error": {"code": "TooManyRequests", "message": "slow down"}}
    estate.cloud.answers = [json_response(429, body, (("Retry-After", "1"),))]
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
    assert len(estate.cloud.writes) == 2


async def test_what_a_machine_lost_is_added_again(estate: Estate) -> None:
    async with estate.mic(reconcile_seconds=0.2):
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        nothing = {"identity": {"type": "None"}}
        reply = await estate.cloud.world.call("PATCH", f"{SCALE_SETS}/pool", nothing)
        assert reply.status in (200, 202)
        async with asyncio.timeout(20):
            while estate.cloud.assigned() != {"one"}:
                estate.cloud.came.clear()
                await estate.cloud.came.wait()
                await asyncio.sleep(0)


async def test_a_node_that_vanished_leaves_nothing_behind(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        await estate.kube.delete(resources.NODES, "node-a")
        await estate.become({})
        said = await estate.event("binding removed")
        assert (said["type"], said["involvedObject"]["name"]) == ("Normal", "one-binding")
        assert said["message"] == "Binding one-binding removed from node node-a for pod web-0"


async def test_only_one_replica_works(estate: Estate) -> None:
    async with estate.mic(election_seconds=2.0):
        second = asyncio.create_task(_waiting(estate))
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        assert not second.done()
    # The first let go of the Lease at its end, so that the second need not wait for its time to pass.
    async with asyncio.timeout(20):
        await second
    lease = await estate.kube.get(resources.LEASES, "aad-pod-identity-mic", "default")
    assert lease["spec"]["leaseTransitions"] >= 0


async def _waiting(estate: Estate) -> None:
    async with estate.mic(instance="second", election_seconds=2.0):
        pass


@pytest.mark.parametrize(
    ("verb", "reason", "kind"),
    [
        ("patch", "status update error", "AzureAssignedIdentity"),
        ("create", "binding apply error", "AzureIdentityBinding"),
        ("delete", "binding remove error", "AzureIdentityBinding"),
    ],
)
async def test_what_the_server_refuses_is_told_at_the_object(estate: Estate, verb: str, reason: str, kind: str) -> None:
    async with own_account(estate, without=verb) as client, estate.mic(client, election_namespace="kube-system"):
        await estate.bound("one")
        await estate.pod("web-0")
        if verb == "delete":
            await estate.become({"web-0-shop-one": "Assigned"})
            await estate.kube.delete(resources.NODES, "node-a")
        said = await estate.event(reason)
    assert (said["type"], said["involvedObject"]["kind"]) == ("Warning", kind)
    assert "forbidden" in said["message"]


@contextlib.asynccontextmanager
async def own_account(estate: Estate, *, without: str = "") -> AsyncIterator[Client]:
    """A client with the rights of MIC's own account, but for one verb on assigned identities."""
    kubectl = str(Path(sys.executable).parent / "kubectl")
    await estate.cluster.api.kubectl(kubectl, "create", "namespace", "kube-system")
    for name in ("40-mic-rbac.yaml", "50-mic.yaml"):
        applied = await estate.cluster.api.kubectl(kubectl, "apply", "-f", str(CRDS.parent / name))
        assert applied.code == 0, applied.err
    role = await estate.kube.get(resources.CLUSTERROLES, "aad-pod-id-mic-role")
    for rule in role["rules"]:
        if rule["resources"] == ["azureassignedidentities"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != without]
    await estate.kube.replace(resources.CLUSTERROLES, role)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    account = "aad-pod-id-mic-service-account"
    answer = await estate.kube.create_subresource(resources.SERVICEACCOUNTS, account, "token", review, "kube-system")
    access = estate.kube.access
    own = Access(server=access.server, ca_pem=access.ca_pem, credential=StaticToken(answer["status"]["token"]))
    async with Client(own) as client:
        yield client


async def test_its_own_account_s_rights_are_enough(estate: Estate) -> None:
    async with own_account(estate) as client, estate.mic(client, election_namespace="kube-system"):
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        await estate.event("binding applied")
        await estate.remove_pod("web-0")
        await estate.become({})
    assert "orbidden" not in estate.log.getvalue()


async def test_what_is_left_can_be_cleaned_up(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
    with contextlib.suppress(ApiError):
        await estate.kube.delete(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")
    assert await estate.statuses() == {"web-0-shop-one": "Assigned"}
    told: list[str] = []
    assert await clean_up(estate.kube, told=told.append, dry_run=True) == 1
    assert await estate.statuses() != {}
    assert await clean_up(estate.kube, told=told.append) == 1
    assert await estate.statuses() == {}
    assert set(told) == {"azureassignedidentity default/web-0-shop-one"}


async def test_an_object_that_somebody_removed_comes_back(estate: Estate) -> None:
    async with estate.mic():
        await estate.bound("one")
        await estate.pod("web-0")
        await estate.become({"web-0-shop-one": "Assigned"})
        before = await estate.kube.get(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")
        with contextlib.suppress(ApiError):
            await estate.kube.patch(
                ASSIGNED_IDENTITIES, "web-0-shop-one", {"metadata": {"finalizers": None}}, "default"
            )
            await estate.kube.delete(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")

        async def back() -> bool | None:
            try:
                found = await estate.kube.get(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")
            except ApiError:
                return None
            new = found["metadata"]["uid"] != before["metadata"]["uid"]
            return True if new and found["status"]["status"] == "Assigned" else None

        await estate.until(back)
