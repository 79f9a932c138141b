"""Run as a program: uses the stock clients of Azure's resource management as a tool would, and prints what it saw.

Takes the subscription; reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the clients is replaced;
proxy and trust come from the environment.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.features import FeatureClient
from azure.mgmt.resource.features.aio import FeatureClient as AsyncFeatureClient
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.locks.aio import ManagementLockClient as AsyncManagementLockClient
from azure.mgmt.resource.locks.models import ManagementLockObject
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.resources.aio import ResourceManagementClient as AsyncResourceManagementClient
from azure.mgmt.resource.resources.models import GenericResource, ResourceGroup, Tags, TagsPatchResource, TagsResource
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.resource.subscriptions.aio import SubscriptionClient as AsyncSubscriptionClient

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
VERSION = "2024-11-30"
seen: dict[str, Any] = {}


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(Path(os.environ["PODPASS_TEST_TOKEN"]).read_text(), 4_000_000_000)


class AsyncCredential:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return Credential().get_token()

    async def close(self) -> None: ...

    async def __aenter__(self) -> "AsyncCredential":
        return self

    async def __aexit__(self, *details: object) -> None: ...


def code_of(error: HttpResponseError) -> str:
    return f"{error.status_code} {error.error.code if error.error else ''}"


def groups_and_resources(client: ResourceManagementClient, subscription: str) -> None:
    groups, resources = client.resource_groups, client.resources
    made = groups.create_or_update("sync", ResourceGroup(location="eastus", tags={"team": "payments"}))
    seen["group"] = [made.name, made.location, made.tags, made.properties.provisioning_state]
    seen["group exists"] = [groups.check_existence("sync"), groups.check_existence("nobody")]
    seen["group tags"] = groups.update("sync", {"tags": {"team": "orders"}}).tags
    seen["groups by tag"] = [one.name for one in groups.list(filter="tagName eq 'team' and tagValue eq 'orders'")]
    wanted = f"/subscriptions/{subscription}/resourceGroups/sync/providers/{IDENTITIES}/app"
    body = GenericResource(location="eastus", tags={"a": "b"})
    resource = resources.begin_create_or_update_by_id(wanted, body, api_version=VERSION).result()
    seen["resource"] = [resource.name, resource.type, resource.tags]
    seen["resource exists"] = resources.check_existence_by_id(wanted, api_version=VERSION)
    changed = resources.begin_update_by_id(wanted, GenericResource(tags={"a": "c"}), api_version=VERSION).result()
    seen["resource tags"] = changed.tags
    seen["resources"] = [one.name for one in resources.list_by_resource_group("sync")]
    seen["resources of a type"] = [one.name for one in resources.list(filter=f"resourceType eq '{IDENTITIES}'")]
    tags(client, wanted)
    resources.begin_delete_by_id(wanted, api_version=VERSION).result()
    try:
        resources.get_by_id(wanted, api_version=VERSION)
    except HttpResponseError as error:
        seen["resource gone"] = code_of(error)


def tags(client: ResourceManagementClient, scope: str) -> None:
    client.tags.begin_create_or_update_at_scope(scope, TagsResource(properties=Tags(tags={"x": "1"}))).result()
    merge = TagsPatchResource(operation="Merge", properties=Tags(tags={"y": "2"}))
    client.tags.begin_update_at_scope(scope, merge).result()
    seen["tags"] = client.tags.get_at_scope(scope).properties.tags
    client.tags.begin_delete_at_scope(scope).result()
    seen["tags gone"] = client.tags.get_at_scope(scope).properties.tags or {}


def providers(client: ResourceManagementClient) -> None:
    seen["provider"] = client.providers.get("Microsoft.KeyVault").registration_state
    seen["unregistered"] = client.providers.unregister("Microsoft.KeyVault").registration_state
    seen["registered"] = client.providers.register("Microsoft.KeyVault").registration_state
    seen["providers"] = "Microsoft.ManagedIdentity" in [one.namespace for one in client.providers.list()]


def features(client: FeatureClient) -> None:
    name = ("Microsoft.ContainerService", "EnablePodIdentityPreview")
    seen["feature"] = client.features.register(*name).properties.state
    seen["features"] = [one.name for one in client.features.list("Microsoft.ContainerService")]
    seen["feature read"] = client.features.get(*name).properties.state
    seen["feature off"] = client.features.unregister(*name).properties.state


def locks(client: ManagementLockClient, groups: Any) -> None:
    held = client.management_locks
    made = held.create_or_update_at_resource_group_level(
        "sync", "keep", ManagementLockObject(level="CanNotDelete", notes="for the audit")
    )
    seen["lock"] = [made.name, made.level, made.notes]
    seen["locks"] = [one.name for one in held.list_at_resource_group_level("sync")]
    try:
        groups.begin_delete("sync")
    except HttpResponseError as error:
        seen["locked"] = code_of(error)
    seen["lock read"] = held.get_at_resource_group_level("sync", "keep").level
    held.delete_at_resource_group_level("sync", "keep")
    groups.begin_delete("sync").result()
    try:
        groups.get("sync")
    except HttpResponseError as error:
        seen["group gone"] = code_of(error)


def run_sync(subscription: str) -> None:
    with SubscriptionClient(Credential()) as client:
        seen["subscriptions"] = [one.display_name for one in client.subscriptions.list()]
        seen["subscription"] = client.subscriptions.get(subscription).state
        seen["locations"] = "eastus" in [one.name for one in client.subscriptions.list_locations(subscription)]
        seen["tenants"] = len(list(client.tenants.list()))
    with ResourceManagementClient(Credential(), subscription) as client:
        groups_and_resources(client, subscription)
        providers(client)
        with FeatureClient(Credential(), subscription) as of_features:
            features(of_features)
        with ManagementLockClient(Credential(), subscription) as of_locks:
            locks(of_locks, client.resource_groups)


async def run_async(subscription: str) -> None:
    async with AsyncSubscriptionClient(AsyncCredential()) as client:
        seen["aio subscriptions"] = [one.display_name async for one in client.subscriptions.list()]
    async with (
        AsyncResourceManagementClient(AsyncCredential(), subscription) as client,
        AsyncManagementLockClient(AsyncCredential(), subscription) as of_locks,
        AsyncFeatureClient(AsyncCredential(), subscription) as of_features,
    ):
        groups = client.resource_groups
        await groups.create_or_update("aio", ResourceGroup(location="westeurope"))
        seen["aio group tags"] = (await groups.update("aio", {"tags": {"a": "b"}})).tags
        wanted = f"/subscriptions/{subscription}/resourceGroups/aio/providers/{IDENTITIES}/app"
        body = GenericResource(location="eastus")
        making = await client.resources.begin_create_or_update_by_id(wanted, body, api_version=VERSION)
        seen["aio resource"] = (await making.result()).name
        seen["aio resources"] = [one.name async for one in client.resources.list_by_resource_group("aio")]
        seen["aio provider"] = (await client.providers.get("Microsoft.ManagedIdentity")).registration_state
        name = ("Microsoft.ContainerService", "EnableOIDCIssuerPreview")
        seen["aio feature"] = (await of_features.features.register(*name)).properties.state
        scope = f"/subscriptions/{subscription}/resourceGroups/aio"
        lock = ManagementLockObject(level="ReadOnly")
        await of_locks.management_locks.create_or_update_by_scope(scope, "frozen", lock)
        seen["aio locks"] = [one.level async for one in of_locks.management_locks.list_by_scope(scope)]
        await of_locks.management_locks.delete_by_scope(scope, "frozen")
        await (await groups.begin_delete("aio")).result()
        seen["aio group exists"] = await groups.check_existence("aio")


if __name__ == "__main__":
    run_sync(sys.argv[1])
    asyncio.run(run_async(sys.argv[1]))
    json.dump(seen, sys.stdout)
