"""Walkthrough 5, the cluster's part: what an operator checks with kubectl on any Kubernetes."""

import json
import shutil

import pytest

from tests.shell import Shell

LABEL = "azure.workload.identity/use"
SUBJECT = "system:serviceaccount:shop:orders"
needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME, azure.workload.identity/use: "USE"}}
    spec: {containers: [{name: c, image: busybox}]}
"""


@pytest.fixture(scope="module")
def shop(shell: Shell) -> Shell:
    """The namespace with the account that the identity `orders` trusts."""
    shell("kubectl create namespace shop; kubectl create serviceaccount orders -n shop")
    shell(
        "kubectl annotate serviceaccount orders -n shop"
        ' azure.workload.identity/client-id="$(podpass lab identity orders)"'
    )
    return shell


def log_of(shell: Shell, name: str) -> str:
    """The log of the example pod *name* once it has ended well."""
    shell(f"kubectl apply -f docs/examples/{name}.yaml")
    shell(f"kubectl wait -n shop pod/{name} --for=jsonpath='{{.status.phase}}'=Succeeded --timeout=60s")
    return shell(f"kubectl logs -n shop {name}")


def test_step_1_the_issuer_answers(shop: Shell) -> None:
    issuer = shop.lab.endpoints.issuer
    document = json.loads(shop('curl -sSf "${PODPASS_ISSUER}.well-known/openid-configuration"'))
    assert document["issuer"] == issuer
    assert "keys" in json.loads(shop('curl -sSf "${PODPASS_ISSUER}openid/v1/jwks"'))


def test_step_3_describe_shows_what_the_webhook_added(shop: Shell) -> None:
    shop(
        f"kubectl run probe -n shop -l {LABEL}=true --image=busybox"
        """ --overrides='{"spec":{"serviceAccountName":"orders"}}' -- sleep 300"""
    )
    shop("kubectl wait -n shop --for=condition=Ready pod/probe --timeout=60s")
    words = " ".join(shop("kubectl describe pod probe -n shop").split())
    for part in (
        f"AZURE_TENANT_ID: {shop.lab.endpoints.tenant_id}",
        f"AZURE_CLIENT_ID: {shop('podpass lab identity orders').strip()}",
        "AZURE_AUTHORITY_HOST: https://login.microsoftonline.com/",
        "AZURE_FEDERATED_TOKEN_FILE: /var/run/secrets/azure/tokens/azure-identity-token",
        "/var/run/secrets/azure/tokens from azure-identity-token (ro)",
        "azure-identity-token: Type: Projected",
    ):
        assert part in words


def test_step_4_the_jump_pods_log_is_its_token(shop: Shell) -> None:
    token = json.loads(log_of(shop, "jump"))
    claims = token["payload"]
    assert token["header"]["alg"] == "RS256"
    assert (claims["aud"], claims["exp"] - claims["iat"], claims["sub"]) == (["test"], 3600, SUBJECT)
    assert claims["iss"] == shop.lab.endpoints.issuer
    assert claims["kubernetes.io"]["pod"]["name"] == "jump"


@needs_jq
def test_step_6_which_pods_and_deployments_carry_the_label(shop: Shell) -> None:
    for name, use in (("with", "true"), ("without", "false")):
        shop("kubectl apply -f -", stdin=TEMPLATE.replace("NAME", name).replace("USE", use))
    shop(f"kubectl run labelled -n shop -l {LABEL}=true --image=busybox -- sleep 300")
    chosen = f'select(.metadata.labels["{LABEL}"] == "true") | .metadata.name'
    pods = shop(f"kubectl get pods -A -o json | jq -r '.items[] | {chosen}'").split()
    assert "labelled" in pods
    assert "jump" not in pods
    chosen = f'select(.spec.template.metadata.labels["{LABEL}"] == "true") | .metadata.name'
    assert shop(f"kubectl get deployments -A -o json | jq -r '.items[] | {chosen}'") == "with\n"


@needs_jq
def test_step_7_three_tokens_side_by_side(shop: Shell) -> None:
    lines = [json.loads(line) for line in log_of(shop, "tokens").splitlines()]
    assert [line["token"] for line in lines] == ["ordinary", "azure-identity", "azure-access"]
    ordinary, azure, access = (line["claims"] for line in lines)
    assert (ordinary["aud"], azure["aud"]) == ([shop.lab.endpoints.issuer], ["api://AzureADTokenExchange"])
    assert (ordinary["sub"], azure["sub"]) == (SUBJECT, SUBJECT)
    assert ordinary["exp"] - ordinary["iat"] == 31_536_000
    assert ordinary["kubernetes.io"]["warnafter"] == ordinary["iat"] + 3607
    assert azure["exp"] - azure["iat"] == 3600
    assert azure["nbf"] == azure["iat"]
    assert access["tid"] == shop.lab.endpoints.tenant_id
    assert shop("podpass lab identity orders").strip() in (access.get("appid"), access.get("azp"))
