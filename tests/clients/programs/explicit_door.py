"""What a program does that is given the lab's address instead of a proxy. The assertion comes by standard input."""

import asyncio
import os
import sys

from azure.core.exceptions import ResourceNotFoundError
from azure.identity import ClientAssertionCredential
from azure.identity.aio import ClientAssertionCredential as AsyncClientAssertionCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.msi.aio import ManagedServiceIdentityClient as AsyncManagedServiceIdentityClient

cloud, assertion = os.environ["PODPASS_CLOUD"], sys.stdin.read().strip()
who = (os.environ["AZURE_TENANT_ID"], os.environ["PODPASS_OPERATOR_CLIENT_ID"], lambda: assertion)
where = {"base_url": cloud}
if sys.argv[1] == "own":
    where["credential_scopes"] = [f"{cloud}/.default"]
subscription, group = os.environ["PODPASS_SUBSCRIPTION_ID"], f"explicit-{sys.argv[1]}"

credential = ClientAssertionCredential(*who, authority=cloud)
with ManagedServiceIdentityClient(credential, subscription, **where) as client:
    identities = client.user_assigned_identities
    made = identities.create_or_update(group, "explicit-door", {"location": "westeurope"})
    print("made", made.name)
    print("read", identities.get(group, "explicit-door").name)
    print("tags", identities.update(group, "explicit-door", {"tags": {"a": "b"}}).tags)
    identities.delete(group, "explicit-door")
    try:
        identities.get(group, "explicit-door")
    except ResourceNotFoundError as error:
        print(error.status_code)
with ComputeManagementClient(credential, subscription, **where) as compute:
    print("machines", len(list(compute.virtual_machines.list(group))))
with ContainerServiceClient(credential, subscription, **where) as clusters:
    print("clusters", len(list(clusters.managed_clusters.list_by_resource_group(group))))
with KeyVaultManagementClient(credential, subscription, **where) as vaults:
    print("vaults", len(list(vaults.vaults.list_by_resource_group(group))))


async def asynchronous() -> None:
    async with (
        AsyncClientAssertionCredential(*who, authority=cloud) as credential,
        AsyncManagedServiceIdentityClient(credential, subscription, **where) as client,
    ):
        names = [one.name async for one in client.user_assigned_identities.list_by_subscription()]
        print("aio", "ok" if "explicit-door" not in names else names)


asyncio.run(asynchronous())
