"""The stock kubectl rolls out, scales and deletes workloads; nodes that only say that their pods run."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CRONJOBS, DEPLOYMENTS, JOBS, PERSISTENTVOLUMECLAIMS, PODS, REPLICASETS
from podpass.lab.cluster.serviceaccounts.signing_keys import SIGNING_FILE
from podpass.tokens.keys import SigningKey
from tests.lab.cluster.api_server import kubectls
from tests.lab.cluster.workloads.workload_world import World, world


@pytest.fixture
async def shop(request: pytest.FixtureRequest, tmp_path: Path, signing_key: SigningKey) -> AsyncIterator[World]:
    """Asked with the kubectl that is installed with the tests, or that the test wants."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / SIGNING_FILE).write_bytes(signing_key.to_pem())
    async with world(tmp_path, getattr(request, "param", kubectls()[0])) as made:
        yield made


def images(shop: World) -> list[str]:
    return sorted({pod["spec"]["containers"][0]["image"] for pod in shop.pods()})


@pytest.mark.parametrize("shop", kubectls(), indirect=True, ids=lambda path: path.replace("/", "-").strip("-"))
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


JOB_TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
TEMPLATE = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}


def workload(kind: str, name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": TEMPLATE, **spec},
    }


async def test_a_statefulset_has_numbered_pods_and_a_history(shop: World) -> None:
    await shop.kubectl("apply -f -", workload("StatefulSet", "db", serviceName="db", replicas=2))
    await shop.kubectl("rollout status statefulset/db")
    assert [objects.name(pod) for pod in shop.pods()] == ["db-0", "db-1"]
    await shop.kubectl("set image statefulset/db c=i:2")
    await shop.kubectl("rollout status statefulset/db")
    assert images(shop) == ["i:2"]
    history = await shop.kubectl("rollout history statefulset/db")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    await shop.kubectl("rollout undo statefulset/db")
    await shop.kubectl("rollout status statefulset/db")
    assert images(shop) == ["i:1"]
    assert [objects.name(pod) for pod in shop.pods()] == ["db-0", "db-1"]
    await shop.kubectl("scale statefulset/db --replicas=1")
    await shop.until(lambda: [objects.name(pod) for pod in shop.pods()] == ["db-0"])
    head, row = (await shop.kubectl("get statefulset -o wide")).splitlines()
    assert head.split() == ["NAME", "READY", "AGE", "CONTAINERS", "IMAGES"]
    assert row.split()[:2] == ["db", "1/1"]
    assert "Create Pod db-0 in StatefulSet db successful" in await shop.kubectl("describe statefulset db")
    said = await shop.fails('patch statefulset db --type=merge -p {"spec":{"serviceName":"other"}}')
    assert 'spec.serviceName: Invalid value: "other": field is immutable' in said


async def test_the_claims_of_a_statefulset_stay_or_go_as_it_says(shop: World) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    spec = {"replicas": 2, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy}
    await shop.kubectl("apply -f -", workload("StatefulSet", "db", serviceName="db", **spec))
    await shop.kubectl("rollout status statefulset/db")
    volume = next(each for each in shop.pods()[1]["spec"]["volumes"] if each["name"] == "data")
    assert volume["persistentVolumeClaim"] == {"claimName": "data-db-1"}
    assert len((await shop.kubectl("get pvc -o name")).split()) == 2
    await shop.kubectl("scale statefulset/db --replicas=1")
    await shop.until(lambda: len(shop.cluster.verbs.list(PERSISTENTVOLUMECLAIMS)) == 1)
    await shop.kubectl("delete statefulset db")
    await shop.until(lambda: not shop.pods())
    assert await shop.kubectl("get pvc -o name") == "persistentvolumeclaim/data-db-0\n"


async def test_a_daemonset_follows_the_nodes(shop: World) -> None:
    await shop.kubectl("apply -f -", workload("DaemonSet", "agent"))
    await shop.kubectl("rollout status daemonset/agent")
    await shop.add_node("second")
    await shop.until(lambda: len(shop.pods()) == 2)
    await shop.kubectl("set image daemonset/agent c=i:2")
    await shop.kubectl("rollout status daemonset/agent")
    assert images(shop) == ["i:2"]
    assert {pod["spec"]["nodeName"] for pod in shop.pods()} == {"lab-node", "second"}
    await shop.kubectl("rollout undo daemonset/agent")
    await shop.kubectl("rollout status daemonset/agent")
    await shop.kubectl("taint node second a=b:NoExecute")
    await shop.until(lambda: [pod["spec"]["nodeName"] for pod in shop.pods()] == ["lab-node"])
    head, row = (await shop.kubectl("get daemonset")).splitlines()
    assert head.split() == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE", "SELECTOR", "AGE"]
    assert row.split()[:6] == ["agent", "1", "1", "1", "1", "1"]
    assert "Created pod: agent-" in await shop.kubectl("describe daemonset agent")


async def test_a_job_runs_to_its_end(shop: World) -> None:
    shop.behave(lambda _: "succeeded")
    await shop.kubectl("create job once --image=busybox -- true")
    await shop.kubectl("wait --for=condition=complete job/once")
    head, row = (await shop.kubectl("get jobs")).splitlines()
    assert head.split() == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert row.split()[:3] == ["once", "Complete", "1/1"]
    described = await shop.kubectl("describe job once")
    assert "0 Active (0 Ready) / 1 Succeeded / 0 Failed" in described
    assert "Job completed" in described
    assert objects.finalizers(shop.pods()[0]) == []
    await shop.kubectl("delete job once")
    await shop.until(lambda: not shop.pods())


async def test_an_indexed_job_gives_every_index_its_pod(shop: World) -> None:
    shop.behave(lambda _: "succeeded")
    spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 2, "template": JOB_TEMPLATE}
    await shop.kubectl(
        "apply -f -", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "all"}, "spec": spec}
    )
    await shop.kubectl("wait --for=condition=complete job/all")
    assert shop.get(JOBS, "all")["status"]["completedIndexes"] == "0-2"
    assert sorted(pod["spec"]["hostname"] for pod in shop.pods()) == ["all-0", "all-1", "all-2"]


async def test_a_job_that_fails_too_often_is_given_up(shop: World) -> None:
    shop.behave(lambda _: "failed 7")
    spec = {"backoffLimit": 0, "template": JOB_TEMPLATE}
    await shop.kubectl(
        "apply -f -", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bad"}, "spec": spec}
    )
    await shop.kubectl("wait --for=condition=failed job/bad")
    assert "Job has reached the specified backoff limit" in shop.events("BackoffLimitExceeded")
    await shop.kubectl('patch job bad --type=merge -p {"spec":{"ttlSecondsAfterFinished":0}}')
    await shop.until(lambda: shop.cluster.verbs.find(JOBS, "bad", "shop") is None)
    await shop.until(lambda: not shop.pods())


async def test_a_cron_job_is_served_and_started_by_hand(shop: World) -> None:
    shop.behave(lambda _: "succeeded")
    cron_job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}},
    }
    await shop.kubectl("apply -f -", cron_job)
    head, row = (await shop.kubectl("get cronjob")).splitlines()
    assert head.split() == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST", "SCHEDULE", "AGE"]
    assert row.split()[6:9] == ["<none>", "False", "0"]
    await shop.kubectl("create job now --from=cronjob/tick")
    await shop.kubectl("wait --for=condition=complete job/now")
    cron_job["spec"]["schedule"] = "61 * * * *"
    said = await shop.fails("apply -f -", cron_job)
    assert 'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61' in said


async def test_a_cron_job_makes_its_jobs_when_they_are_due(shop: World) -> None:
    shop.behave(lambda _: "succeeded")
    every = {
        "schedule": "@every 1s",
        "successfulJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"template": JOB_TEMPLATE}},
    }
    await shop.kubectl(
        "create -f -", {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": every}
    )
    name = (await shop.until(lambda: shop.events("SuccessfulCreate")))[0].removeprefix("Created job ")
    assert name.startswith("tick-")
    await shop.until(lambda: shop.get(CRONJOBS, "tick")["status"].get("lastSuccessfulTime"))


async def test_a_drain_is_held_up_by_a_disruption_budget(shop: World) -> None:
    await shop.kubectl("create deployment web --image=a:1 --replicas=2")
    await shop.kubectl("rollout status deployment/web")
    await shop.kubectl("create pdb web --selector=app=web --min-available=2")
    await shop.kubectl("wait --for=jsonpath={.status.currentHealthy}=2 pdb/web")
    head, row = (await shop.kubectl("get pdb")).splitlines()
    assert head.split() == ["NAME", "MIN", "AVAILABLE", "MAX", "UNAVAILABLE", "ALLOWED", "DISRUPTIONS", "AGE"]
    assert row.split()[:4] == ["web", "2", "N/A", "0"]
    pods = {objects.name(pod) for pod in shop.pods()}
    said = await shop.fails("drain lab-node --timeout=1s")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in said
    assert {objects.name(pod) for pod in shop.pods()} == pods
    await shop.kubectl('patch pdb web --type=merge -p {"spec":{"minAvailable":0}}')
    await shop.kubectl("wait --for=jsonpath={.status.disruptionsAllowed}=2 pdb/web")
    said = await shop.kubectl("drain lab-node --timeout=20s")
    assert "node/lab-node drained" in said
    assert pods.isdisjoint(objects.name(pod) for pod in shop.pods())
