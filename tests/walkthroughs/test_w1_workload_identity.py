"""Walkthrough 1, the cluster's part: a shell in a pod with workload identity, and both of its tokens."""

import json
from pathlib import Path

import pytest

from tests.shell import Shell
from tests.terminal import terminal

SUBJECT = "system:serviceaccount:shop:orders"
TOKENS = {
    "azure": "/var/run/secrets/azure/tokens/azure-identity-token",
    "ordinary": "/var/run/secrets/kubernetes.io/serviceaccount/token",
}


@pytest.fixture(scope="module")
def pod(shell: Shell) -> str:
    """The name of the Deployment's pod, which runs."""
    shell("kubectl create namespace shop; kubectl create serviceaccount orders -n shop")
    shell(
        "kubectl annotate serviceaccount orders -n shop"
        ' azure.workload.identity/client-id="$(podpass lab identity orders)"'
    )
    shell("kubectl apply -f docs/examples/azcli.yaml")
    shell("kubectl rollout status deployment/azcli -n shop --timeout=60s")
    return shell("kubectl get pods -n shop -l app=azcli -o jsonpath='{.items[0].metadata.name}'")


def claims_of(shell: Shell, pod: str, token: str) -> dict[str, object]:
    line = f"kubectl exec -n shop {pod} -- sh -c 'step crypto jwt inspect --insecure < {TOKENS[token]}'"
    claims: dict[str, object] = json.loads(shell(line))["payload"]
    assert claims["iss"] == shell.lab.endpoints.issuer
    assert (claims["sub"], claims["nbf"]) == (SUBJECT, claims["iat"])
    bound = claims["kubernetes.io"]
    assert isinstance(bound, dict)
    assert (bound["namespace"], bound["pod"]["name"]) == ("shop", pod)
    assert (bound["serviceaccount"]["name"], len(bound["serviceaccount"]["uid"])) == ("orders", 36)
    return claims


def test_step_3_a_shell_on_a_terminal_has_the_variables(shell: Shell, pod: str) -> None:
    kubectl = str(Path(shell.path.split(":")[0]) / "kubectl")
    command = [kubectl, "exec", "-it", pod, "-n", "shop", "--", "sh"]
    with terminal(command, shell.environment) as person:
        person.see("# ")
        person.type("env | grep ^AZURE_ | sort; exit\r")
        code, screen = person.end()
    assert code == 0, screen
    for line in (
        "AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/",
        f"AZURE_CLIENT_ID={shell('podpass lab identity orders').strip()}",
        f"AZURE_FEDERATED_TOKEN_FILE={TOKENS['azure']}",
        f"AZURE_TENANT_ID={shell.lab.endpoints.tenant_id}",
    ):
        assert f"{line}\r\n" in screen


def test_step_6_the_token_for_azure(shell: Shell, pod: str) -> None:
    claims = claims_of(shell, pod, "azure")
    assert claims["aud"] == ["api://AzureADTokenExchange"]
    assert claims["exp"] == claims["iat"] + 3600  # type: ignore[operator]


def test_step_6_the_ordinary_token(shell: Shell, pod: str) -> None:
    claims = claims_of(shell, pod, "ordinary")
    assert claims["aud"] == [shell.lab.endpoints.issuer]
    assert claims["exp"] == claims["iat"] + 31_536_000  # type: ignore[operator]
    assert claims["kubernetes.io"]["warnafter"] == claims["iat"] + 3607  # type: ignore[operator, index]


def test_step_8_it_takes_a_label_and_an_annotation_and_no_custom_resource(shell: Shell, pod: str) -> None:
    assert shell("kubectl get crd -o name") == ""
    template = json.loads(shell("kubectl get deployment azcli -n shop -o json"))["spec"]["template"]
    assert "volumes" not in template["spec"], "what the pod has more than its template came by admission"
    assert "env" not in template["spec"]["containers"][0]


def test_w5_step_5_a_pod_for_a_moment(shell: Shell, pod: str) -> None:
    shell("kubectl create serviceaccount workload-identity-sa -n default")
    kubectl = str(Path(shell.path.split(":")[0]) / "kubectl")
    line = (
        "run az-cli -n default -l azure.workload.identity/use=true --image=busybox -i --tty --rm --command /usr/bin/env"
    )
    overrides = '--overrides={"spec":{"serviceAccount":"workload-identity-sa"}}'
    with terminal([kubectl, *line.split(), overrides, "--", "sh"], shell.environment) as person:
        person.see("try pressing enter.")
        person.type("\r")
        person.see("# ")
        person.type("echo $AZURE_FEDERATED_TOKEN_FILE; exit\r")
        code, screen = person.end()
    assert code == 0, screen
    assert f"{TOKENS['azure']}\r\n" in screen
    assert 'pod "az-cli" deleted' in screen
