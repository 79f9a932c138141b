"""Who uses pod identity, what moving them takes, and the manifests that move them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podpass import cli
from podpass.migrate.estate import TEMPLATES, Estate
from podpass.migrate.files import Choices, service_account, trust_command, workload
from podpass.migrate.plan import Plan, plans
from tests.podidentity.identity_cluster import identity_cluster

GROUP = "/subscriptions/S/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities"


def identity(name: str, namespace: str = "shop", **spec: Any) -> Any:
    spec = {"type": 0, "resourceID": f"{GROUP}/{name}", "clientID": f"client-{name}", **spec}
    return {"kind": "AzureIdentity", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def binding(of: str, selector: str, namespace: str = "shop", name: str = "") -> Any:
    metadata = {"name": name or f"{of}-binding", "namespace": namespace}
    return {"kind": "AzureIdentityBinding", "metadata": metadata, "spec": {"azureIdentity": of, "selector": selector}}


def made(kind: str, name: str, *, selector: str = "web", owner: str = "", namespace: str = "shop", **pod: Any) -> Any:
    """A workload of *kind*; *owner* is the kind and the name of what made it."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": "u", "resourceVersion": "7"}
    if owner:
        above, _, named = owner.partition("/")
        metadata["ownerReferences"] = [{"kind": above, "name": named, "controller": True}]
    labels = {"aadpodidbinding": selector} if selector else {}
    if kind == "Pod":
        return {
            "kind": kind,
            "metadata": {**metadata, "labels": labels},
            "spec": {"containers": [{"name": "c"}], **pod},
        }
    template: Any = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}], **pod}}
    spec: Any = {"template": template}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": {"replicas": 1}}


BASE = [identity("orders"), binding("orders", "web")]


def found(*objects: Any, **options: Any) -> dict[str, Plan]:
    return {f"{plan.key[0]}/{plan.key[2]}": plan for plan in plans(Estate.of([*BASE, *objects]), **options)}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_each_kind_that_makes_pods_is_found(kind: str) -> None:
    (plan,) = found(made(kind, "web")).values()
    assert (plan.identity, plan.client_id, plan.account, plan.makes_account) == (
        "shop/orders",
        "client-orders",
        "web",
        True,
    )


def test_owners_are_followed_to_the_top() -> None:
    chain = [
        made("Pod", "web-1-a", owner="ReplicaSet/web-1"),
        made("ReplicaSet", "web-1", owner="Deployment/web"),
        made("Deployment", "web"),
        made("Pod", "night-1-a", owner="Job/night-1"),
        made("Job", "night-1", owner="CronJob/night"),
        made("CronJob", "night"),
        made("Pod", "alone"),
        made("Pod", "orphan", owner="ReplicaSet/gone"),
        made("Pod", "rolled", owner="Rollout/web"),
        made("Deployment", "other", selector=""),
    ]
    plans_found = found(*chain)
    assert list(plans_found) == ["Pod/alone", "CronJob/night", "Pod/orphan", "Pod/rolled", "Deployment/web"]
    assert not plans_found["Pod/rolled"].can_move
    assert "Rollout web made it" in plans_found["Pod/rolled"].hindrances[0]


def test_what_would_be_made_counts_more_than_what_is_left() -> None:
    old = made("Pod", "web-1-a", selector="old", owner="Deployment/web")
    assert found(old, made("Deployment", "web"))["Deployment/web"].selector == "web"


def test_owners_that_own_each_other_have_an_end() -> None:
    found(made("ReplicaSet", "a", owner="ReplicaSet/b"), made("ReplicaSet", "b", owner="ReplicaSet/a"))


@pytest.mark.parametrize(
    ("objects", "hindrance"),
    [
        ([made("Deployment", "web", selector="nobody")], "no AzureIdentityBinding selects nobody"),
        (
            [binding("gone", "lost"), made("Deployment", "web", selector="lost")],
            "the AzureIdentity shop/gone does not exist",
        ),
        (
            [identity("bad", resourceID="x"), binding("bad", "bad"), made("Deployment", "web", selector="bad")],
            "the AzureIdentity shop/bad can't be used",
        ),
        (
            [
                identity("sp", type=1, clientPassword={"name": "s"}),
                binding("sp", "sp"),
                made("Deployment", "web", selector="sp"),
            ],
            "shop/sp is a service principal",
        ),
        ([made("Deployment", "web", hostNetwork=True)], "its pods have the node's network"),
        ([made("Deployment", "web", nodeSelector={"kubernetes.io/os": "windows"})], "the proxy is for Linux"),
    ],
)
def test_what_hinders(objects: list[Any], hindrance: str) -> None:
    plan = found(*objects)["Deployment/web"]
    assert plan.hindrances[0].startswith(hindrance)
    assert not plan.can_move


def test_without_the_proxy_the_node_s_network_hinders_nobody() -> None:
    assert found(made("Deployment", "web", hostNetwork=True), with_proxy=False)["Deployment/web"].can_move


@pytest.mark.parametrize(
    ("objects", "noted"),
    [
        (
            [identity("more"), binding("more", "web", name="z"), made("Deployment", "web")],
            "its pods have shop/more too",
        ),
        ([made("Deployment", "web", namespace="bank")], "its bindings are in shop"),
        ([made("Deployment", "web", serviceAccountName="own")], "the service account own was not found"),
        ([made("Job", "web")], "a Job can't be changed"),
        (
            [
                {
                    "kind": "AzurePodIdentityException",
                    "metadata": {"name": "e", "namespace": "shop"},
                    "spec": {"podLabels": {"aadpodidbinding": "web"}},
                },
                made("Deployment", "web"),
            ],
            "the exception e lets its pods",
        ),
    ],
)
def test_what_is_to_be_looked_at_besides(objects: list[Any], noted: str) -> None:
    (plan,) = found(*objects).values()
    assert plan.can_move
    assert any(note.startswith(noted) for note in plan.notes)


def test_an_account_can_name_one_identity_only() -> None:
    objects = [identity("bills"), binding("bills", "bills")]
    objects += [
        made("Deployment", name, selector=s, serviceAccountName="one") for name, s in (("a", "web"), ("b", "bills"))
    ]
    plans_found = found(*objects)
    assert not any(plan.can_move for plan in plans_found.values())
    assert {plan.hindrances for plan in plans_found.values()} == {
        ("the service account one is used with several identities: give each its own",)
    }


def moved(kind: str, choices: Choices | None = None, *more: Any, **pod: Any) -> tuple[Any, Any]:
    estate = Estate.of([*BASE, made(kind, "web", **pod), *more])
    (plan,) = plans(estate)
    return service_account(plan, estate, choices or Choices()), workload(plan, estate, choices or Choices())


def test_a_new_account_is_called_like_the_workload() -> None:
    account, deployment = moved("Deployment", Choices(7200, tenant_id="t"))
    assert account == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "annotations": {
                "azure.workload.identity/client-id": "client-orders",
                "azure.workload.identity/service-account-token-expiration": "7200",
                "azure.workload.identity/tenant-id": "t",
            },
        },
    }
    template = deployment["spec"]["template"]
    assert template["spec"]["serviceAccountName"] == "web"
    assert template["metadata"]["labels"] == {"aadpodidbinding": "web", "azure.workload.identity/use": "true"}
    assert "status" not in deployment
    assert deployment["metadata"] == {"name": "web", "namespace": "shop"}


def test_an_account_that_is_there_keeps_what_it_has() -> None:
    own = {
        "kind": "ServiceAccount",
        "metadata": {"name": "own", "namespace": "shop", "uid": "u", "annotations": {"a": "b"}, "labels": {"c": "d"}},
        "imagePullSecrets": [{"name": "pull"}],
    }
    account, deployment = moved("Deployment", None, own, serviceAccountName="own")
    assert account["imagePullSecrets"] == [{"name": "pull"}]
    assert account["metadata"]["labels"] == {"c": "d"}
    assert account["metadata"]["annotations"]["a"] == "b"
    assert "uid" not in account["metadata"]
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "own"


def test_the_proxy_is_added_once() -> None:
    _, deployment = moved("Deployment", Choices(proxy_port=8001))
    spec = deployment["spec"]["template"]["spec"]
    (init,), (_, proxy) = spec["initContainers"], spec["containers"]
    assert (init["name"], init["env"]) == ("azwi-proxy-init", [{"name": "PROXY_PORT", "value": "8001"}])
    assert init["securityContext"] == {
        "privileged": True,
        "runAsUser": 0,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    }
    assert (proxy["name"], proxy["args"]) == ("azwi-proxy", ["--proxy-port=8001", "--log-level=info"])
    assert proxy["ports"] == [{"containerPort": 8001}]
    assert proxy["lifecycle"]["postStart"]["exec"]["command"] == [
        "/proxy",
        "--proxy-port=8001",
        "--probe",
        "--log-level=info",
    ]
    _, again = moved("Deployment", None, initContainers=[init], containers=[{"name": "c"}, proxy])
    assert again["spec"]["template"]["spec"]["containers"] == [{"name": "c"}, proxy]
    assert again["spec"]["template"]["spec"]["initContainers"] == [init]


def test_a_pod_may_run_anywhere_and_a_job_anew() -> None:
    _, pod = moved("Pod", nodeName="a", serviceAccount="default")
    assert not {"nodeName", "serviceAccount"} & pod["spec"].keys()
    job = made("Job", "web")
    job["spec"]["selector"] = {"matchLabels": {"controller-uid": "u"}}
    job["spec"]["template"]["metadata"]["labels"]["controller-uid"] = "u"
    estate = Estate.of([*BASE, job])
    (plan,) = plans(estate)
    found_job = workload(plan, estate, Choices())
    assert "selector" not in found_job["spec"]
    assert "controller-uid" not in found_job["spec"]["template"]["metadata"]["labels"]


def test_what_lets_the_identity_trust_the_account() -> None:
    (plan,) = plans(Estate.of([*BASE, made("Deployment", "web")]))
    assert trust_command(plan, "https://issuer/") == (
        "az identity federated-credential create --name shop-web --identity-name orders --resource-group g"
        " --subscription S --issuer https://issuer/ --subject system:serviceaccount:shop:web"
        " --audience api://AzureADTokenExchange"
    )
    assert '--issuer "$ISSUER" ' in trust_command(plan, "$ISSUER")


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["spec", "template", "a"]), inner),
        max_leaves=8,
    )
)
def test_any_spec_is_looked_at(spec: Any) -> None:
    deployment = {"kind": "Deployment", "metadata": {"name": "x", "namespace": "shop"}, "spec": spec}
    if isinstance(spec, dict):
        plans(Estate.of([*BASE, deployment]))


# The command


def write(path: Path, *documents: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all([{"apiVersion": "v1", **document} for document in documents]))


def test_manifests_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a/identity.yaml", *BASE)
    write(tmp_path / "a/b/web.yml", {"kind": "List", "items": [made("Deployment", "web")]})
    (tmp_path / "a/values.yaml").write_text("replicas: 3\n---\n- a list\n")
    (tmp_path / "a/notes.txt").write_text("kind: {{ .Values }}")
    assert cli.run(["migrate", "detect", "-A", "--from", str(tmp_path / "a"), "-o", "json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["workloads"]
    assert (plan["kind"], plan["name"], plan["client_id"], plan["can_move"]) == (
        "Deployment",
        "web",
        "client-orders",
        True,
    )


def test_files_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "all.yaml", *BASE, made("Deployment", "web"), made("StatefulSet", "web"))
    command = [
        "migrate",
        "detect",
        "-n",
        "shop",
        "--from",
        str(tmp_path / "all.yaml"),
        "--output-dir",
        str(tmp_path / "out"),
    ]
    assert cli.run(command) == 0
    said = capsys.readouterr()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "web-deployment-serviceaccount.yaml",
        "web-deployment.yaml",
        "web-statefulset-serviceaccount.yaml",
        "web-statefulset.yaml",
    ]
    assert "$ISSUER is the cluster's OIDC issuer" in said.err
    assert cli.run(command) == 1
    assert "--force writes over it" in capsys.readouterr().err
    assert cli.run([*command, "--force"]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [("kind: Pod\nspec: [", "line 3"), ("\tkind", "line 1"), ("a: b: c", "line 1")],
)
def test_a_file_that_is_no_yaml(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert cli.run(["migrate", "detect", "--from", str(tmp_path / "x.yaml")]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--service-account-token-expiration", "59m"], ["--service-account-token-expiration=25h"], ["--proxy-port=0"]],
)
def test_values_out_of_bounds(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["migrate", "detect", *arguments]) == 1
    assert arguments[0].partition("=")[0] in capsys.readouterr().err


async def test_a_cluster(tmp_path: Path) -> None:
    kubectl = str(Path(sys.executable).parent / "kubectl")
    podpass = str(Path(sys.executable).parent / "podpass")
    async with identity_cluster(tmp_path) as cluster:
        await cluster.identity("orders")
        await cluster.binding("b", "orders", "web")
        deployment = made("Deployment", "web")
        deployment["spec"]["selector"] = {"matchLabels": {"aadpodidbinding": "web"}}
        for member in ("uid", "resourceVersion"):
            del deployment["metadata"][member]
        write(tmp_path / "web.yaml", {**deployment, "apiVersion": "apps/v1"})
        applied = await cluster.api.kubectl(kubectl, "apply", "-f", str(tmp_path / "web.yaml"))
        assert applied.code == 0, applied.err
        out = str(tmp_path / "out")
        command = [podpass, "migrate", "detect", "-n", "shop", "--output-dir", out]
        command += ["--kubeconfig", str(cluster.api.directory / "kubeconfig")]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "deployment/web" in done.stdout
        again = await cluster.api.kubectl(kubectl, "apply", "-f", out)
        assert again.code == 0, again.err
        assert set(again.out.splitlines()) == {"deployment.apps/web configured", "serviceaccount/web created"}
