"""Walkthrough 2, the cluster's part: the voting page behind a load balancer, with a password out of a Secret."""

import pytest

from tests.shell import Shell


@pytest.fixture(scope="module")
def waiting(shell: Shell) -> str:
    """Why the pod waits before the Secret is there."""
    shell("kubectl apply -f docs/examples/vote.yaml")
    path = "{.status.containerStatuses[0].state.waiting.reason}"
    line = "kubectl wait pod -l app=azure-vote --timeout=30s --for=jsonpath="
    shell(f"{line}'{path}'=CreateContainerConfigError")
    return shell("kubectl describe pod -l app=azure-vote")


@pytest.fixture(scope="module")
def vote(shell: Shell, waiting: str) -> Shell:
    """The page is served: the Secret has come."""
    shell("kubectl create secret generic redis --from-literal=password=abcd")
    shell("kubectl rollout status deployment/azure-vote --timeout=60s")
    return shell


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def address(shell: Shell) -> str:
    path = "{.status.loadBalancer.ingress[0].ip}"
    shell(f"kubectl wait service/azure-vote --for=jsonpath='{path}' --timeout=30s")
    ip = shell(f"kubectl get service azure-vote -o jsonpath='{path}'")
    return f"http://{ip}:" + shell("kubectl get service azure-vote -o jsonpath='{.spec.ports[0].port}'")


def test_step_9_the_pod_waits_for_the_secret(waiting: str) -> None:
    assert 'Error: secret "redis" not found' in waiting


def test_step_9_the_page_is_served_at_the_external_address(vote: Shell) -> None:
    pods, services = (table(part) for part in vote("kubectl get pod,svc -l app=azure-vote").split("\n\n"))
    assert pods[1][1:3] == ["1/1", "Running"]
    assert services[0][:5] == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)"]
    assert services[1][:2] == ["service/azure-vote", "LoadBalancer"]
    assert services[1][3] not in ("<pending>", "<none>")
    page = vote(f"curl --noproxy '*' -sSf {address(vote)}/")
    assert "Cats" in page
    assert "Dogs" in page


def test_step_9_it_is_back_when_its_pod_was_deleted(vote: Shell) -> None:
    before = vote("kubectl get pod -l app=azure-vote -o name").strip()
    vote(f"kubectl delete {before}")
    vote("kubectl rollout status deployment/azure-vote --timeout=60s")
    assert vote("kubectl get pod -l app=azure-vote -o name").strip() != before
    vote("kubectl wait pod -l app=azure-vote --for=condition=Ready --timeout=60s")
    assert "Cats" in vote(f"curl --noproxy '*' --retry 5 --retry-connrefused -sSf {address(vote)}/")


def test_step_10_nothing_secret_stands_in_a_manifest(vote: Shell) -> None:
    assert "abcd" not in vote("kubectl get deployment azure-vote -o yaml")
    assert "REDIS_PWD:  <set to the key 'password' in secret 'redis'>" in vote(
        "kubectl describe pod -l app=azure-vote | tr -s ' ' | sed 's/: </:  </'"
    )
