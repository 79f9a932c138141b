"""Run as a program: uses the stock ContainerServiceClient as a tool would, and prints what it saw as JSON.

Takes the subscription and the group; reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the client is
replaced; proxy and trust come from the environment.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.containerservice.aio import ContainerServiceClient as AsyncContainerServiceClient
from azure.mgmt.containerservice.models import (
    AgentPool,
    ManagedCluster,
    ManagedClusterAgentPoolProfile,
    ManagedClusterIdentity,
    ManagedClusterOIDCIssuerProfile,
    ManagedClusterPodIdentityProfile,
    ManagedClusterSecurityProfile,
    ManagedClusterSecurityProfileWorkloadIdentity,
)

NAME = "vote"
seen: dict[str, Any] = {}


def _issue() -> AccessToken:
    return AccessToken(Path(os.environ["PODPASS_TEST_TOKEN"]).read_text(), 4_000_000_000)


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return _issue()


class AsyncCredential:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return _issue()

    async def close(self) -> None: ...

    async def __aenter__(self) -> "AsyncCredential":
        return self

    async def __aexit__(self, *details: object) -> None: ...


def run_sync(subscription: str, group: str) -> None:
    with ContainerServiceClient(Credential(), subscription) as client:
        clusters, pools = client.managed_clusters, client.agent_pools
        wanted = ManagedCluster(
            location="eastus",
            identity=ManagedClusterIdentity(type="SystemAssigned"),
            dns_prefix="vote",
            agent_pool_profiles=[ManagedClusterAgentPoolProfile(name="nodepool1", count=2, mode="System")],
            oidc_issuer_profile=ManagedClusterOIDCIssuerProfile(enabled=True),
        )
        made = clusters.begin_create_or_update(group, NAME, wanted).result()
        seen["created"] = [made.provisioning_state, made.power_state.code, made.agent_pool_profiles[0].count]
        seen["issuer"] = made.oidc_issuer_profile.issuer_url
        seen["kubelet"] = made.identity_profile["kubeletidentity"].resource_id
        made.security_profile = ManagedClusterSecurityProfile(
            workload_identity=ManagedClusterSecurityProfileWorkloadIdentity(enabled=True)
        )
        made.tags = {"a": "b"}
        changed = clusters.begin_create_or_update(group, NAME, made).result()
        seen["changed"] = [changed.security_profile.workload_identity.enabled, changed.tags]
        try:
            changed.pod_identity_profile = ManagedClusterPodIdentityProfile(enabled=True)
            clusters.begin_create_or_update(group, NAME, changed)
        except HttpResponseError as error:
            seen["refused"] = [error.status_code, error.error.code]
        added = pools.begin_create_or_update(group, NAME, "batch", AgentPool(count=1, mode="User")).result()
        seen["pool"] = [added.provisioning_state, added.count, added.mode]
        credentials = clusters.list_cluster_user_credentials(group, NAME).kubeconfigs
        seen["credentials"] = [one.name for one in credentials]
        seen["kubeconfig"] = "clusterUser_shop_vote" in credentials[0].value.decode()
        seen["versions"] = [one.version for one in clusters.list_kubernetes_versions("eastus").values_property]
        seen["upgrades"] = clusters.get_upgrade_profile(group, NAME).properties.control_plane_profile.upgrades


async def run_async(subscription: str, group: str) -> None:
    async with AsyncContainerServiceClient(AsyncCredential(), subscription) as client:
        clusters, pools = client.managed_clusters, client.agent_pools
        seen["listed"] = [one.name async for one in clusters.list_by_resource_group(group)]
        seen["pools"] = [one.name async for one in pools.list(group, NAME)]
        await (await clusters.begin_rotate_service_account_signing_keys(group, NAME)).result()
        await (await pools.begin_delete(group, NAME, "batch")).result()
        await (await clusters.begin_stop(group, NAME)).result()
        seen["stopped"] = (await clusters.get(group, NAME)).power_state.code
        await (await clusters.begin_start(group, NAME)).result()
        await (await clusters.begin_delete(group, NAME)).result()
        seen["left"] = [one.name async for one in clusters.list()]


if __name__ == "__main__":
    run_sync(*sys.argv[1:])
    asyncio.run(run_async(*sys.argv[1:]))
    print(json.dumps(seen))
