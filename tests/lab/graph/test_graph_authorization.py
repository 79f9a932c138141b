"""Who may do what in the directory."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from podpass.lab.graph.authorization import BY_GUID, ROLES, NotPermitted, Permitted, decide
from podpass.problems import problem
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import OTHER_TENANT, TENANT, World
from tests.lab.graph.test_graph import Asking

ASSIGNMENTS = "/v1.0/roleManagement/directory/roleAssignments"
DEFINITIONS = "/v1.0/roleManagement/directory/roleDefinitions"
BY_NAME = {role.name: role for role in ROLES}


@pytest.fixture
def graph(signing_key: SigningKey) -> Iterator[Asking]:
    world = World(signing_key)
    yield Asking(world)
    world.store.close()


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("Global Administrator", "applications/credentials/update", True),
        ("Global Reader", "users/standard/read", True),
        ("Global Reader", "users/create", False),
        ("Directory Readers", "servicePrincipals/standard/read", True),
        ("Directory Readers", "groups/members/read", True),
        ("Directory Readers", "groups/members/update", False),
        ("Application Administrator", "applications/create", True),
        ("Application Administrator", "servicePrincipals/credentials/update", True),
        ("Application Administrator", "groups/create", False),
        ("User Administrator", "users/delete", True),
        ("User Administrator", "applications/standard/read", False),
        ("Groups Administrator", "groups/members/update", True),
        ("Groups Administrator", "users/create", False),
        ("Privileged Role Administrator", "roleAssignments/allProperties/allTasks", True),
    ],
)
def test_a_role_of_the_directory_holds_its_actions(role: str, action: str, allowed: bool) -> None:
    decision = decide(f"microsoft.directory/{action}", [BY_NAME[role].guid.upper()])
    assert isinstance(decision, Permitted) is allowed


def test_a_refusal_says_what_is_held_and_what_would_help() -> None:
    decision = decide("microsoft.directory/groups/create", [])
    assert isinstance(decision, NotPermitted)
    assert decision.granting_roles == ("Groups Administrator", "User Administrator", "Global Administrator")
    assert "no directory role" in decision.why
    held = decide("microsoft.directory/groups/create", [BY_NAME["Global Reader"].guid, "unknown"])
    assert "Global Reader in the directory does not hold" in held.why


def test_every_role_has_a_guid_of_its_own() -> None:
    assert len(BY_GUID) == len(BY_NAME) == len(ROLES)


async def test_a_directory_role_is_given_shown_and_taken(graph: Asking) -> None:
    orders = graph.identity
    assert (await graph("GET", "/v1.0/applications", who=orders)).code == "Authorization_RequestDenied"
    hop = graph.world.hops[-1]
    assert (hop.problem, hop.wire) == ("PP310", "Authorization_RequestDenied")
    remedy = problem(hop.problem).remedy_for(**hop.decision)
    assert remedy is not None
    assert remedy.startswith(f"az rest --method post --url https://graph.microsoft.com{ASSIGNMENTS} --body ")
    assert orders.principal_id in remedy
    readers = BY_NAME["Directory Readers"].guid
    body = {"principalId": orders.principal_id, "roleDefinitionId": readers, "directoryScopeId": "/"}
    given = await graph("POST", ASSIGNMENTS, body)
    assert (given.status, given.body["principalId"], given.body["roleDefinitionId"]) == (
        201,
        orders.principal_id,
        readers,
    )
    assert (await graph("POST", ASSIGNMENTS, body)).status == 400
    assert (await graph("GET", "/v1.0/applications", who=orders)).status == 200
    assert graph.world.hops[-1].why == "Directory Readers in the directory"
    assert (await graph("POST", "/v1.0/applications", {"displayName": "x"}, who=orders)).status == 403
    listed = await graph("GET", f"{ASSIGNMENTS}?$filter=principalId%20eq%20'{orders.principal_id}'")
    assert [one["id"] for one in listed.body["value"]] == [given.body["id"]]
    assert (await graph("GET", f"{ASSIGNMENTS}/{given.body['id']}")).body["principalId"] == orders.principal_id
    assert (await graph("DELETE", f"{ASSIGNMENTS}/{given.body['id']}")).status == 204
    assert (await graph("DELETE", f"{ASSIGNMENTS}/{given.body['id']}")).status == 404
    assert (await graph("GET", "/v1.0/applications", who=orders)).status == 403


async def test_the_roles_of_the_directory_are_listed(graph: Asking) -> None:
    listed = (await graph("GET", DEFINITIONS)).body["value"]
    assert {one["displayName"] for one in listed} == set(BY_NAME)
    one = (await graph("GET", f"{DEFINITIONS}/{ROLES[0].guid}")).body
    assert one["displayName"] == "Global Administrator"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"roleDefinitionId": "nothing"}, 404, id="no-role"),
        pytest.param({"principalId": "nobody"}, 404, id="nobody"),
        pytest.param({"directoryScopeId": "/administrativeUnits/x"}, 501, id="scope"),
        pytest.param({"principalId": 7}, 400, id="shape"),
    ],
)
async def test_a_directory_role_that_can_not_be_given_is_refused(
    graph: Asking, body: dict[str, Any], status: int
) -> None:
    whole = {"principalId": graph.identity.principal_id, "roleDefinitionId": ROLES[0].guid, **body}
    assert (await graph("POST", ASSIGNMENTS, whole)).status == status


async def test_a_role_counts_in_its_own_tenant(graph: Asking) -> None:
    stranger = graph.world.application("stranger", OTHER_TENANT)
    graph.graph.roles.give(TENANT, ROLES[0], stranger.object_id)
    assert (await graph("GET", "/v1.0/applications", who=stranger)).status == 403


def filled(path: str) -> str:
    """*path* with a name in every place for one."""
    return re.sub(r"\{\}", "00000000-0000-0000-0000-000000000009", path)


async def test_every_call_asks_for_a_role_of_the_directory(graph: Asking) -> None:
    stranger = graph.world.application("stranger")
    holders = {role: graph.world.application(role.name) for role in ROLES}
    for role, holder in holders.items():
        graph.graph.roles.give(TENANT, role, holder.object_id)
    for operation in graph.graph.operations.all:
        path = f"/v1.0/{filled(operation.path)}"
        if not operation.action:
            assert operation.path in ("me", "me/ownedObjects")
            continue
        refused = await graph(operation.method, path, {}, who=stranger)
        assert (refused.status, refused.code) == (403, "Authorization_RequestDenied"), operation
        last = graph.world.hops[-1]
        assert (last.outcome, last.decision["action"]) == ("refused", operation.action)
        for role, holder in holders.items():
            reply = await graph(operation.method, path, {}, who=holder)
            assert (reply.status == 403) is not role.grants(operation.action), (operation, role.name)
