"""The policy that keeps pods from posing as others, as a cluster applies it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.podidentity.identity_cluster import CRDS, identity_cluster

POLICY = CRDS.parents[1] / "policy" / "prevent-net-raw.yaml"
GATEKEEPER = CRDS.parents[1] / "policy" / "prevent-net-raw-gatekeeper.yaml"
SAID = "these containers must drop the capability NET_RAW: "


def container(name: str = "web", *, drop: tuple[str, ...] = (), add: tuple[str, ...] = (), **context: Any) -> Any:
    if drop or add:
        context["capabilities"] = {"drop": list(drop), "add": list(add)}
    return {"name": name, "image": "busybox", **({"securityContext": context} if context else {})}


GOOD = container(drop=("ALL",))
PODS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing-said": ({"containers": [container()]}, "web"),
    "dropped": ({"containers": [container(drop=("NET_RAW",))]}, ""),
    "all-dropped": ({"containers": [GOOD]}, ""),
    "another-dropped": ({"containers": [container(drop=("MKNOD",))]}, "web"),
    "added-again": ({"containers": [container(drop=("ALL",), add=("NET_RAW",))]}, "web"),
    "added-by-its-long-name": ({"containers": [container(drop=("ALL",), add=("CAP_NET_RAW",))]}, "web"),
    "all-added": ({"containers": [container(drop=("NET_RAW",), add=("ALL",))]}, "web"),
    "another-added": ({"containers": [container(drop=("ALL",), add=("NET_BIND_SERVICE",))]}, ""),
    "privileged": ({"containers": [container(drop=("ALL",), privileged=True)]}, "web"),
    "init": ({"containers": [GOOD], "initContainers": [container("init")]}, "init"),
    "two": ({"containers": [container("one"), container("two"), GOOD]}, "one, two"),
}


async def test_pods_that_keep_net_raw_are_refused(tmp_path: Path) -> None:
    kubectl = str(Path(sys.executable).parent / "kubectl")
    async with identity_cluster(tmp_path) as cluster:
        applied = await cluster.api.kubectl(kubectl, "apply", "-f", str(POLICY))
        assert applied.code == 0, applied.err
        await cluster.api.kubectl(kubectl, "create", "namespace", "kube-system")
        found = {}
        for name, (spec, _) in PODS.items():
            file = tmp_path / f"{name}.json"
            file.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
            done = await cluster.api.kubectl(kubectl, "apply", "-n", "shop", "--dry-run=server", "-f", str(file))
            found[name] = done.err.strip().rpartition(SAID)[2] if done.code else ""
        assert found == {name: said for name, (_, said) in PODS.items()}
        # The system's own pods need what they need.
        done = await cluster.api.kubectl(
            kubectl, "apply", "-n", "kube-system", "-f", str(tmp_path / "nothing-said.json")
        )
        assert done.code == 0, done.err


@pytest.mark.parametrize("path", [POLICY, GATEKEEPER], ids=lambda path: path.stem)
def test_both_forms_leave_out_the_system_and_are_named_alike(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert {document["metadata"]["name"] for document in documents} <= {"prevent-net-raw", "k8spspcapabilities"}
    assert "kube-system" in yaml.safe_dump(documents[-1])


def test_the_constraint_asks_for_what_the_add_on_s_users_are_told() -> None:
    template, constraint = yaml.safe_load_all(GATEKEEPER.read_text())
    assert constraint["kind"] == template["spec"]["crd"]["spec"]["names"]["kind"] == "K8sPSPCapabilities"
    assert constraint["spec"]["parameters"] == {"requiredDropCapabilities": ["NET_RAW"]}
