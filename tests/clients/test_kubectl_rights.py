"""kubectl asks who somebody is and what they may, and works in another's name."""

import base64
import json
from typing import Any

import pytest

from tests.clients.conftest import Kubectl

ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: orders, namespace: NAMESPACE}]
"""


def claims_of(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.fixture
def orders(kubectl: Kubectl) -> str:
    """The user name of an account that may read pods, through `auth reconcile`."""
    kubectl("create serviceaccount orders")
    kubectl("auth reconcile -f -", stdin=ROLES.replace("NAMESPACE", kubectl.namespace))
    return f"system:serviceaccount:{kubectl.namespace}:orders"


def test_what_somebody_may(kubectl: Kubectl, orders: str) -> None:
    assert kubectl("auth can-i delete nodes") == "yes\n"
    assert kubectl(f"auth can-i list pods --as={orders}") == "yes\n"
    assert kubectl.refused(f"auth can-i delete pods --as={orders}").splitlines()[-1] == "no"
    assert kubectl.refused(f"auth can-i get secrets --as={orders} -q") == ""
    assert kubectl.refused("auth can-i get /logs --as=jane").splitlines()[-1] == "no"
    rules = kubectl(f"auth can-i --list --as={orders}")
    assert [line.split()[0] for line in rules.splitlines() if "[get list]" in line] == ["pods"]


def test_who_i_am(kubectl: Kubectl, orders: str) -> None:
    if kubectl.old:
        assert "unknown command" in kubectl.refused("auth whoami")
        return
    rows = dict(line.split(None, 1) for line in kubectl(f"auth whoami --as={orders}").splitlines())
    assert rows["Username"] == orders
    assert "system:serviceaccounts" in rows["Groups"]
    assert kubectl.json("auth whoami")["status"]["userInfo"]["username"] == "kubernetes-admin"


def test_another_may_only_what_its_roles_say(kubectl: Kubectl, orders: str) -> None:
    assert kubectl(f"get pods --as={orders} -o name") == ""
    refusal = kubectl.refused(f"get secrets --as={orders}")
    assert refusal == (
        f'Error from server (Forbidden): secrets is forbidden: User "{orders}" cannot list resource "secrets"'
        f' in API group "" in the namespace "{kubectl.namespace}"\n'
    )
    assert "at the cluster scope" in kubectl.refused(f"get nodes --as={orders}")


def test_reconciling_adds_what_is_missing_and_nothing_else(kubectl: Kubectl, orders: str) -> None:
    kubectl("patch role reader --type=json -p", '[{"op":"replace","path":"/rules/0/verbs","value":["get"]}]')
    done = kubectl.run("auth reconcile -f -", stdin=ROLES.replace("NAMESPACE", kubectl.namespace))
    assert "role.rbac.authorization.k8s.io/reader reconciled" in done.stdout
    assert "{Verbs:[list] APIGroups:[] Resources:[pods]" in done.stderr
    assert kubectl(f"auth can-i list pods --as={orders}") == "yes\n"


@pytest.mark.shows_tokens
def test_a_token_for_an_account(kubectl: Kubectl, orders: str) -> None:
    if kubectl.old:
        assert "unknown command" in kubectl.refused("create token orders")
        return
    kubectl("run web --image=busybox -- sleep 300")
    token = kubectl("create token orders --audience=here --duration=20m").strip()
    claims = claims_of(token)
    assert (claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == (orders, ["here"], 1200)
    assert "may not specify a duration less than 10 minutes" in kubectl.refused("create token orders --duration=1m")
    assert 'serviceaccounts "none" not found' in kubectl.refused("create token none")
    refusal = kubectl.refused("create token orders --bound-object-kind=Pod --bound-object-name=web")
    assert 'cannot bind token for serviceaccount "orders" to pod running with different serviceaccount name' in refusal
    bound = kubectl("create token default --bound-object-kind=Pod --bound-object-name=web").strip()
    server = ("--server", kubectl.lab.endpoints.api, "--kubeconfig=/dev/null", f"--token={bound}")
    trust = f"--certificate-authority={kubectl.lab.paths.ca_certificate}"
    who = json.loads(kubectl("auth whoami -o json", *server, trust))["status"]["userInfo"]
    assert who["username"] == f"system:serviceaccount:{kubectl.namespace}:default"
    assert who["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    kubectl("delete pod web --force --grace-period=0")
    assert "Unauthorized" in kubectl.refused("get pods", *server, trust)
