"""Walkthrough 3, what az itself does of it: everything but the pod-identity extension's own commands.

In place of those stands what they send: the whole cluster, with another profile, by `az rest`.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.shell import SIGN_IN, Shell, shell_in_a_lab
from tests.stock_az import needs_az, warm_az

pytestmark = [*needs_az]

FEATURE = "--namespace Microsoft.ContainerService --name EnablePodIdentityPreview"
VERSION = "api-version=2024-09-02-preview"


@pytest.fixture(scope="module")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A cluster `myAKSCluster` in a subscription where the feature is registered."""
    with shell_in_a_lab(tmp_path_factory.mktemp("w3")) as shell, warm_az(shell.environment) as directory:
        shell.put_first(directory)
        shell(SIGN_IN)
        assert shell.json(f"az feature register {FEATURE} --query properties.state") == "Registering"
        shell(f'until [ "$(az feature show {FEATURE} --query properties.state -o tsv)" = Registered ]; do :; done')
        shell("az provider register --namespace Microsoft.ContainerService")
        shell("az group create --name myResourceGroup --location eastus")
        create = "az aks create --resource-group myResourceGroup --node-count 1 --generate-ssh-keys"
        shell(f"{create} --name myAKSCluster --network-plugin azure")
        shell("az identity create --resource-group myResourceGroup --name application-identity")
        yield shell


def cluster_of(az: Shell, name: str = "myAKSCluster") -> dict[str, Any]:
    return az.json(f"az rest --url '/subscriptions/{{subscriptionId}}/{_path(name)}'")


def put(cluster: dict[str, Any], profile: dict[str, Any]) -> str:
    """The line that writes the cluster with this profile of pod identities and waits until that has ended."""
    whole = {**cluster, "properties": {**cluster["properties"], "podIdentityProfile": profile}}
    body = shlex.quote(json.dumps(whole))
    name = cluster["name"]
    return (
        f"az rest --method put --url '/subscriptions/{{subscriptionId}}/{_path(name)}' --body {body} --query name"
        f" && az aks wait --resource-group myResourceGroup --name {name} --updated --interval 1"
    )


def _path(name: str) -> str:
    return f"resourceGroups/myResourceGroup/providers/Microsoft.ContainerService/managedClusters/{name}?{VERSION}"


def test_step_2_the_feature_is_taken_back_and_registered_again(az: Shell) -> None:
    assert az.json(f"az feature unregister {FEATURE} --query properties.state") in ("Unregistering", "Unregistered")
    az(f"az feature register {FEATURE}")
    az(f'until [ "$(az feature show {FEATURE} --query properties.state -o tsv)" = Registered ]; do :; done')


def test_step_4_pod_identity_is_enabled_and_shown(az: Shell) -> None:
    az(put(cluster_of(az), {"enabled": True}))
    assert az.json("az aks show -g myResourceGroup -n myAKSCluster --query podIdentityProfile.enabled") is True
    az("az aks update --resource-group myResourceGroup --name myAKSCluster --tags a=b")
    assert az.json("az aks show -g myResourceGroup -n myAKSCluster --query podIdentityProfile.enabled") is True


def test_step_5_kubenet_takes_a_consent_of_its_own(az: Shell) -> None:
    create = "az aks create --resource-group myResourceGroup --node-count 1 --no-ssh-key --network-plugin kubenet"
    az(f"{create} --name kubenet")
    said = az.refused(put(cluster_of(az, "kubenet"), {"enabled": True}), 1)
    assert "Network plugin kubenet is not supported to use with PodIdentity addon." in said
    az(put(cluster_of(az, "kubenet"), {"enabled": True, "allowNetworkPluginKubenet": True}))
    az("az aks delete --resource-group myResourceGroup --name kubenet --yes")


def test_steps_6_and_7_the_identity_may_manage_the_nodes(az: Shell) -> None:
    identity = "--resource-group myResourceGroup --name application-identity"
    client = az(f"az identity show {identity} --query clientId -otsv").strip()
    assert az(f"az identity show {identity} --query id -otsv").strip().endswith("/application-identity")
    group = az("az aks show -g myResourceGroup -n myAKSCluster --query nodeResourceGroup -otsv").strip()
    assert group == "MC_myResourceGroup_myAKSCluster_eastus"
    scope = az(f"az group show -n {group} -o tsv --query id").strip()
    az(f'az role assignment create --role "Virtual Machine Contributor" --assignee "{client}" --scope {scope}')
    assert az.json(f"az role assignment list --scope {scope} --assignee {client} --query '[].roleDefinitionName'") == [
        "Virtual Machine Contributor"
    ]


def test_steps_8_to_11_a_pod_identity_is_assigned_and_taken_away(az: Shell) -> None:
    identity = az.json("az identity show -g myResourceGroup -n application-identity")
    cluster = cluster_of(az)
    # The extension gives this role to the cluster first, so that it may hand the identity on.
    az(
        'az role assignment create --role "Managed Identity Operator" --assignee-principal-type ServicePrincipal'
        f" --assignee-object-id {cluster['identity']['principalId']} --scope {identity['id']}"
    )
    wanted = {
        "name": "my-pod-identity",
        "namespace": "my-app",
        "identity": {
            "resourceId": identity["id"],
            "clientId": identity["clientId"],
            "objectId": identity["principalId"],
        },
    }
    refused = put(cluster, {"enabled": True, "userAssignedIdentities": [{**wanted, "name": "My_Pod_Identity"}]})
    assert "Bad Request({" in az.refused(refused, 1)
    az(put(cluster, {"enabled": True, "userAssignedIdentities": [wanted]}))
    (shown,) = az.json(
        "az aks show -g myResourceGroup -n myAKSCluster --query podIdentityProfile.userAssignedIdentities"
    )
    assert (shown["name"], shown["namespace"], shown["provisioningState"]) == ("my-pod-identity", "my-app", "Assigned")
    group = "MC_myResourceGroup_myAKSCluster_eastus"
    (held,) = az.json(f"az vmss list -g {group} --query '[].keys(identity.userAssignedIdentities)'")
    assert identity["id"].lower() in [one.lower() for one in held]
    az(put(cluster_of(az), {"enabled": False}))
    assert not az.json("az aks show -g myResourceGroup -n myAKSCluster --query podIdentityProfile.enabled")
    (held,) = az.json(f"az vmss list -g {group} --query '[].keys(identity.userAssignedIdentities)'")
    assert identity["id"].lower() not in [one.lower() for one in held]
    az(f'az role assignment delete --role "Managed Identity Operator" --scope {identity["id"]}')
