"""What becomes of pods in the real sandbox, as stock kubectl shows it: probes, hooks, ends, volumes, logs."""

import json
from typing import Any

from podpass.kube.resources import EVENTS, PODS
from tests.lab.node.journey import Journey

SERVER = """
    import http.server, pathlib, signal, sys, threading, time
    health = pathlib.Path("/tmp/healthy")
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/break":
                health.unlink()
            if self.path == "/message":
                pathlib.Path("/dev/termination-log").write_text("asked to stop by " + self.headers["X-From"])
            self.send_response(200 if health.exists() else 503)
            self.end_headers()
        def log_message(self, *_):
            print(self.path, self.headers["User-Agent"], flush=True)
    health.touch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
PORTS = [{"name": "web", "containerPort": 8080}]


async def messages(journey: Journey, pod: str, reason: str) -> list[str]:
    found = await journey.client.list(EVENTS, "default", field_selector=f"involvedObject.name={pod}")
    return [event["message"] for event in found.items if event["reason"] == reason]


async def condition(journey: Journey, name: str, wanted: Any) -> dict[str, Any]:
    """Wait for the pod to be so that *wanted* of it is true."""
    listing = await journey.client.list(PODS, "default", field_selector=f"metadata.name={name}")
    if wanted(listing.items[0]):
        return listing.items[0]
    watch = journey.client.watch(
        PODS, "default", resource_version=listing.resource_version, field_selector=f"metadata.name={name}"
    )
    async for event in watch:
        if event.object and wanted(event.object):
            return event.object
    raise AssertionError("the watch ended")


async def test_a_pod_becomes_ready_through_its_own_network(journey: Journey) -> None:
    header = {"name": "X-From", "value": "me"}
    await journey.run(
        "web",
        SERVER,
        container={
            "ports": PORTS,
            "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "web"}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/healthy"]}, "periodSeconds": 1},
            "lifecycle": {
                "preStop": {"httpGet": {"path": "/message", "port": 8080, "httpHeaders": [header]}},
            },
        },
    )
    assert "condition met" in await journey.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    assert "kube-probe/1.37" in await journey.kubectl("logs", "web")
    assert "1/1" in await journey.kubectl("get", "pod", "web")
    described = await journey.kubectl("describe", "pod", "web")
    assert "http-get http://:web/ready delay=0s timeout=1s period=1s" in described
    assert ["ContainersReady", "True"] in [line.split() for line in described.splitlines()]
    await journey.kubectl("delete", "pod", "web", "--wait=false")
    ended = await condition(journey, "web", lambda pod: "terminated" in pod["status"]["containerStatuses"][0]["state"])
    found = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (found["exitCode"], found["message"]) == (0, "asked to stop by me")


async def test_a_container_that_turns_unhealthy_is_restarted_and_described(journey: Journey) -> None:
    await journey.run(
        "sick",
        SERVER.replace("health.touch()", "health.touch(); threading.Timer(0.5, health.unlink).start()"),
        restartPolicy="Always",
        container={
            "livenessProbe": {
                "httpGet": {"path": "/", "port": 8080},
                "periodSeconds": 1,
                "timeoutSeconds": 5,
                "failureThreshold": 1,
            }
        },
    )
    pod = await condition(
        journey, "sick", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount")
    )
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 0
    described = await journey.kubectl("describe", "pod", "sick")
    assert "Liveness probe failed: HTTP probe failed with statuscode: 503" in described
    assert "Container app failed liveness probe, will be restarted" in described
    await journey.kubectl("delete", "pod", "sick", "--grace-period=1")


async def test_what_a_pod_leaves_is_read_with_kubectl(journey: Journey) -> None:
    script = """
        import os, pathlib, sys, time
        been = pathlib.Path("/data/been")
        run = len(list(been.parent.iterdir()))
        been.with_name(str(run)).touch()
        for number in range(3):
            print("run", run, "line", number, flush=True)
        if run == 0:
            sys.exit("the first run fails")
        time.sleep(300)
    """
    await journey.run(
        "words",
        script,
        restartPolicy="Always",
        terminationGracePeriodSeconds=0,
        container={
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        },
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    pod = await condition(
        journey,
        "words",
        lambda pod: (
            "running" in pod["status"].get("containerStatuses", [{}])[0].get("state", {})
            and pod["status"]["containerStatuses"][0]["restartCount"]
        ),
    )
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 1
    assert last["message"].endswith("run 0 line 2\nthe first run fails\n")
    assert "run 0 line 0" in await journey.kubectl("logs", "words", "--previous")
    tail = await journey.kubectl("logs", "words", "--previous", "--tail=1", "--timestamps")
    assert tail.endswith("Z the first run fails\n")
    assert await journey.kubectl("logs", "words", "--previous", "--limit-bytes=5") == "run 0"
    assert await journey.kubectl("logs", "words", "--since=1h", "--previous") != ""
    journey.clock.advance(7200)
    assert await journey.kubectl("logs", "words", "--since=1h", "--previous") == ""


async def test_a_pod_that_takes_too_long_is_ended(journey: Journey) -> None:
    await journey.run("late", "import time; time.sleep(300)", activeDeadlineSeconds=60, terminationGracePeriodSeconds=1)
    await journey.until("late", "Running")
    journey.clock.advance(61)
    pod = await journey.until("late", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    described = await journey.kubectl("describe", "pod", "late")
    assert ["Reason:", "DeadlineExceeded"] in [line.split() for line in described.splitlines()]


async def test_a_host_path_is_the_nodes_and_survives_the_pod(journey: Journey) -> None:
    volume = {"name": "host", "hostPath": {"path": "/var/lib/shop", "type": "DirectoryOrCreate"}}
    mounts = {"volumeMounts": [{"name": "host", "mountPath": "/host"}]}
    await journey.run("writer", "open('/host/x', 'w').write('kept')", volumes=[volume], container=mounts)
    await journey.until("writer", "Succeeded")
    await journey.run("reader", "print(open('/host/x').read())", volumes=[volume], container=mounts)
    await journey.until("reader", "Succeeded")
    assert await journey.kubectl("logs", "reader") == "kept\n"
    wrong = {"name": "host", "hostPath": {"path": "/etc/shadow", "type": "File"}}
    await journey.run("nosy", "print(open('/host').read())", volumes=[wrong], container=mounts)
    async for event in journey.client.watch(EVENTS, "default", resource_version="0"):
        if event.object and event.object["reason"] == "FailedMount":
            assert event.object["message"] == (
                'MountVolume.SetUp failed for volume "host" : hostPath type check failed: /etc/shadow is not a file'
            )
            break
    await journey.kubectl("delete", "pod", "nosy", "--force", "--grace-period=0")


async def test_a_pod_has_the_names_and_the_identity_it_asks_for(journey: Journey) -> None:
    script = """
        import json, os, pathlib, socket
        print(json.dumps({
            "user": [os.getuid(), os.getgid()],
            "hosts": pathlib.Path("/etc/hosts").read_text(),
            "resolver": pathlib.Path("/etc/resolv.conf").read_text(),
            "name": socket.gethostname(),
            "alias": socket.gethostbyname("db.local"),
            "mode": oct(os.stat("/data").st_mode),
        }))
    """
    await journey.run(
        "named",
        script,
        hostname="web",
        subdomain="front",
        setHostnameAsFQDN=True,
        hostAliases=[{"ip": "10.1.2.3", "hostnames": ["db.local"]}],
        dnsConfig={"options": [{"name": "ndots", "value": "2"}]},
        securityContext={"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000},
        volumes=[{"name": "data", "emptyDir": {"medium": "Memory"}}],
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
    )
    pod = await journey.until("named", "Succeeded")
    found = json.loads(await journey.kubectl("logs", "named"))
    assert found["user"] == [1000, 2000]
    assert found["name"] == "web.front.default.svc.cluster.local"
    assert f"{pod['status']['podIP']}\tweb.front.default.svc.cluster.local\tweb\n" in found["hosts"]
    assert "options ndots:2\n" in found["resolver"]
    assert found["alias"] == "10.1.2.3"
    assert found["mode"] == "0o42777"
    assert "fsGroup" in pod["status"]["message"]


async def test_a_readiness_gate_is_opened_by_somebody_else(journey: Journey) -> None:
    await journey.run(
        "gated",
        SERVER,
        readinessGates=[{"conditionType": "acme.io/warm"}],
        container={"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}},
    )
    await journey.kubectl("wait", "--for=condition=ContainersReady", "pod/gated", "--timeout=20s")
    pod = await journey.client.get(PODS, "gated", "default")
    ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    opened = {"status": {"conditions": [{"type": "acme.io/warm", "status": "True"}]}}
    await journey.kubectl("patch", "pod", "gated", "--subresource=status", "--patch", json.dumps(opened))
    assert "condition met" in await journey.kubectl("wait", "--for=condition=Ready", "pod/gated", "--timeout=20s")
    assert "1/1" in await journey.kubectl("get", "pod", "gated", "-o", "wide")
    opened_pod = await journey.client.get(PODS, "gated", "default")
    assert not [each for each in opened_pod["status"]["conditions"] if each.get("reason") or each.get("message")]
    # The node's next words about the pod leave the gate to whoever opened it.
    await journey.kubectl("delete", "pod", "gated", "--wait=false")
    ended = await condition(
        journey, "gated", lambda pod: pod["status"]["containerStatuses"][0]["state"].get("terminated")
    )
    assert {"acme.io/warm"} <= {each["type"] for each in ended["status"]["conditions"]}


async def test_an_unready_pod_says_why(journey: Journey) -> None:
    await journey.run(
        "deaf",
        "import time; time.sleep(300)",
        terminationGracePeriodSeconds=0,
        container={"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}},
    )
    async for event in journey.client.watch(EVENTS, "default", resource_version="0"):
        if event.object and event.object["reason"] == "Unhealthy":
            break
    pod = await journey.client.get(PODS, "deaf", "default")
    address = pod["status"]["podIP"]
    described = await journey.kubectl("describe", "pod", "deaf")
    assert f"Readiness probe failed: dial tcp {address}:8080: connect: connection refused" in described
    assert "containers with unready status: [app]" in await journey.kubectl("get", "pod", "deaf", "-o", "yaml")
    assert "0/1" in await journey.kubectl("get", "pod", "deaf")
