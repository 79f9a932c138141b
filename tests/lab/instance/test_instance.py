"""The metadata service of a machine: which identity, which token, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import azure.identity
import msal
import pytest
import requests
from azure.identity.aio import ManagedIdentityCredential as AioManagedIdentityCredential

from podpass.imds.errors import ImdsError
from podpass.imds.responses import IssuedToken
from podpass.lab.arm.model import Resource
from podpass.lab.arm.paths import resource_id
from podpass.lab.instance import Instance
from podpass.serving.asgi import App
from podpass.serving.server import bind_tcp, serving
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import NOW, TENANT, Reply, World, send

TOKEN = "/metadata/identity/oauth2/token"
SOUND = "api-version=2018-02-01&resource=https://vault.azure.net"


class Machine:
    """A virtual machine of the world and its metadata service; tokens tell who they are for."""

    def __init__(self, world: World, *, system: bool = False, identities: tuple[str, ...] = ()) -> None:
        self.world = world
        self.identities = {name: world.identity(name) for name in identities}
        ids = [one.id for one in self.identities.values()]
        self.resource = world.arm.seed.put_machine(world.group.id, "vm-1", system_assigned=system, identities=ids)
        self.issued: list[tuple[str, str]] = []
        self.limited = False
        self.app: App = Instance(
            world.clock,
            world.journal,
            who="program",
            machine=self.find,
            issue=self.issue,
            limited=lambda: self.limited,
        ).app

    def find(self) -> tuple[Resource, str] | None:
        return self.world.arm.machine(self.resource.id)

    def issue(self, tenant_id: str, principal_id: str, resource: str) -> IssuedToken | ImdsError:
        if resource == "nonsense":
            return ImdsError(400, "invalid_resource", "AADSTS500011: no such resource")
        self.issued.append((principal_id, resource))
        now = int(self.world.clock.now())
        token = f"token {len(self.issued)} of {principal_id}"
        return IssuedToken(token, f"client of {principal_id}", now - 300, now + 86_400)

    async def get(self, query: str = SOUND, path: str = TOKEN, method: str = "GET", **headers: str) -> Reply:
        sent = {"metadata": "true"} | {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://imds.example{path}?{query}"
        return await send(self.app, method, url, headers={name: value for name, value in sent.items() if value})

    async def who(self, more: str = "") -> str:
        """The principal of the token, or why there is none."""
        reply = await self.get(SOUND + more)
        if reply.status != 200:
            return f"{reply.status} {reply.body['error_description']}"
        return str(reply.body["access_token"].rpartition(" ")[2])


@pytest.fixture
async def world(signing_key: SigningKey) -> AsyncIterator[World]:
    made = World(signing_key)
    yield made
    made.store.close()


async def test_a_token_is_answered_in_strings(world: World) -> None:
    machine = Machine(world, identities=("orders",))
    reply = await machine.get()
    principal = machine.identities["orders"].principal_id
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["server"].startswith("IMDS/")
    assert reply.body == {
        "access_token": f"token 1 of {principal}",
        "client_id": f"client of {principal}",
        "expires_in": "86400",
        "expires_on": str(int(NOW) + 86_400),
        "ext_expires_in": "86400",
        "not_before": str(int(NOW) - 300),
        "resource": "https://vault.azure.net",
        "token_type": "Bearer",
    }


async def test_the_identity_is_the_one_that_is_named(world: World) -> None:
    machine = Machine(world, identities=("orders", "reports"))
    for one in machine.identities.values():
        for named in (
            f"&client_id={one.client_id}",
            f"&client_id={one.client_id.upper()}",
            f"&object_id={one.principal_id}",
            f"&msi_res_id={one.id}",
            f"&mi_res_id={one.id.lower()}",
        ):
            assert await machine.who(named) == one.principal_id
    elsewhere = world.identity("elsewhere")
    assert await machine.who(f"&client_id={elsewhere.client_id}") == "400 Identity not found"
    assert (await machine.who()).startswith("400 Multiple user assigned identities exist")
    both = f"&client_id={machine.identities['orders'].client_id}&object_id=x"
    assert (await machine.who(both)).startswith("400 Only one of")


async def test_without_a_name_the_machines_own_identity_comes_first(world: World) -> None:
    machine = Machine(world, system=True, identities=("orders", "reports"))
    own = machine.resource.extra["identity"]["principalId"]
    assert await machine.who() == own
    assert await machine.who(f"&object_id={own}") == own
    assert await machine.who(f"&msi_res_id={machine.resource.id}") == own


async def test_a_machine_without_identities_and_no_machine_say_the_same(world: World) -> None:
    machine = Machine(world)
    assert await machine.who() == "400 Identity not found"
    world.arm.estate.delete(resource_id(machine.resource.id))
    assert await machine.who() == "400 Identity not found"
    assert (await machine.get("api-version=2021-02-01", "/metadata/instance")).status == 404
    assert world.hops[-2].why.startswith("this machine has no managed identity")


async def test_an_identity_that_is_taken_away_is_gone_at_once(world: World) -> None:
    machine = Machine(world, identities=("orders",))
    assert (await machine.get()).status == 200
    world.arm.seed.put_machine(world.group.id, "vm-1")
    assert await machine.who() == "400 Identity not found"


async def test_a_token_is_given_again_until_it_is_nearly_over(world: World) -> None:
    machine = Machine(world, identities=("orders",))
    first = (await machine.get()).body
    world.clock.advance(86_000)
    again = (await machine.get()).body
    assert (again["access_token"], again["expires_in"]) == (first["access_token"], "400")
    assert (await machine.get(SOUND + "&bypass_cache=true")).body["access_token"] != first["access_token"]
    world.clock.advance(86_200)
    assert (await machine.get()).body["expires_in"] == "86400"
    await machine.get("api-version=2018-02-01&resource=https://management.azure.com/")
    assert len(machine.issued) == 4


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("resource=a", "Required query variable 'api-version' is missing"),
        ("api-version=2018-02-01", "Required query variable 'resource' is missing"),
        ("api-version=2017-12-01&resource=a", "Query variable 'api-version' is not a supported version"),
        ("api-version=latest&resource=a", "Query variable 'api-version' is not a supported version"),
        (SOUND + "&resource=b", "A query variable is given twice"),
        (SOUND + "&RESOURCE=b", "A query variable is given twice"),
        (SOUND + f"&client_id={'x' * 3000}", "A query variable is too long"),
        ("api-version=2018-02-01&resource=nonsense", "AADSTS500011: no such resource"),
    ],
)
async def test_the_query_is_checked(world: World, query: str, said: str) -> None:
    reply = await Machine(world, identities=("orders",)).get(query)
    assert (reply.status, reply.body["error_description"]) == (400, said)


@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        ({"metadata": ""}, "GET", 400),
        ({"metadata": "yes"}, "GET", 400),
        ({"x_forwarded_for": "10.0.0.1"}, "GET", 400),
        ({}, "POST", 405),
        ({"metadata": "True"}, "GET", 200),
    ],
)
async def test_only_the_machines_own_requests_count(
    world: World, headers: dict[str, str], method: str, status: int
) -> None:
    reply = await Machine(world, identities=("orders",)).get(method=method, **headers)
    assert reply.status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/METADATA/identity/oauth2/token", 200),
        ("/metadata\\identity\\oauth2\\token", 200),
        ("/metadata/identity/oauth2/Token", 404),
        ("/metadata/identity/oauth2/token/x", 404),
        ("/metadata/identity/info", 200),
        ("/metadata/attested/document", 404),
        ("/", 404),
    ],
)
async def test_paths_are_read_as_the_real_service_reads_them(world: World, path: str, status: int) -> None:
    assert (await Machine(world, identities=("orders",)).get(path=path)).status == status


async def test_the_machine_is_described(world: World) -> None:
    machine = Machine(world)
    found = (await machine.get("api-version=2017-08-01", "/metadata/instance")).body["compute"]
    assert (found["name"], found["location"], found["resourceGroupName"]) == ("vm-1", "eastus", "shop")
    assert found["vmId"] == machine.resource.properties["vmId"]
    assert "resourceId" not in found
    versions = (await machine.get("", "/metadata/versions", metadata="")).body["apiVersions"]
    assert "2018-02-01" in versions
    assert (await machine.get("api-version=2018-02-01", "/metadata/identity/info")).body == {"tenantId": TENANT}


async def test_limits_are_kept_when_they_are_asked_for(world: World) -> None:
    machine = Machine(world, identities=("orders",))
    assert {(await machine.get()).status for _ in range(40)} == {200}
    machine.limited = True
    answers = [(await machine.get()).status for _ in range(21)]
    assert answers == [200] * 20 + [429]
    assert (await machine.get()).headers["retry-after"] == "1"
    assert [(await machine.get("api-version=2021-02-01", "/metadata/instance")).status for _ in range(6)][-1] == 429
    world.clock.advance(1)
    assert (await machine.get()).status == 200


async def test_no_token_stands_in_the_journal(world: World) -> None:
    machine = Machine(world, identities=("orders",))
    token = (await machine.get()).body["access_token"]
    assert token not in repr(world.hops)
    assert world.hops[-1].decision["issued"].startswith("sha256:")


# Stock clients over a socket


@pytest.fixture
async def served(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    machine = Machine(world, identities=("orders", "reports"))
    listener = bind_tcp()
    # The clients never ask the link-local address: this variable is the documented way to another one.
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{listener.getsockname()[1]}")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(machine.app, [listener]), asyncio.timeout(30):
        yield machine


async def test_azure_identity_signs_in_by_every_id(served: Machine) -> None:
    orders = served.identities["orders"]

    def by(**named: Any) -> str:
        with azure.identity.ManagedIdentityCredential(**named) as credential:
            return credential.get_token("https://vault.azure.net/.default").token

    ways: list[dict[str, Any]] = [
        {"client_id": orders.client_id},
        {"identity_config": {"object_id": orders.principal_id}},
        {"identity_config": {"resource_id": orders.id}},
    ]
    for way in ways:
        assert (await asyncio.to_thread(by, **way)).endswith(orders.principal_id)
    async with AioManagedIdentityCredential(client_id=orders.client_id) as credential:
        assert (await credential.get_token("https://vault.azure.net/.default")).token.endswith(orders.principal_id)
    with pytest.raises(azure.identity.CredentialUnavailableError, match="Multiple user assigned"):
        await asyncio.to_thread(by)


async def test_azure_identity_gives_up_at_once_without_an_identity(served: Machine) -> None:
    served.world.arm.seed.put_machine(served.world.group.id, "vm-1")

    def ask() -> None:
        with azure.identity.ManagedIdentityCredential() as credential:
            credential.get_token("https://vault.azure.net/.default")

    with pytest.raises(azure.identity.CredentialUnavailableError, match="Identity not found"):
        await asyncio.to_thread(ask)


async def test_msal_signs_in(served: Machine) -> None:
    orders = served.identities["orders"]

    def ask() -> dict[str, Any]:
        identity = msal.UserAssignedManagedIdentity(client_id=orders.client_id)
        with requests.Session() as session:
            client = msal.ManagedIdentityClient(identity, http_client=session)
            return client.acquire_token_for_client(resource="https://vault.azure.net")

    answer = await asyncio.to_thread(ask)
    assert answer["access_token"].endswith(orders.principal_id)
