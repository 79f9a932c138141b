"""Pods of the embedded cluster in the real sandbox, asked for and read with stock kubectl."""

import asyncio
import json

import pytest

from podpass.kube.client import ApiError
from podpass.kube.resources import (
    CLUSTERROLES,
    CONFIGMAPS,
    EVENTS,
    JOBS,
    LEASES,
    NODES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from podpass.lab.node.logs import LogOptions
from podpass.tokens.jwt import decode
from tests.lab.node.journey import Journey


async def test_the_node_is_ready_and_keeps_its_lease(journey: Journey) -> None:
    node = await journey.client.get(NODES, "lab-node")
    assert {found["type"]: found["status"] for found in node["status"]["conditions"]}["Ready"] == "True"
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    lease = await journey.client.get(LEASES, "lab-node", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "lab-node"


async def test_a_pod_reads_its_tokens_and_asks_the_api_server(journey: Journey) -> None:
    """The pod uses what every pod has: the mounted account, the variables, the cluster's certificate."""
    await journey.client.create(SECRETS, {"metadata": {"name": "vault"}, "stringData": {"key": "s3"}}, "default")
    await journey.client.create(CONFIGMAPS, {"metadata": {"name": "settings"}, "data": {"a": "one"}}, "default")
    script = """
        import json, os, pathlib, ssl, urllib.error, urllib.request
        account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        request = urllib.request.Request(
            f"https://{host}:{port}/api/v1/namespaces/default/pods",
            headers={"Authorization": "Bearer " + (account / "token").read_text()},
        )
        context = ssl.create_default_context(cafile=account / "ca.crt")
        try:
            urllib.request.urlopen(request, context=context, timeout=10)
        except urllib.error.HTTPError as error:
            message = json.load(error)["message"]
        print(json.dumps({
            "message": message,
            "namespace": (account / "namespace").read_text(),
            "azure": pathlib.Path("/var/run/secrets/azure/tokens/azure-identity-token").read_text(),
            "key": os.environ["KEY"],
            "a": pathlib.Path("/etc/settings/a").read_text(),
            "ip": os.environ["POD_IP"],
        }))
    """
    token = {"audience": "api://AzureADTokenExchange", "expirationSeconds": 3600, "path": "azure-identity-token"}
    await journey.run(
        "reader",
        script,
        container={
            "env": [
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "key"}}},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "volumeMounts": [
                {"name": "azure", "mountPath": "/var/run/secrets/azure/tokens", "readOnly": True},
                {"name": "settings", "mountPath": "/etc/settings"},
            ],
        },
        volumes=[
            {"name": "azure", "projected": {"sources": [{"serviceAccountToken": token}]}},
            {"name": "settings", "configMap": {"name": "settings"}},
        ],
    )
    pod = await journey.until("reader", "Succeeded", "Failed")
    output = await journey.kubectl("logs", "reader")
    assert pod["status"]["phase"] == "Succeeded", output
    found = json.loads(output)
    assert 'User "system:serviceaccount:default:default" cannot list resource "pods"' in found["message"]
    assert (found["namespace"], found["key"], found["a"]) == ("default", "s3", "one")
    assert found["ip"] == pod["status"]["podIP"]
    claims = decode(found["azure"]).claims
    assert claims["aud"] == ["api://AzureADTokenExchange"]
    assert claims["kubernetes.io"]["pod"] == {"name": "reader", "uid": pod["metadata"]["uid"]}
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize("resource", [SECRETS, CONFIGMAPS, SERVICEACCOUNTS, CLUSTERROLES])
async def test_a_node_lists_nothing_that_it_does_not_need(journey: Journey, resource: Resource) -> None:
    with pytest.raises(ApiError) as refused:
        await journey.node_client.list(resource)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    assert 'User "system:node:lab-node" cannot list' in refused.value.message


async def test_kubectl_follows_describes_and_deletes(journey: Journey) -> None:
    script = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
        print("up", flush=True)
        while True: time.sleep(10)
    """
    await journey.run("server", script, restartPolicy="Always")
    await journey.until("server", "Running")
    async with asyncio.TaskGroup() as tasks:
        follow = tasks.create_task(journey.kubectl("logs", "-f", "server"))
        assert "Running" in await journey.kubectl("get", "pod", "server")
        described = await journey.kubectl("describe", "pod", "server")
        assert "Successfully assigned default/server to lab-node" in described
        assert "Started container app" in described
        # The program has its handler once it has said that it is up.
        async for chunk in journey.node.logs("default", "server", "", LogOptions(follow=True)):
            if b"up" in chunk:
                break
        await journey.kubectl("delete", "pod", "server")
        assert await follow == "up\nbye\n"


async def test_a_selector_that_fits_no_node_is_an_event(journey: Journey) -> None:
    await journey.run("picky", "pass", nodeSelector={"kubernetes.io/os": "windows"})
    async with asyncio.timeout(10):
        async for event in journey.client.watch(EVENTS, "default", resource_version="0"):
            if event.object and event.object["reason"] == "FailedScheduling":
                break
    assert "didn't match Pod's node affinity/selector" in event.object["message"]
    pod = await journey.client.get(PODS, "picky", "default")
    assert pod["status"]["phase"] == "Pending"


async def test_many_pods_run_at_once(journey: Journey) -> None:
    container = {"name": "app", "image": "busybox", "command": ["sh", "-c", "hostname -i || hostname"]}
    names = [f"pod-{number}" for number in range(20)]
    for name in names:
        pod = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
        await journey.client.create(PODS, pod, "default")
    pods = await asyncio.gather(*(journey.until(name, "Succeeded", "Failed") for name in names))
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}
    assert len({pod["status"]["podIP"] for pod in pods}) == 20


async def test_pods_outlive_a_restart_of_the_node_but_their_processes_do_not(journey: Journey) -> None:
    script = "import time; print('up', flush=True); time.sleep(300)"
    await journey.run("server", script, restartPolicy="Always", terminationGracePeriodSeconds=0)
    await journey.run("job", "print('done')")
    pod = await journey.until("server", "Running")
    await journey.until("job", "Succeeded")
    await journey.restart_node()
    async with asyncio.timeout(20):
        async for event in journey.client.watch(PODS, "default", resource_version="0"):
            if event.object is None or event.object["metadata"]["name"] != "server":
                continue
            found = event.object["status"]["containerStatuses"][0]
            if found["restartCount"] == 1 and "running" in found["state"]:
                break
    assert event.object["metadata"]["uid"] == pod["metadata"]["uid"]
    assert found["lastState"]["terminated"]["reason"] == "Unknown"
    assert await journey.kubectl("logs", "server", "--previous") == "up\n"
    # What was over stays as it was, with its log.
    assert (await journey.client.get(PODS, "job", "default"))["status"]["phase"] == "Succeeded"
    assert await journey.kubectl("logs", "job") == "done\n"


async def test_workloads_run_on_the_node(journey: Journey) -> None:
    """A Deployment serves until it is deleted, and a Job of two indexes does its work and ends."""
    serve = ("sh", "-c", "trap exit TERM; sleep 300 & wait")
    await journey.kubectl("create", "deployment", "web", "--image=busybox", "--replicas=2", "--", *serve)
    await journey.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert "2 available | 0 unavailable" in await journey.kubectl("describe", "deployment", "web")
    job = {
        "metadata": {"name": "count"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {"name": "c", "image": "busybox", "command": ["sh", "-c", "echo index $JOB_COMPLETION_INDEX"]}
                    ],
                }
            },
        },
    }
    await journey.client.create(JOBS, job, "default")
    await journey.kubectl("wait", "--for=condition=complete", "job/count", "--timeout=20s")
    said = await journey.kubectl("logs", "--prefix=false", "-l", "job-name=count")
    assert sorted(said.splitlines()) == ["index 0", "index 1"]
    await journey.kubectl("delete", "deployment/web", "job/count", "--cascade=foreground", "--timeout=20s")
    assert await journey.kubectl("get", "pods", "-o", "name") == ""
