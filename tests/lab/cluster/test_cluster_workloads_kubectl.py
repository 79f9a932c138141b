"""The stock kubectl rolls out, scales and deletes workloads; nodes that only say that their pods run."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from podpass.kube import objects
from podpass.kube.resources import DEPLOYMENTS, PODS, REPLICASETS
from podpass.lab.cluster.signing_keys import SIGNING_FILE
from podpass.tokens.keys import SigningKey
from tests.lab.cluster.api_server import kubectls
from tests.lab.cluster.workload_world import World, world


@pytest.fixture
async def shop(tmp_path: Path, signing_key: SigningKey) -> AsyncIterator[World]:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / SIGNING_FILE).write_bytes(signing_key.to_pem())
    async with world(tmp_path, kubectls()[0]) as made:
        yield made


def images(shop: World) -> list[str]:
    return sorted({pod["spec"]["containers"][0]["image"] for pod in shop.pods()})


async def test_a_deployment_is_rolled_out_undone_and_restarted(shop: World) -> None:
    await shop.kubectl("create deployment web --image=nginx:1.25 --replicas=3")
    done = 'deployment "web" successfully rolled out\n'
    assert (await shop.kubectl("rollout status deployment/web")).endswith(done)
    head, row = (await shop.kubectl("get deployment web -o wide")).splitlines()
    assert head.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert row.split()[1:4] == ["3/3", "3", "3"]
    assert row.split()[5:] == ["nginx", "nginx:1.25", "app=web"]

    await shop.kubectl("set image deployment/web nginx=nginx:1.26")
    assert (await shop.kubectl("rollout status deployment/web")).endswith(done)
    assert images(shop) == ["nginx:1.26"]
    await shop.kubectl("rollout undo deployment/web")
    assert (await shop.kubectl("rollout status deployment/web")).endswith(done)
    assert images(shop) == ["nginx:1.25"]
    history = await shop.kubectl("rollout history deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]

    names = {objects.name(pod) for pod in shop.pods()}
    await shop.kubectl("rollout restart deployment/web")
    assert (await shop.kubectl("rollout status deployment/web")).endswith(done)
    assert names.isdisjoint(objects.name(pod) for pod in shop.pods())

    described = await shop.kubectl("describe deployment web")
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in described
    assert "(3/3 replicas created)" in described
    assert "Scaled up replica set web-" in described
    assert objects.annotations(shop.get(DEPLOYMENTS, "web"))["deployment.kubernetes.io/revision"] == "4"


async def test_a_paused_deployment_scales_and_rolls_out_when_it_is_resumed(shop: World) -> None:
    await shop.kubectl("create deployment web --image=a:1")
    await shop.kubectl("rollout status deployment/web")
    await shop.kubectl("rollout pause deployment/web")
    await shop.kubectl("set image deployment/web a=a:2")
    assert (
        await shop.kubectl("scale deployment/web --current-replicas=1 --replicas=4") == "deployment.apps/web scaled\n"
    )
    await shop.until(lambda: shop.get(DEPLOYMENTS, "web")["status"].get("readyReplicas") == 4)
    assert images(shop) == ["a:1"]
    await shop.kubectl("rollout resume deployment/web")
    await shop.kubectl("rollout status deployment/web")
    assert images(shop) == ["a:2"]


async def test_a_rollout_that_gets_nowhere_is_an_error_after_its_deadline(shop: World) -> None:
    shop.behave(lambda pod: "ready" if pod["spec"]["containers"][0]["image"] == "a:1" else "pending")
    await shop.kubectl("create deployment web --image=a:1")
    await shop.kubectl("rollout status deployment/web")
    patch = {"spec": {"progressDeadlineSeconds": 1}}
    await shop.kubectl(f"patch deployment web -p {json.dumps(patch, separators=(',', ':'))}")
    await shop.kubectl("set image deployment/web a=a:2")
    said = await shop.fails("rollout status deployment/web")
    assert 'error: deployment "web" exceeded its progress deadline' in said
    assert images(shop) == ["a:1", "a:2"]


async def test_deletion_takes_the_pods_along_or_leaves_them(shop: World) -> None:
    await shop.kubectl("create deployment web --image=a:1 --replicas=2")
    await shop.kubectl("rollout status deployment/web")
    await shop.kubectl("delete deployment web --cascade=orphan")
    (left,) = await shop.until(
        lambda: [each for each in shop.cluster.verbs.list(REPLICASETS) if not objects.owner_references(each)]
    )
    assert len(shop.pods()) == 2
    pods = {objects.uid(pod) for pod in shop.pods()}
    # One of the same template takes them in again.
    await shop.kubectl("create deployment web --image=a:1 --replicas=2")
    await shop.kubectl("rollout status deployment/web")
    assert {objects.uid(pod) for pod in shop.pods()} == pods
    (adopted,) = shop.cluster.verbs.list(REPLICASETS)
    assert objects.uid(adopted) == objects.uid(left)
    await shop.kubectl("delete deployment web --cascade=foreground")
    assert shop.pods() == []
    assert shop.cluster.verbs.list(REPLICASETS) == []


async def test_a_pod_whose_labels_change_is_let_go_and_replaced(shop: World) -> None:
    await shop.kubectl("create deployment web --image=a:1")
    await shop.kubectl("rollout status deployment/web")
    (pod,) = shop.pods()
    await shop.kubectl(f"label pod {objects.name(pod)} app=debug --overwrite")
    await shop.until(lambda: len(shop.pods()) == 2)
    loose = await shop.until(lambda: [each for each in shop.pods() if not objects.owner_references(each)])
    assert [objects.name(each) for each in loose] == [objects.name(pod)]
    await shop.kubectl(f"label pod {objects.name(pod)} app=web --overwrite")
    # Taken in again: one of the two is too many.
    await shop.until(lambda: len(shop.pods()) == 1)


async def test_a_refused_pod_is_an_event_and_a_condition_and_is_tried_again(shop: World) -> None:
    await shop.kubectl("create deployment web --image=a:1")
    await shop.kubectl("rollout status deployment/web")
    await shop.kubectl("set serviceaccount deployment/web missing")
    said = await shop.until(lambda: shop.events("FailedCreate"))
    assert 'error looking up service account shop/missing: serviceaccount "missing" not found' in said[0]

    def failure() -> bool:
        found = shop.get(DEPLOYMENTS, "web")["status"]["conditions"]
        return any(each["type"] == "ReplicaFailure" and each["reason"] == "FailedCreate" for each in found)

    await shop.until(failure)
    await shop.kubectl("create serviceaccount missing")
    await shop.kubectl("rollout status deployment/web")
    assert not failure()


async def test_bad_workloads_are_refused_in_the_api_servers_words(shop: World) -> None:
    container = {"name": "c", "image": "i"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": -1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [container, container]}},
        },
    }
    said = await shop.fails("apply -f -", deployment)
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in said
    assert (
        'spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`'
        in said
    )
    assert 'spec.template.spec.containers[1].name: Duplicate value: "c"' in said
    await shop.kubectl("create deployment web --image=a:1")
    said = await shop.fails("scale deployment/web --replicas=-3")
    assert "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0" in said
    patch = '{"spec":{"replicas":-3}}'
    said = await shop.fails(f"patch deployment web --subresource=scale --type=merge -p {patch}")
    assert 'The Scale "web" is invalid: spec.replicas: Invalid value: -3: must be greater than or equal to 0' in said
    said = await shop.fails('patch deployment web --type=merge -p {"spec":{"selector":{"matchLabels":{"app":"x"}}}}')
    assert 'spec.selector: Invalid value: {"matchLabels":{"app":"x"}}: field is immutable' in said
    assert await shop.kubectl("get deployment web --subresource=scale -o jsonpath={.status.selector}") == "app=web"
    said = await shop.fails("autoscale deployment web --max=3")
    assert "failed to create autoscaling/v2 HPA" in said


async def test_a_bare_replicaset_is_kept_at_its_number(shop: World) -> None:
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    replicaset = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "w"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "w"}}, "template": template},
    }
    await shop.kubectl("apply -f -", replicaset)
    await shop.kubectl("wait --for=jsonpath={.status.readyReplicas}=2 rs/w")
    head, row = (await shop.kubectl("get rs -o wide")).splitlines()
    assert head.split() == ["NAME", "DESIRED", "CURRENT", "READY", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert row.split()[:4] == ["w", "2", "2", "2"]
    pod = objects.name(shop.pods()[0])
    await shop.kubectl(f"delete pod {pod}")
    await shop.until(lambda: len(shop.pods()) == 2)
    assert pod not in {objects.name(each) for each in shop.pods()}
    await shop.kubectl("scale rs/w --replicas=0")
    await shop.until(lambda: not shop.pods())
    assert shop.cluster.verbs.find(PODS, pod, "shop") is None
