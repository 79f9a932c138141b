"""Run as a program: a create–read–update–delete round with a stock management client; prints what it saw as JSON.

Takes the client, `sync` or `async`, the subscription, the group, and an identity's id. One text for both kinds of
client: `end` awaits what is to be awaited and waits for what goes on. Reads the access token from the file
PODPASS_TEST_TOKEN. Nothing of the clients is replaced.
"""

import asyncio
import importlib
import inspect
import io
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

seen: dict[str, Any] = {}
TENANT = os.environ["PODPASS_TEST_TENANT"]


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> Any:
        seen["scopes"] = list(scopes)
        return AccessToken(Path(os.environ["PODPASS_TEST_TOKEN"]).read_text(), 4_000_000_000)

    def close(self) -> None: ...


class AsyncCredential(Credential):
    async def get_token(self, *scopes: str, **options: Any) -> Any:
        return super().get_token(*scopes, **options)

    async def close(self) -> None: ...


async def end(value: Any) -> Any:
    """What *value* is in the end: of a coroutine its result, of a long-running operation its outcome."""
    value = await value if inspect.isawaitable(value) else value
    if not hasattr(value, "result"):
        return value
    found = value.result()
    return await found if inspect.isawaitable(found) else found


async def all_of(pages: Any) -> list[Any]:
    return [one async for one in pages] if hasattr(pages, "__aiter__") else list(pages)


async def refusal(call: Any) -> list[Any]:
    """Status and code of the refusal that *call* must meet."""
    try:
        await end(call())
    except HttpResponseError as error:
        return [error.status_code, error.error.code if error.error else ""]
    return []


async def keyvault(client: Any, group: str, identity: str) -> None:
    del identity
    sku = {"family": "A", "name": "standard"}
    properties = {"tenantId": TENANT, "sku": sku, "enableRbacAuthorization": True, "softDeleteRetentionInDays": 7}
    wanted = {"location": "eastus", "properties": properties, "tags": {"a": "b"}}
    made = await end(client.vaults.begin_create_or_update(group, "kv-round", wanted))
    seen["created"] = [made.properties.vault_uri, made.properties.soft_delete_retention_in_days, made.tags]
    patch = {"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "10.0.0.0/8"}]}}}
    changed = await end(client.vaults.update(group, "kv-round", patch))
    seen["updated"] = changed.properties.network_acls.default_action
    read = await end(client.vaults.get(group, "kv-round"))
    seen["read"] = [read.properties.network_acls.ip_rules[0].value, read.tags]
    policy = {"tenantId": TENANT, "objectId": TENANT, "permissions": {"secrets": ["get"]}}
    added = await end(
        client.vaults.update_access_policy(group, "kv-round", "add", {"properties": {"accessPolicies": [policy]}})
    )
    seen["policies"] = [one.permissions.secrets for one in added.properties.access_policies]
    seen["listed"] = [one.name for one in await all_of(client.vaults.list_by_resource_group(group))]
    asked = {"name": "kv-round", "type": "Microsoft.KeyVault/vaults"}
    seen["taken"] = (await end(client.vaults.check_name_availability(asked))).reason
    await end(client.vaults.delete(group, "kv-round"))
    seen["gone"] = await refusal(lambda: client.vaults.get(group, "kv-round"))
    deleted = await end(client.vaults.get_deleted("kv-round", "eastus"))
    seen["deleted"] = [deleted.name, [one.name for one in await all_of(client.vaults.list_deleted())]]
    seen["in the way"] = await refusal(lambda: client.vaults.begin_create_or_update(group, "kv-round", wanted))
    recovered = {**wanted, "properties": {**properties, "createMode": "recover"}}
    seen["recovered"] = (await end(client.vaults.begin_create_or_update(group, "kv-round", recovered))).name
    await end(client.vaults.delete(group, "kv-round"))
    await end(client.vaults.begin_purge_deleted("kv-round", "eastus"))
    seen["purged"] = await refusal(lambda: client.vaults.get_deleted("kv-round", "eastus"))


async def compute(client: Any, group: str, identity: str) -> None:
    sku = {"name": "Standard_D2s_v3", "tier": "Standard", "capacity": 2}
    profile = {"storageProfile": {"imageReference": {"offer": "ubuntu"}}, "osProfile": {"computerNamePrefix": "a"}}
    wanted = {"location": "eastus", "sku": sku, "properties": {"virtualMachineProfile": profile}, "tags": {"a": "b"}}
    sets, machines = client.virtual_machine_scale_sets, client.virtual_machines
    made = await end(sets.begin_create_or_update(group, "pool", wanted))
    seen["created"] = [made.properties.provisioning_state, made.sku.capacity, made.tags]
    assign = {"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}}
    patched = await end(sets.begin_update(group, "pool", assign))
    seen["assigned"] = list(patched.identity.user_assigned_identities) == [identity]
    await end(sets.begin_update(group, "pool", {"sku": {**sku, "capacity": 3}}))
    read = await end(sets.get(group, "pool"))
    seen["read"] = [read.sku.capacity, read.identity.type]
    instances = await all_of(client.virtual_machine_scale_set_vms.list(group, "pool"))
    seen["instances"] = [one.instance_id for one in instances]
    seen["listed"] = [[one.name for one in await all_of(pages)] for pages in (sets.list(group), sets.list_all())]
    take = {"identity": {"type": "None"}}
    seen["none left"] = (await end(sets.begin_update(group, "pool", take))).identity is None
    body = {"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {"osProfile": {}}}
    machine = await end(machines.begin_create_or_update(group, "vm-1", body))
    seen["machine"] = [machine.properties.provisioning_state, bool(machine.identity.principal_id)]
    both = {"identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {identity: {}}}}
    changed = await end(machines.begin_update(group, "vm-1", both))
    seen["both"] = [changed.identity.principal_id == machine.identity.principal_id, changed.identity.type]
    seen["machines"] = [one.name for one in await all_of(machines.list_all())]
    await end(machines.begin_delete(group, "vm-1"))
    await end(sets.begin_delete(group, "pool"))
    seen["gone"] = [await refusal(lambda: machines.get(group, "vm-1")), await refusal(lambda: sets.get(group, "pool"))]


async def redis(client: Any, group: str, identity: str) -> None:
    del identity
    models = importlib.import_module("azure.mgmt.redis.models")
    sku = models.Sku(name="Basic", family="C", capacity=0)
    wanted = models.RedisCreateParameters(location="eastus", sku=sku, enable_non_ssl_port=True, redis_version="6")
    made = await end(client.redis.begin_create(group, "votes", wanted))
    seen["created"] = [made.provisioning_state, made.host_name, made.port, made.ssl_port, made.redis_version]
    keys = await end(client.redis.list_keys(group, "votes"))
    fresh = await end(client.redis.regenerate_key(group, "votes", {"keyType": "Secondary"}))
    seen["keys"] = [keys.primary_key == fresh.primary_key, keys.secondary_key == fresh.secondary_key]
    larger = models.RedisUpdateParameters(
        sku=models.Sku(name="Standard", family="C", capacity=1), enable_non_ssl_port=True
    )
    changed = await end(client.redis.begin_update(group, "votes", larger))
    seen["updated"] = [changed.sku.name, changed.enable_non_ssl_port]
    seen["listed"] = [one.name for one in await all_of(client.redis.list_by_subscription())]
    check = models.CheckNameAvailabilityParameters(name="votes", type="Microsoft.Cache/Redis")
    seen["taken"] = await refusal(lambda: client.redis.check_name_availability(check))
    await end(client.redis.begin_flush_cache(group, "votes"))
    await end(client.redis.begin_delete(group, "votes"))
    seen["gone"] = await refusal(lambda: client.redis.get(group, "votes"))


async def authorization(client: Any, group: str, identity: str) -> None:
    subscription = "/".join(identity.split("/")[:3])
    scope, principal = f"{subscription}/resourceGroups/{group}", os.environ["PODPASS_TEST_PRINCIPAL"]
    definitions, assignments = client.role_definitions, client.role_assignments
    role, name = str(uuid.UUID(int=0xA)), str(uuid.UUID(int=0xB))
    wanted = {
        "properties": {
            "roleName": "Watcher",
            "type": "CustomRole",
            "permissions": [{"actions": ["Microsoft.KeyVault/*/read"], "notActions": ["*/deletedVaults/read"]}],
            "assignableScopes": [subscription],
        }
    }

    async def define(body: dict[str, Any]) -> Any:
        raw = io.BytesIO(json.dumps(body).encode())
        return await end(definitions.create_or_update(scope, role, raw, content_type="application/json"))

    made = await define(wanted)
    seen["defined"] = [made.role_name, made.role_type, made.permissions[0].actions, made.id.startswith(subscription)]
    wanted["properties"]["roleName"] = "Looker"
    seen["renamed"] = (await define(wanted)).role_name
    read = await end(definitions.get(scope, role))
    seen["read"] = [read.role_name, read.permissions[0].not_actions, read.assignable_scopes == [subscription]]
    custom = await all_of(definitions.list(subscription, filter="type eq 'CustomRole'"))
    seen["custom"] = [one.role_name for one in custom]
    reader = await all_of(definitions.list(scope, filter="roleName eq 'Reader'"))
    seen["built-in"] = [(one.role_name, one.role_type) for one in reader] == [("Reader", "BuiltInRole")]
    given = {"roleDefinitionId": made.id, "principalId": principal}
    assigned = await end(assignments.create(scope, name, {"properties": given}))
    seen["assigned"] = [assigned.principal_type, assigned.role_definition_id == made.id, assigned.scope == scope]
    again = await end(assignments.create(scope, name, {"properties": {**given, "description": "why"}}))
    seen["described"] = again.description
    seen["twice"] = await refusal(lambda: assignments.create(scope, str(uuid.UUID(int=0xC)), {"properties": given}))
    seen["in use"] = await refusal(lambda: definitions.delete(scope, role))
    pages = (
        assignments.list_for_scope(scope, filter=f"atScope() and assignedTo('{principal}')"),
        assignments.list_for_subscription(filter=f"principalId eq '{principal}'"),
        assignments.list_for_resource_group(group),
    )
    seen["listed"] = [
        [one.name == name for one in await all_of(page) if one.principal_id == principal] for page in pages
    ]
    seen["by id"] = (await end(assignments.get_by_id(assigned.id))).name == name
    mine = await all_of(client.permissions.list_for_resource_group(group))
    seen["permitted"] = [one.actions for one in mine]
    seen["taken"] = (await end(assignments.delete(scope, name))).name == name
    seen["taken again"] = await end(assignments.delete(scope, name))
    seen["gone"] = [
        await refusal(lambda: assignments.get(scope, name)),
        (await end(definitions.delete(scope, role))).role_name,
        await refusal(lambda: definitions.get(scope, role)),
    ]


CLIENTS = {
    "authorization": ("azure.mgmt.authorization", "AuthorizationManagementClient", authorization),
    "keyvault": ("azure.mgmt.keyvault", "KeyVaultManagementClient", keyvault),
    "compute": ("azure.mgmt.compute", "ComputeManagementClient", compute),
    "redis": ("azure.mgmt.redis", "RedisManagementClient", redis),
}


async def main(name: str, mode: str, subscription: str, group: str, identity: str) -> None:
    module, client_class, work = CLIENTS[name]
    package = importlib.import_module(module if mode == "sync" else f"{module}.aio")
    credential = Credential() if mode == "sync" else AsyncCredential()
    client = getattr(package, client_class)(credential, subscription)
    try:
        await work(client, group, identity)
    except ResourceNotFoundError as error:
        raise SystemExit(f"{error.response.request.method} {error.response.request.url}: {error}") from error
    finally:
        await end(client.close())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    print(json.dumps(seen))
