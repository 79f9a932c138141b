"""`az aks`: clusters that stock kubectl uses at once."""

from collections.abc import Iterator

import pytest

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]

CREATE = "az aks create -g aks --network-plugin azure --enable-oidc-issuer --enable-workload-identity --node-count 1"


@pytest.fixture(scope="module")
def aks(az: Shell) -> Iterator[Shell]:
    """A shell with a cluster `vote` in the group `aks`."""
    az("az group create -n aks -l eastus")
    az(f"{CREATE} -n vote --generate-ssh-keys --tags a=b")
    yield az
    az("az group delete -n aks -y")
    assert az.json("az group list --query \"[?name=='aks' || name=='MC_aks_vote_eastus']\"") == []
    assert az.json("az aks list") == []


def test_a_cluster_is_shown_with_all_that_the_service_adds(aks: Shell) -> None:
    cluster = aks.json("az aks show -g aks -n vote")
    assert (cluster["provisioningState"], cluster["powerState"]["code"]) == ("Succeeded", "Running")
    assert cluster["fqdn"].endswith(".hcp.eastus.azmk8s.io")
    issuer = aks("az aks show -g aks -n vote --query oidcIssuerProfile.issuerUrl -otsv").strip()
    tenant = aks('printf %s "$AZURE_TENANT_ID"')
    assert issuer.startswith(f"https://eastus.oic.prod-aks.azure.com/{tenant}/")
    assert cluster["identityProfile"]["kubeletidentity"]["resourceId"].endswith("/vote-agentpool")
    group = aks("az aks show -g aks -n vote --query nodeResourceGroup -o tsv").strip()
    assert aks.json(f"az group show -n {group} --query managedBy") == cluster["id"]
    assert aks.json(f"az vmss list -g {group} --query '[].sku.capacity'") == [1]
    assert "1.37" in aks("az aks get-versions -l eastus -o table")
    assert "None available" in aks("az aks get-upgrades -g aks -n vote -o table")


def test_kubectl_uses_the_credentials(aks: Shell) -> None:
    file = '-f "$HOME/aks.conf"'
    aks(f"az aks get-credentials -g aks -n vote {file} && az aks get-credentials -g aks -n vote --admin {file}")
    contexts = aks('kubectl --kubeconfig "$HOME/aks.conf" config get-contexts -o name').split()
    assert sorted(contexts) == ["vote", "vote-admin"]
    for context in contexts:
        nodes = aks(f'kubectl --kubeconfig "$HOME/aks.conf" --context {context} get nodes -o name').split()
        assert len(nodes) == 1
    assert "clusterUser_aks_vote" in aks("az aks get-credentials -g aks -n vote -f -")


def test_a_service_account_of_it_signs_in_to_azure(aks: Shell) -> None:
    aks('az aks get-credentials -g aks -n vote -f "$HOME/wi.conf"; kubectl --kubeconfig "$HOME/wi.conf" create sa wi')
    aks("az identity create -g aks -n voter")
    aks(
        "az identity federated-credential create --name vote --identity-name voter -g aks"
        ' --issuer "$(az aks show -g aks -n vote --query oidcIssuerProfile.issuerUrl -otsv)"'
        " --subject system:serviceaccount:default:wi --audience api://AzureADTokenExchange"
    )
    client_id = '"$(az identity show -g aks -n voter --query clientId -o tsv)"'
    scope = '"$(az group show -n aks --query id -o tsv)"'
    aks(f"az role assignment create --role Reader --assignee {client_id} --scope {scope}")
    sign_in = (
        'AZURE_CONFIG_DIR="$HOME/wi" az login --service-principal -t "$AZURE_TENANT_ID"'
        " -u " + client_id + ' --federated-token "$(kubectl --kubeconfig'
        ' "$HOME/wi.conf" create token wi --audience api://AzureADTokenExchange)"'
    )
    (subscription,) = aks.json(sign_in)
    assert subscription["user"]["type"] == "servicePrincipal"
    aks("az aks oidc-issuer rotate-signing-keys -g aks -n vote -y")
    aks(sign_in)


def test_workload_identity_is_turned_off_and_on(aks: Shell) -> None:
    aks('az aks get-credentials -g aks -n vote -f "$HOME/webhook.conf"')
    webhooks = 'kubectl --kubeconfig "$HOME/webhook.conf" get mutatingwebhookconfigurations -o name'
    aks("az aks update -g aks -n vote --disable-workload-identity")
    assert aks(webhooks) == ""
    aks("az aks update -g aks -n vote --enable-oidc-issuer --enable-workload-identity --tags c=d")
    assert "azure-wi-webhook" in aks(webhooks)
    assert aks.json("az aks show -g aks -n vote --query tags") == {"c": "d"}


def test_pools_come_and_go(aks: Shell) -> None:
    pool = "-g aks --cluster-name vote -n batch"
    aks(f"az aks nodepool add {pool} --node-count 1")
    assert aks.json("az aks nodepool list -g aks --cluster-name vote --query '[].[name, mode]'") == [
        ["nodepool1", "System"],
        ["batch", "User"],
    ]
    aks(f"az aks nodepool scale {pool} --node-count 2")
    assert aks.json(f"az aks nodepool show {pool} --query '[count, provisioningState]'") == [2, "Succeeded"]
    aks(f"az aks nodepool delete {pool}")
    aks("az aks scale -g aks -n vote --node-count 2")
    assert aks.json("az aks show -g aks -n vote --query 'agentPoolProfiles[].count'") == [2]
    said = aks.refused("az aks nodepool delete -g aks --cluster-name vote -n nodepool1", 1)
    assert "(MustDefineAtLeastOneSystemPool)" in said


def test_a_cluster_rests(aks: Shell) -> None:
    aks("az aks stop -g aks -n vote")
    assert aks.json("az aks show -g aks -n vote --query powerState.code") == "Stopped"
    assert "Power State(Stopped), stopping cannot be performed" in aks.refused("az aks stop -g aks -n vote", 1)
    aks("az aks start -g aks -n vote")
    assert aks.json("az aks show -g aks -n vote --query powerState.code") == "Running"


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ("--kubernetes-version 1.20.7", "K8sVersionNotSupported"),
        ("--node-resource-group aks", "NodeResourceGroupSameAsResourceGroup"),
        ("--enable-cluster-autoscaler --min-count 1 --max-count 2", "NotImplemented"),
        ("--enable-private-cluster", "NotImplemented"),
        ("--enable-aad", "NotImplemented"),
    ],
)
def test_what_can_not_be_is_refused(aks: Shell, flags: str, code: str) -> None:
    assert f"({code})" in aks.refused(f"{CREATE} -n other --no-ssh-key {flags}", 1)
    assert "ResourceNotFound" in aks.refused("az aks show -g aks -n other", 3)


def test_another_identity_and_another_group_for_the_nodes(aks: Shell) -> None:
    aks("az identity create -g aks -n control")
    aks(
        f"{CREATE} -n second --no-ssh-key --enable-managed-identity --node-resource-group second-nodes"
        ' --assign-identity "$(az identity show -g aks -n control --query id -o tsv)"'
    )
    shown = aks.json("az aks show -g aks -n second --query '[identity.type, nodeResourceGroup]'")
    assert shown == ["UserAssigned", "second-nodes"]
    aks("az aks delete -g aks -n second -y")
    assert "ResourceGroupNotFound" in aks.refused("az group show -n second-nodes", 3)


def test_pod_identity_is_enabled_through_the_rest_command(aks: Shell) -> None:
    feature = "--namespace Microsoft.ContainerService --name EnablePodIdentityPreview --query properties.state -o tsv"
    url = '"$(az aks show -g aks -n vote --query id -o tsv)?api-version=2024-09-02-preview"'
    put = (
        f"az rest --method get --url {url}"
        " | python3 -c 'import json, sys; one = json.load(sys.stdin);"
        ' one["properties"]["podIdentityProfile"] = {"enabled": True}; print(json.dumps(one))\''
        f' > "$HOME/cluster.json"; az rest --method put --url {url} --body @"$HOME/cluster.json"'
    )
    assert "PodIdentityAddonFeatureFlagNotEnabled" in aks.refused(put, 1)
    assert aks(f"az feature register {feature}").strip() == "Registering"
    aks(f'until [ "$(az feature show {feature})" = Registered ]; do :; done')
    aks(put)
    aks("az aks wait -g aks -n vote --updated --interval 1")
    assert aks.json("az aks show -g aks -n vote --query podIdentityProfile.enabled") is True
