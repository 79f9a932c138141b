"""Role definitions that a tenant makes: how they are checked, found, used and removed."""

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.arm.role_actions import fault_of
from tests.lab.arm.azure_world import OTHER_TENANT, SUBSCRIPTION, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUB}/resourceGroups/shop"
DEFINITIONS = "providers/Microsoft.Authorization/roleDefinitions"
ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
GUID = str(uuid.UUID(int=0xABCDEF))


def definition(name: str = "Vault Watcher", **changes: Any) -> dict[str, Any]:
    return {
        "properties": {
            "roleName": name,
            "type": "CustomRole",
            "description": "Sees vaults.",
            "permissions": [{"actions": ["Microsoft.KeyVault/vaults/read"], "notActions": [], "dataActions": None}],
            "assignableScopes": [SUB],
            **changes,
        }
    }


async def put(world: World, body: Any, guid: str = GUID, scope: str = SUB, **how: Any) -> Any:
    return await world.call("PUT", f"{scope}/{DEFINITIONS}/{guid}", body, version="2022-05-01-preview", **how)


async def test_a_custom_role_is_made_read_changed_and_deleted(world: World) -> None:
    made = await put(world, definition())
    assert made.status == 201
    assert made.body["id"] == f"{SUB}/{DEFINITIONS}/{GUID}"
    properties = made.body["properties"]
    assert properties["type"] == "CustomRole"
    assert properties["createdBy"] == world.owner.object_id
    assert properties["permissions"] == [
        {"actions": ["Microsoft.KeyVault/vaults/read"], "notActions": [], "dataActions": [], "notDataActions": []}
    ]
    assert (await world.call("GET", f"{SUB}/{DEFINITIONS}/{GUID.upper()}")).body == made.body
    changed = await put(world, definition("Vault Looker"))
    assert (changed.status, changed.body["properties"]["roleName"]) == (201, "Vault Looker")
    assert changed.body["properties"]["createdOn"] == properties["createdOn"]
    listed = await world.call("GET", f"{SUB}/{DEFINITIONS}?$filter=type%20eq%20'CustomRole'")
    assert [one["name"] for one in listed.body["value"]] == [GUID]
    named = await world.call("GET", f"{SUB}/{DEFINITIONS}?$filter=roleName%20eq%20'vault%20looker'")
    assert [one["name"] for one in named.body["value"]] == [GUID]
    gone = await world.call("DELETE", f"{SUB}/{DEFINITIONS}/{GUID}")
    assert (gone.status, gone.body["name"]) == (200, GUID)
    assert (await world.call("DELETE", f"{SUB}/{DEFINITIONS}/{GUID}")).status == 204
    assert (await world.call("GET", f"{SUB}/{DEFINITIONS}/{GUID}")).code == "RoleDefinitionDoesNotExist"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        pytest.param({"roleName": None}, 400, "RoleDefinitionNameNullOrEmpty", id="no-name"),
        pytest.param({"roleName": " "}, 400, "RoleDefinitionNameNullOrEmpty", id="blank-name"),
        pytest.param({"roleName": "n" * 513}, 400, "BadRequest", id="long-name"),
        pytest.param({"description": "d" * 2049}, 400, "BadRequest", id="long-description"),
        pytest.param({"roleName": "reader"}, 409, "RoleDefinitionWithSameNameExists", id="name-of-a-built-in-role"),
        pytest.param({"type": "BuiltInRole"}, 400, "InvalidRoleDefinitionType", id="built-in"),
        pytest.param({"assignableScopes": []}, 400, "MissingAssignableScopes", id="no-scope"),
        pytest.param({"assignableScopes": None}, 400, "MissingAssignableScopes", id="null-scopes"),
        pytest.param({"assignableScopes": ["/"]}, 400, "AssignableScopeNotUnderSubscriptionScope", id="root"),
        pytest.param({"assignableScopes": ["Invalid_Scope"]}, 400, "LinkedInvalidPropertyId", id="no-id"),
        pytest.param({"assignableScopes": [f"{SUB}/*"]}, 400, "LinkedInvalidPropertyId", id="star"),
        pytest.param(
            {"assignableScopes": [f"/subscriptions/{uuid.UUID(int=5)}"]}, 403, "LinkedAuthorizationFailed", id="no-sub"
        ),
        pytest.param(
            {"assignableScopes": ["/providers/Microsoft.Management/managementGroups/g"]},
            501,
            "NotImplemented",
            id="management-group",
        ),
        pytest.param(
            {"permissions": [{"actions": ["Microsoft.Nothing/x/read"]}]}, 400, "InvalidActionOrNotAction", id="provider"
        ),
        pytest.param(
            {"permissions": [{"notActions": ["Microsoft.KeyVault/vaults/looking"]}]},
            400,
            "InvalidActionOrNotAction",
            id="verb",
        ),
        pytest.param(
            {"permissions": [{"actions": ["Microsoft.KeyVault/vaults/secrets/getSecret/action"]}]},
            400,
            "InvalidActionOrNotAction",
            id="data-action-among-actions",
        ),
        pytest.param(
            {"permissions": [{"dataActions": ["Microsoft.KeyVault/vaults/read"]}]},
            400,
            "InvalidActionOrNotAction",
            id="action-among-data-actions",
        ),
        pytest.param(
            {"permissions": [{"actions": ["*/read"], "condition": "@Resource[x] StringEquals 'y'"}]},
            501,
            "NotImplemented",
            id="condition",
        ),
        pytest.param({"permissions": "none"}, 400, "InvalidRequestContent", id="wrong-shape"),
    ],
)
async def test_a_definition_that_can_not_be_is_refused(
    world: World, changes: dict[str, Any], status: int, code: str
) -> None:
    reply = await put(world, definition(**changes))
    assert (reply.status, reply.code) == (status, code)


async def test_a_name_is_used_once_in_a_tenant(world: World) -> None:
    await put(world, definition())
    again = await put(world, definition("VAULT watcher"), str(uuid.UUID(int=7)))
    assert (again.status, again.code) == (409, "RoleDefinitionWithSameNameExists")


@pytest.mark.parametrize("guid", [READER, READER.upper()])
async def test_a_built_in_role_can_not_be_changed(world: World, guid: str) -> None:
    assert (await put(world, definition(), guid)).code == "RoleDefinitionExists"
    assert (await world.call("DELETE", f"{SUB}/{DEFINITIONS}/{guid}")).code == "RoleDefinitionExists"


async def test_the_name_in_the_path_is_a_guid(world: World) -> None:
    assert (await put(world, definition(), "watcher")).code == "InvalidRoleDefinitionId"


async def test_a_custom_role_counts_at_once_and_as_it_is_now(world: World) -> None:
    watcher = world.application("watcher")
    await put(world, definition(permissions=[{"actions": ["*/read"], "notActions": ["*/vaults/read"]}]))
    role = {"properties": {"roleDefinitionId": f"{SUB}/{DEFINITIONS}/{GUID}", "principalId": watcher.object_id}}
    assigned = await world.call("PUT", f"{GROUP}/{ASSIGNMENTS}/{uuid.uuid4()}", role)
    assert assigned.body["properties"]["roleDefinitionId"] == f"{SUB}/{DEFINITIONS}/{GUID}"
    assert (await world.call("GET", IDENTITIES, who=watcher)).status == 200
    assert (await world.call("PUT", f"{IDENTITIES}/mine", {"location": "eastus"}, who=watcher)).status == 403
    vaults = f"{GROUP}/providers/Microsoft.KeyVault/vaults"
    assert (await world.call("GET", vaults, who=watcher)).code == "AuthorizationFailed"
    await put(world, definition(permissions=[{"actions": ["Microsoft.KeyVault/*"]}]))
    assert (await world.call("GET", vaults, who=watcher)).status == 200
    assert (await world.call("GET", IDENTITIES, who=watcher)).code == "AuthorizationFailed"


async def test_data_actions_of_a_custom_role_open_a_vault(world: World) -> None:
    app = world.application("app")
    vault = world.arm.seed.put_vault(world.group.id, "kv-custom")
    body = definition(permissions=[{"dataActions": ["Microsoft.KeyVault/vaults/secrets/*"], "notDataActions": []}])
    await put(world, body)
    world.arm.seed.put_role_assignment(vault.id, "Vault Watcher", app.object_id)
    assert (await world.vault("PUT", "kv-custom/secrets/one", {"value": "x"}, who=app)).status == 200
    denied = await world.vault("GET", "kv-custom/keys", who=app)
    assert denied.body["error"]["innererror"]["code"] == "ForbiddenByRbac"


async def test_a_role_in_use_stays(world: World) -> None:
    app = world.application("app")
    await put(world, definition())
    world.arm.seed.put_role_assignment(GROUP, GUID, app.object_id)
    refused = await world.call("DELETE", f"{SUB}/{DEFINITIONS}/{GUID}")
    assert (refused.status, refused.code) == (400, "RoleDefinitionHasAssignments")


async def test_a_role_is_assigned_only_where_it_is_assignable(world: World) -> None:
    app = world.application("app")
    other = world.arm.seed.put_group(SUBSCRIPTION, "warehouse")
    await put(world, definition(assignableScopes=[GROUP.upper().replace(SUB.upper(), SUB)]), scope=GROUP)
    body = {"properties": {"roleDefinitionId": GUID, "principalId": app.object_id}}
    refused = await world.call("PUT", f"{other.id}/{ASSIGNMENTS}/{uuid.uuid4()}", body)
    assert (refused.status, refused.code) == (400, "RoleAssignmentScopeNotAssignableToRoleDefinition")
    assert (await world.call("PUT", f"{GROUP}/{ASSIGNMENTS}/{uuid.uuid4()}", body)).status == 201
    seen = {
        scope: GUID in [one["name"] for one in (await world.call("GET", f"{scope}/{DEFINITIONS}")).body["value"]]
        for scope in (SUB, GROUP, other.id)
    }
    assert seen == {SUB: False, GROUP: True, other.id: False}
    below = await world.call("GET", f"{SUB}/{DEFINITIONS}?$filter=atScopeAndBelow()")
    assert GUID in [one["name"] for one in below.body["value"]]
    assert (await world.call("GET", f"{other.id}/{DEFINITIONS}/{GUID}")).status == 404


async def test_whoever_writes_a_role_needs_the_right_at_each_of_its_scopes(world: World) -> None:
    admin = world.application("admin")
    world.arm.seed.put_role_assignment(GROUP, "User Access Administrator", admin.object_id)
    refused = await put(world, definition(), scope=GROUP, who=admin)
    assert (refused.status, refused.code) == (403, "LinkedAuthorizationFailed")
    assert (await put(world, definition(assignableScopes=[GROUP]), scope=GROUP, who=admin)).status == 201
    await put(world, definition())
    # The role reaches further now than this administrator does.
    taken = await put(world, definition(assignableScopes=[GROUP]), scope=GROUP, who=admin)
    assert taken.code == "LinkedAuthorizationFailed"
    removed = await world.call("DELETE", f"{GROUP}/{DEFINITIONS}/{GUID}", who=admin)
    assert removed.code == "LinkedAuthorizationFailed"


async def test_a_tenants_roles_are_not_anothers(world: World) -> None:
    theirs = "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    world.arm.seed.put_subscription(OTHER_TENANT, "theirs", theirs)
    stranger = world.application("stranger", OTHER_TENANT)
    world.arm.seed.put_role_assignment(f"/subscriptions/{theirs}", "Owner", stranger.object_id)
    await put(world, definition())
    scope = f"/subscriptions/{theirs}"
    listed = await world.call("GET", f"{scope}/{DEFINITIONS}", who=stranger)
    assert GUID not in [one["name"] for one in listed.body["value"]]
    assert (await world.call("GET", f"{scope}/{DEFINITIONS}/{GUID}", who=stranger)).status == 404
    same_name = definition(assignableScopes=[scope])
    assert (await put(world, same_name, scope=scope, who=stranger)).code == "RoleDefinitionExists"
    assert (await put(world, same_name, str(uuid.UUID(int=9)), scope=scope, who=stranger)).status == 201


PROVIDERS = frozenset({"microsoft.keyvault", "microsoft.compute", "microsoft.authorization"})


@pytest.mark.parametrize(
    ("action", "is_data", "fits"),
    [
        ("*", False, True),
        ("*/read", False, True),
        ("Microsoft.KeyVault/vaults/read", False, True),
        ("microsoft.keyvault/VAULTS/Read", False, True),
        ("Microsoft.KeyVault/vaults/*/read", False, True),
        ("Microsoft.KeyVault/vaults/secrets/read", False, True),
        ("Microsoft.KeyVault/vaults/secrets/setSecret/action", False, False),
        ("Microsoft.KeyVault/vaults/secrets/setSecret/action", True, True),
        ("Microsoft.KeyVault/vaults/deploy/action", False, True),
        ("Microsoft.Authorization/roleAssignments/write", True, False),
        ("Microsoft.Compute/virtualMachines/start/action", False, True),
        ("Microsoft.Compute", False, False),
        ("Microsoft.Compute/", False, False),
        ("Microsoft.Compute//read", False, False),
        ("vaults/read", False, False),
        ("Microsoft.Compute/virtualMachines /read", False, False),
        ("", False, False),
    ],
)
def test_an_action_has_a_form_a_provider_and_a_plane(action: str, is_data: bool, fits: bool) -> None:
    assert (fault_of(action, PROVIDERS, is_data=is_data) is None) is fits


@settings(deadline=None)
@given(st.text(), st.booleans())
def test_checking_an_action_never_fails(action: str, is_data: bool) -> None:
    fault_of(action, PROVIDERS, is_data=is_data)
