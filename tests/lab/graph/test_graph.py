"""The reads that az makes of Microsoft Graph."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from podpass.lab.graph import Graph
from podpass.lab.graph.authorization import GLOBAL_ADMINISTRATOR
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import OTHER_TENANT, TENANT, Reply, World, send

AUDIENCE = "https://graph.microsoft.com/"
BY_IDS = "/v1.0/directoryObjects/getByIds"


class Asking:
    def __init__(self, world: World) -> None:
        self.world = world
        self.identity = world.identity("orders")
        people = world.arm.estate.people
        self.graph = Graph(world.directory, world.clock, world.journal, world.access_tokens, people)
        self.graph.roles.give(TENANT, GLOBAL_ADMINISTRATOR, world.owner.object_id)

    async def __call__(self, method: str, path: str, content: Any = None, *, who: Any = None, **headers: str) -> Reply:
        token = self.world.token(who, AUDIENCE)
        url = f"https://graph.microsoft.com{path}"
        return await send(self.graph.app, method, url, token=token, content=content, headers=headers)

    async def named(self, name: str, who: Any = None) -> Reply:
        asked = f"servicePrincipalNames/any(c:c eq '{name.replace(chr(39), chr(39) * 2)}')"
        return await self("GET", f"/v1.0/servicePrincipals?$filter={quote(asked, safe='')}", who=who)

    async def anonymous(self, audience: str = "") -> Reply:
        token = self.world.token(None, audience) if audience else ""
        return await send(self.graph.app, "GET", "https://graph.microsoft.com/v1.0/me", token=token)


@pytest.fixture
def graph(signing_key: SigningKey) -> Iterator[Asking]:
    world = World(signing_key)
    yield Asking(world)
    world.store.close()


async def test_a_service_principal_is_found_by_its_client_id(graph: Asking) -> None:
    (found,) = (await graph.named(graph.identity.client_id.upper())).body["value"]
    assert (found["id"], found["appId"]) == (graph.identity.principal_id, graph.identity.client_id)
    assert (found["displayName"], found["servicePrincipalType"]) == ("orders", "ManagedIdentity")
    assert graph.identity.client_id in found["servicePrincipalNames"]


async def test_nothing_is_found_by_another_name(graph: Asking) -> None:
    elsewhere = graph.world.application("elsewhere", OTHER_TENANT)
    for name in ("nobody", "it's", "", elsewhere.client_id, graph.identity.principal_id):
        assert (await graph.named(name)).body["value"] == []


async def test_objects_are_found_by_their_ids_with_their_type(graph: Asking) -> None:
    ids = [graph.identity.principal_id, graph.world.owner.object_id, "nobody"]
    found = (await graph("POST", BY_IDS, {"ids": ids, "types": ["user", "servicePrincipal"]})).body["value"]
    assert {(each["@odata.type"], each["id"]) for each in found} == {
        ("#microsoft.graph.servicePrincipal", graph.identity.principal_id),
        ("#microsoft.graph.servicePrincipal", graph.world.owner.object_id),
    }
    assert (await graph("POST", BY_IDS, {"ids": ids, "types": ["user"]})).body["value"] == []
    assert len((await graph("POST", BY_IDS, {"ids": ids})).body["value"]) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"ids":"x"}', b'{"ids":[1]}', b'{"ids":[]}', b"\xff"])
async def test_a_body_that_is_no_list_of_ids_is_refused(graph: Asking, body: bytes) -> None:
    reply = await graph("POST", BY_IDS, body)
    assert (reply.status, reply.code) == (400, "BadRequest")


async def test_who_holds_no_directory_role_may_not_read(graph: Asking) -> None:
    for reply in (
        await graph.named(graph.identity.client_id, graph.identity),
        await graph("POST", BY_IDS, {"ids": [graph.identity.principal_id]}, who=graph.identity),
    ):
        assert (reply.status, reply.code) == (403, "Authorization_RequestDenied")
    assert (graph.world.hops[-1].outcome, graph.world.hops[-1].whom) == ("refused", "graph")


async def test_me_is_nobody_without_a_user(graph: Asking) -> None:
    reply = await graph("GET", "/v1.0/me", **{"client-request-id": "abc"})
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert reply.message == "/me request is only valid with delegated authentication flow."
    assert reply.body["error"]["innerError"]["client-request-id"] == "abc"


@pytest.mark.parametrize("audience", ["", "https://vault.azure.net"])
async def test_a_token_for_graph_is_needed(graph: Asking, audience: str) -> None:
    reply = await graph.anonymous(audience)
    assert (reply.status, reply.code) == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1.0/servicePrincipals?$filter=accountEnabled%20eq%20true"),
        ("GET", "/v1.0/servicePrincipals?$search=x"),
        ("GET", "/v1.0/users?$orderby=displayName"),
        ("POST", "/v1.0/invitations"),
        ("POST", "/v1.0/users/x/assignLicense"),
        ("GET", "/beta/servicePrincipals"),
        ("GET", "/"),
    ],
)
async def test_what_is_not_emulated_is_said_openly(graph: Asking, method: str, path: str) -> None:
    reply = await graph(method, path)
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert graph.world.hops[-1].outcome == "noted"
