"""Users, groups and what belongs to them, as az ad uses them."""

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.entra.people import People
from podpass.lab.store import Store
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import SUBSCRIPTION, World
from tests.lab.graph.test_graph import BY_IDS, Asking

USERS, GROUPS = "/v1.0/users", "/v1.0/groups"
SUB = f"/subscriptions/{SUBSCRIPTION}"
ASSIGNMENTS = f"{SUB}/providers/Microsoft.Authorization/roleAssignments"
PASSWORD = "Correct-Horse-9"


@pytest.fixture
def graph(signing_key: SigningKey) -> Iterator[Asking]:
    world = World(signing_key)
    yield Asking(world)
    world.store.close()


def a_user(name: str = "ann", **changes: Any) -> dict[str, Any]:
    return {
        "accountEnabled": True,
        "displayName": name.title(),
        "mailNickname": name,
        "passwordProfile": {"forceChangePasswordNextSignIn": False, "password": PASSWORD},
        "userPrincipalName": f"{name}@lab.example",
        **changes,
    }


def a_group(name: str = "ops", **changes: Any) -> dict[str, Any]:
    return {"displayName": name, "mailEnabled": False, "mailNickname": name, "securityEnabled": True, **changes}


async def made(graph: Asking, path: str, content: dict[str, Any]) -> dict[str, Any]:
    reply = await graph("POST", path, content)
    assert reply.status == 201, reply.body
    body: dict[str, Any] = reply.body
    return body


async def add(graph: Asking, group: str, member: str, what: str = "members") -> Any:
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{member}"}
    return await graph("POST", f"{GROUPS}/{group}/{what}/$ref", reference)


async def test_a_user_is_made_found_changed_and_deleted(graph: Asking) -> None:
    ann = await made(graph, USERS, a_user(surname="Ant"))
    assert (ann["displayName"], ann["surname"], ann["userPrincipalName"]) == ("Ann", "Ant", "ann@lab.example")
    assert PASSWORD not in str(ann)
    for name in (ann["id"].upper(), "ANN@lab.example", "('ann@lab.example')"):
        assert (await graph("GET", f"{USERS}/{name}")).body["id"] == ann["id"]
    found = await graph(
        "GET", f"{USERS}?$filter={quote(chr(39).join(['userPrincipalName eq ', 'ann@lab.example', '']))}"
    )
    assert [one["id"] for one in found.body["value"]] == [ann["id"]]
    changed = await graph(
        "PATCH", f"{USERS}/{ann['id']}", {"displayName": "Anna", "userPrincipalName": "anna@lab.example"}
    )
    assert changed.status == 204
    assert (await graph("GET", f"{USERS}/ann@lab.example")).status == 404
    assert (await graph("GET", f"{USERS}/anna@lab.example")).body["displayName"] == "Anna"
    assert (await graph("DELETE", f"{USERS}/{ann['id']}")).status == 204
    assert (await graph("GET", f"{USERS}/{ann['id']}")).code == "Request_ResourceNotFound"


async def test_no_password_is_kept_or_told(graph: Asking) -> None:
    await made(graph, USERS, a_user())
    kept = "".join(str(row) for row in graph.world.store.connection.iterdump())
    assert PASSWORD not in kept


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"displayName": None}, id="no-name"),
        pytest.param({"passwordProfile": None}, id="no-password"),
        pytest.param({"passwordProfile": {"password": "short1A"}}, id="short-password"),
        pytest.param({"passwordProfile": {"password": "lowercaseonly"}}, id="plain-password"),
        pytest.param({"passwordProfile": "secret"}, id="password-of-wrong-shape"),
        pytest.param({"userPrincipalName": "ann@elsewhere.example"}, id="foreign-domain"),
        pytest.param({"userPrincipalName": "ann"}, id="no-domain"),
        pytest.param({"mailNickname": "an n"}, id="nickname"),
        pytest.param({"accountEnabled": "yes"}, id="enabled"),
        pytest.param({"jobTitle": 7}, id="job"),
        pytest.param({"shoeSize": 7}, id="unknown"),
    ],
)
async def test_a_user_that_can_not_be_is_refused(graph: Asking, changes: dict[str, Any]) -> None:
    reply = await graph("POST", USERS, a_user(**changes))
    assert (reply.status, reply.code) == (400, "Request_BadRequest")
    assert (await graph("GET", USERS)).body["value"] == []


async def test_a_principal_name_is_used_once(graph: Asking) -> None:
    await made(graph, USERS, a_user())
    again = await graph("POST", USERS, a_user(userPrincipalName="ANN@lab.example"))
    assert again.message == "Another object with the same value for property userPrincipalName already exists."


async def test_a_group_is_made_found_changed_and_deleted(graph: Asking) -> None:
    ops = await made(graph, GROUPS, a_group(description="On call"))
    assert (ops["displayName"], ops["securityEnabled"], ops["description"]) == ("ops", True, "On call")
    query = quote("displayName eq 'ops' and mailNickname eq 'ops'")
    assert [one["id"] for one in (await graph("GET", f"{GROUPS}?$filter={query}")).body["value"]] == [ops["id"]]
    assert (await graph("PATCH", f"{GROUPS}/{ops['id']}", {"description": None})).status == 204
    assert (await graph("GET", f"{GROUPS}/{ops['id']}")).body["description"] is None
    assert (await graph("DELETE", f"{GROUPS}/{ops['id']}")).status == 204
    assert (await graph("GET", f"{GROUPS}/{ops['id']}")).status == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"displayName": ""}, 400, id="no-name"),
        pytest.param({"mailEnabled": True}, 400, id="mail"),
        pytest.param({"securityEnabled": False}, 400, id="not-for-security"),
        pytest.param({"groupTypes": ["Unified"]}, 501, id="of-microsoft-365"),
        pytest.param({"isAssignableToRole": True}, 501, id="for-directory-roles"),
        pytest.param({"mailNickname": "a@b"}, 400, id="nickname"),
        pytest.param({"members@odata.bind": "x"}, 400, id="binding"),
        pytest.param({"members@odata.bind": ["https://graph.microsoft.com/v1.0/users/nobody"]}, 404, id="nobody"),
    ],
)
async def test_a_group_that_can_not_be_is_refused(graph: Asking, changes: dict[str, Any], status: int) -> None:
    assert (await graph("POST", GROUPS, a_group(**changes))).status == status
    assert (await graph("GET", GROUPS)).body["value"] == []


async def test_members_are_added_listed_checked_and_removed(graph: Asking) -> None:
    ann = await made(graph, USERS, a_user())
    ops = await made(graph, GROUPS, a_group(**{"members@odata.bind": [f"https://x/v1.0/users/{ann['id']}"]}))
    assert (await add(graph, ops["id"], graph.identity.principal_id)).status == 204
    again = await add(graph, ops["id"], ann["id"])
    assert (again.status, again.code) == (400, "Request_BadRequest")
    assert again.message.endswith("already exist for the following modified properties: 'members'.")
    listed = (await graph("GET", f"{GROUPS}/{ops['id']}/members")).body["value"]
    assert {one["@odata.type"] for one in listed} == {"#microsoft.graph.user", "#microsoft.graph.servicePrincipal"}
    check = f"/v1.0/directoryObjects/{ann['id']}/checkMemberGroups"
    asked = {"groupIds": [ops["id"], str(uuid.uuid4())]}
    assert (await graph("POST", check, asked)).body["value"] == [ops["id"]]
    assert (await graph("DELETE", f"{GROUPS}/{ops['id']}/members/{ann['id']}/$ref")).status == 204
    assert (await graph("DELETE", f"{GROUPS}/{ops['id']}/members/{ann['id']}/$ref")).status == 404
    assert (await graph("POST", check, asked)).body["value"] == []
    assert (await add(graph, ops["id"], ops["id"])).status == 400
    assert (await add(graph, ops["id"], str(uuid.uuid4()))).status == 404


async def test_groups_are_in_groups_at_any_depth(graph: Asking) -> None:
    ann = await made(graph, USERS, a_user())
    inner, middle, outer = [await made(graph, GROUPS, a_group(name)) for name in ("inner", "middle", "outer")]
    for holder, member in ((inner, ann), (middle, inner), (outer, middle), (inner, outer)):
        assert (await add(graph, holder["id"], member["id"])).status == 204
    everything = sorted(one["id"] for one in (inner, middle, outer))
    assert (await graph("POST", f"{USERS}/{ann['id']}/getMemberGroups", {"securityEnabledOnly": True})).body[
        "value"
    ] == everything
    direct = (await graph("GET", f"{USERS}/{ann['id']}/memberOf")).body["value"]
    assert [one["id"] for one in direct] == [inner["id"]]
    assert len((await graph("GET", f"{USERS}/{ann['id']}/transitiveMemberOf")).body["value"]) == 3


async def test_what_is_deleted_belongs_nowhere(graph: Asking) -> None:
    ann, ops = await made(graph, USERS, a_user()), await made(graph, GROUPS, a_group())
    await add(graph, ops["id"], ann["id"])
    await add(graph, ops["id"], ann["id"], "owners")
    await add(graph, ops["id"], graph.identity.principal_id)
    await graph("DELETE", f"{USERS}/{ann['id']}")
    await graph.world.call("DELETE", graph.identity.id)
    for what in ("members", "owners"):
        assert (await graph("GET", f"{GROUPS}/{ops['id']}/{what}")).body["value"] == []
    people = graph.world.arm.estate.people
    assert people.belonging("member", ops["id"]) == people.belonging("owner", ops["id"]) == ()


@pytest.mark.parametrize("kind", ["applications", "servicePrincipals", "groups"])
async def test_objects_have_owners(graph: Asking, kind: str) -> None:
    application = await made(graph, "/v1.0/applications", {"displayName": "web"})
    principal = await made(graph, "/v1.0/servicePrincipals", {"appId": application["appId"]})
    group = await made(graph, GROUPS, a_group())
    owned = {"applications": application, "servicePrincipals": principal, "groups": group}[kind]
    ann = await made(graph, USERS, a_user())
    base = f"/v1.0/{kind}/{owned['id']}/owners"
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{ann['id']}"}
    assert (await graph("GET", base)).body["value"] == []
    assert (await graph("POST", f"{base}/$ref", reference)).status == 204
    assert [one["id"] for one in (await graph("GET", base)).body["value"]] == [ann["id"]]
    assert (await graph("DELETE", f"{base}/{ann['id']}/$ref")).status == 204


async def test_objects_of_every_kind_are_found_by_their_ids(graph: Asking) -> None:
    ann, ops = await made(graph, USERS, a_user()), await made(graph, GROUPS, a_group())
    ids = [ann["id"], ops["id"], graph.identity.principal_id]
    for types, names in (
        (["user", "group", "servicePrincipal", "directoryObjectPartnerReference"], {"Ann", "ops", "orders"}),
        (["group"], {"ops"}),
        (None, {"Ann", "ops", "orders"}),
    ):
        found = (await graph("POST", BY_IDS, {"ids": ids, **({"types": types} if types else {})})).body["value"]
        assert {one["displayName"] for one in found} == names
    assert (await graph("GET", f"/v1.0/directoryObjects/{ann['id']}")).body["@odata.type"] == "#microsoft.graph.user"


async def test_a_role_of_a_group_counts_for_whoever_is_in_it(graph: Asking) -> None:
    world, orders = graph.world, graph.identity
    inner, outer = await made(graph, GROUPS, a_group("inner")), await made(graph, GROUPS, a_group("outer"))
    body = {"properties": {"roleDefinitionId": "acdd72a7-3385-48ef-bd42-f606fba81ae7", "principalId": outer["id"]}}
    assigned = await world.call("PUT", f"{ASSIGNMENTS}/{uuid.uuid4()}", body)
    assert assigned.body["properties"]["principalType"] == "Group"
    assert (await world.call("GET", SUB, who=orders)).status == 403
    await add(graph, outer["id"], inner["id"])
    await add(graph, inner["id"], orders.principal_id)
    assert (await world.call("GET", SUB, who=orders)).status == 200
    assert [one["id"] for one in (await world.call("GET", "/subscriptions", who=orders)).body["value"]] == [SUB]

    async def seen(text: str) -> list[str]:
        reply = await world.call("GET", f"{ASSIGNMENTS}?$filter={quote(text)}")
        return [one["properties"]["principalId"] for one in reply.body["value"]]

    assert await seen(f"assignedTo('{orders.principal_id}')") == [outer["id"]]
    assert await seen(f"atScope() and assignedTo('{orders.principal_id.upper()}')") == [outer["id"]]
    assert await seen(f"principalId eq '{orders.principal_id}'") == []
    await graph("DELETE", f"{GROUPS}/{inner['id']}/members/{orders.principal_id}/$ref")
    assert (await world.call("GET", SUB, who=orders)).status == 403


@pytest.mark.parametrize(
    ("kind", "given", "code"),
    [
        ("user", "User", ""),
        ("user", "Group", "UnmatchedPrincipalType"),
        ("group", "Group", ""),
        ("group", "ServicePrincipal", "UnmatchedPrincipalType"),
        ("nobody", "User", "PrincipalNotFound"),
    ],
)
async def test_the_type_of_a_principal_is_checked(graph: Asking, kind: str, given: str, code: str) -> None:
    ann, ops = await made(graph, USERS, a_user()), await made(graph, GROUPS, a_group())
    principal = {"user": ann["id"], "group": ops["id"], "nobody": str(uuid.uuid4())}[kind]
    body = {
        "properties": {
            "roleDefinitionId": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "principalId": principal,
            "principalType": given,
        }
    }
    reply = await graph.world.call("PUT", f"{ASSIGNMENTS}/{uuid.uuid4()}", body)
    assert (reply.status, reply.code) == (400, code) if code else reply.status == 201


MEMBERS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12)


@given(MEMBERS)
def test_who_is_in_what_is_the_closure_of_membership(pairs: list[tuple[str, str]]) -> None:
    people = People(Store.open(None))
    for holder, member in pairs:
        people.add("member", holder, member)
    for start in "abcdef":
        expected: set[str] = set()
        while more := {holder for holder, member in pairs if member == start or member in expected} - expected:
            expected |= more
        assert people.groups_of(start) == expected
