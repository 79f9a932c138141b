"""Vaults as Resource Manager keeps them."""

from typing import Any

import pytest

from podpass.lab.arm.access_policies import merged
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
VAULTS = f"{SUB}/resourceGroups/shop/providers/Microsoft.KeyVault/vaults"
POLICY = {"tenantId": TENANT, "objectId": "p", "permissions": {"secrets": ["get"]}}


def body(**changes: Any) -> dict[str, Any]:
    properties = {
        "tenantId": TENANT,
        "sku": {"name": "standard", "family": "A"},
        "accessPolicies": [],
        "enableRbacAuthorization": True,
        **changes,
    }
    return {
        "location": "eastus",
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


async def test_a_vault_is_made_as_az_makes_it(world: World) -> None:
    given = body(
        enableSoftDelete=True,
        softDeleteRetentionInDays=90,
        networkAcls={"bypass": "AzureServices", "defaultAction": "Allow"},
    )
    assert (await world.call("GET", f"{VAULTS}/kv-Shop")).status == 404
    made = await world.call("PUT", f"{VAULTS}/kv-Shop", given, version="2026-02-01")
    assert made.status == 201
    properties = made.body["properties"]
    assert properties["vaultUri"] == "https://kv-shop.vault.azure.net/"
    assert (properties["tenantId"], properties["provisioningState"]) == (TENANT, "Succeeded")
    assert made.body["systemData"]["createdByType"] == "Application"
    assert (await world.call("GET", f"{VAULTS}/KV-SHOP")).body == made.body
    echoed = await world.call("PUT", f"{VAULTS}/kv-Shop", made.body)
    assert (echoed.status, echoed.body["properties"]) == (200, properties)
    assert [
        one["name"] for one in (await world.call("GET", f"{SUB}/providers/Microsoft.KeyVault/vaults")).body["value"]
    ] == ["kv-Shop"]
    for others in ("managedHSMs", "deletedManagedHSMs"):
        assert (await world.call("GET", f"{SUB}/providers/Microsoft.KeyVault/{others}")).body == {"value": []}


@pytest.mark.parametrize(
    ("version", "given", "rbac"),
    [("2026-02-01", None, True), ("2025-05-01", None, False), ("2025-05-01", True, True), ("2026-05-15", False, False)],
)
async def test_the_default_of_access_follows_the_api_version(
    world: World, version: str, given: bool | None, rbac: bool
) -> None:
    made = await world.call("PUT", f"{VAULTS}/kv-shop", body(enableRbacAuthorization=given), version=version)
    assert made.body["properties"]["enableRbacAuthorization"] is rbac
    later = await world.call("PUT", f"{VAULTS}/kv-shop", body(enableRbacAuthorization=None), version="2026-02-01")
    assert later.body["properties"]["enableRbacAuthorization"] is rbac


@pytest.mark.parametrize("name", ["ab", "1abc", "abc-", "a--b", "a_b", "a" * 25])
async def test_a_bad_vault_name_is_refused(world: World, name: str) -> None:
    reply = await world.call("PUT", f"{VAULTS}/{name}", body())
    assert (reply.status, reply.code) == (400, "VaultNameNotValid")


@pytest.mark.parametrize(
    "changes",
    [
        {"tenantId": "elsewhere"},
        {"sku": {"name": "gold"}},
        {"softDeleteRetentionInDays": 6},
        {"softDeleteRetentionInDays": 91},
        {"enableSoftDelete": False},
        {"publicNetworkAccess": "Sometimes"},
        {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "everywhere"}]}},
        {"enablePurgeProtection": False},
        {"accessPolicies": None, "enableRbacAuthorization": False},
        {"accessPolicies": [{**POLICY, "permissions": {"secrets": ["fly"]}}]},
        {"accessPolicies": [{**POLICY, "tenantId": "elsewhere"}]},
    ],
)
async def test_bad_properties_are_refused(world: World, changes: dict[str, Any]) -> None:
    reply = await world.call("PUT", f"{VAULTS}/kv-shop", body(**changes))
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert world.arm.vault("kv-shop") is None


async def test_names_are_unique_in_all_the_world(world: World) -> None:
    other = world.arm.seed.put_group(SUBSCRIPTION, "other")
    world.arm.seed.put_vault(other.id, "kv-shop")
    reply = await world.call("PUT", f"{VAULTS}/KV-shop", body())
    assert (reply.status, reply.code) == (409, "VaultAlreadyExists")
    check = f"{SUB}/providers/Microsoft.KeyVault/checkNameAvailability"
    asked = {"type": "Microsoft.KeyVault/vaults"}
    assert (await world.call("POST", check, {**asked, "name": "kv-shop"})).body["reason"] == "AlreadyExists"
    assert (await world.call("POST", check, {**asked, "name": "k"})).body["reason"] == "AccountNameInvalid"
    assert (await world.call("POST", check, {**asked, "name": "kv-new"})).body == {"nameAvailable": True}


async def test_a_deleted_vault_keeps_its_name_until_it_is_recovered_or_purged(world: World) -> None:
    made = world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.keyvault.set_secret("kv-shop", "a", "b")
    assert (await world.call("DELETE", f"{VAULTS}/kv-shop")).status == 200
    assert not world.keyvault.exists("kv-shop")
    again = await world.call("PUT", f"{VAULTS}/kv-shop", body())
    assert (again.status, again.code) == (409, "ConflictError")
    deleted = f"{SUB}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv-shop"
    shown = await world.call("GET", deleted)
    assert shown.body["properties"]["vaultId"] == made.id
    listed = await world.call("GET", f"{SUB}/providers/Microsoft.KeyVault/deletedVaults")
    assert [one["name"] for one in listed.body["value"]] == ["kv-shop"]
    recovered = await world.call("PUT", f"{VAULTS}/kv-shop", body(createMode="recover"))
    assert recovered.status == 201
    assert world.arm.vault("kv-shop") == made
    assert world.keyvault.set_secret("kv-shop", "a", "b").value.text == "b"
    await world.call("DELETE", f"{VAULTS}/kv-shop")
    assert (await world.call("POST", f"{deleted}/purge")).status == 200
    assert (await world.call("GET", deleted)).code == "DeletedVaultNotFound"
    assert world.store.connection.execute("SELECT count(*) FROM keyvault_versions").fetchone() == (0,)
    assert (await world.call("PUT", f"{VAULTS}/kv-shop", body())).status == 201


async def test_a_deleted_vault_is_purged_when_its_retention_ends(world: World) -> None:
    world.arm.seed.put_vault(world.group.id, "kv-shop")
    await world.call("DELETE", f"{VAULTS}/kv-shop")
    world.clock.advance(90 * 86_400)
    assert (await world.call("PUT", f"{VAULTS}/kv-shop", body())).status == 201


async def test_purge_protection_refuses_a_purge(world: World) -> None:
    await world.call("PUT", f"{VAULTS}/kv-shop", body(enablePurgeProtection=True))
    await world.call("DELETE", f"{VAULTS}/kv-shop")
    deleted = f"{SUB}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv-shop"
    assert (await world.call("POST", f"{deleted}/purge")).code == "MethodNotAllowed"


async def test_policies_are_patched_replaced_and_merged(world: World) -> None:
    world.arm.seed.put_vault(world.group.id, "kv-shop", rbac=False)
    patched = await world.call("PATCH", f"{VAULTS}/kv-shop", {"properties": {"accessPolicies": [POLICY]}})
    assert patched.body["properties"]["accessPolicies"] == [POLICY]
    assert patched.body["properties"]["enableRbacAuthorization"] is False
    more = {"properties": {"accessPolicies": [{**POLICY, "permissions": {"secrets": ["List", "GET"]}}]}}
    added = await world.call("PUT", f"{VAULTS}/kv-shop/accessPolicies/add", more)
    assert added.body["properties"]["accessPolicies"][0]["permissions"] == {"secrets": ["get", "List"]}
    removed = await world.call("PUT", f"{VAULTS}/kv-shop/accessPolicies/remove", more)
    assert removed.body["properties"]["accessPolicies"] == []
    assert (await world.call("PUT", f"{VAULTS}/kv-shop/accessPolicies/burn", more)).status == 400


def test_policies_of_another_application_are_kept_apart() -> None:
    for_application = {**POLICY, "applicationId": "app"}
    assert merged([POLICY], [for_application], how="add") == [POLICY, for_application]
    assert merged([POLICY, for_application], [for_application], how="remove") == [POLICY]
    replaced = {**POLICY, "permissions": {"secrets": ["list"]}}
    assert merged([POLICY], [replaced], how="replace") == [replaced]
