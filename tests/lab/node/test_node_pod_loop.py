"""A pod's loop with real processes: volumes, restarts, ends, and what is told of them."""

import asyncio
import base64
import json
from pathlib import Path

import pytest

from podpass.lab.node.csi_volumes import CsiVolume, NoDrivers
from podpass.lab.node.lifecycle import BackOffTimes
from podpass.lab.node.logs import LogOptions, read


def terminated(status: dict, index: int = 0, kind: str = "containerStatuses") -> dict:
    return status[kind][index]["state"].get("terminated") or {}


def condition(status: dict, kind: str) -> str:
    return next(found["status"] for found in status["conditions"] if found["type"] == kind)


async def log(loop, container: str = "app", restarts: int = 0, **options) -> str:
    path, written = loop.log(container, restarts)
    async with asyncio.timeout(20):
        return b"".join([chunk async for chunk in read(path, written, LogOptions(**options))]).decode()


async def test_a_pod_runs_to_its_end(pod_loop, pod_object, container, api) -> None:
    loop = pod_loop(pod_object(container("echo hello; echo trouble >&2; exit 0")))
    status = await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) in ("hello\ntrouble\n", "trouble\nhello\n")
    assert terminated(status)["reason"] == "Completed"
    assert condition(status, "Initialized") == "True"
    assert condition(status, "Ready") == "False"
    await api.until(lambda: "Started" in api.reasons())
    assert api.reasons() == ["Pulled", "Created", "Started"]
    assert api.events[1]["involvedObject"]["fieldPath"] == "spec.containers{app}"
    assert api.events[1]["source"] == {"component": "kubelet"}


async def test_a_failing_pod_shows_its_exit_code(pod_loop, pod_object, container, api) -> None:
    pod_loop(pod_object(container("exit 3"), container("exit 0", name="other")))
    status = await api.status(lambda status: status["phase"] == "Failed")
    assert (terminated(status)["exitCode"], terminated(status)["reason"]) == (3, "Error")
    assert terminated(status, 1)["exitCode"] == 0


async def test_init_containers_run_one_by_one_before_the_others(pod_loop, pod_object, container, api) -> None:
    mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    write = 'echo {} >>"$LAB_ROOT/shared/order"'
    loop = pod_loop(
        pod_object(
            container('cat "$LAB_ROOT/shared/order"', **mount),
            initContainers=[
                container(write.format("first"), name="one", **mount),
                container(write.format("second"), name="two", **mount),
            ],
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
    )
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) == "first\nsecond\n"


async def test_a_failing_init_container_fails_the_pod(pod_loop, pod_object, container, api) -> None:
    pod_loop(pod_object(container("echo never"), initContainers=[container("exit 4", name="check")]))
    status = await api.status(lambda status: status["phase"] == "Failed")
    assert terminated(status, kind="initContainerStatuses")["exitCode"] == 4
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


async def test_a_crashing_container_backs_off_and_starts_again(pod_loop, pod_object, container, api) -> None:
    loop = pod_loop(pod_object(container("echo try; exit 1"), restartPolicy="Always"))
    await api.until(
        lambda: (
            any("CrashLoopBackOff" in json.dumps(status) for status in api.statuses)
            and api.statuses[-1]["containerStatuses"][0]["restartCount"] >= 2
        )
    )
    waiting = next(status for status in api.statuses if "CrashLoopBackOff" in json.dumps(status))
    found = waiting["containerStatuses"][0]
    assert found["lastState"]["terminated"]["exitCode"] == 1
    assert found["state"]["waiting"]["message"].startswith("back-off ")
    assert waiting["phase"] == "Running"
    assert await log(loop, restarts=1) == "try\n"


async def test_on_failure_restarts_only_failures(pod_loop, pod_object, container, api) -> None:
    script = 'test -e "$LAB_ROOT/data/been" && exit 0; touch "$LAB_ROOT/data/been"; exit 1'
    pod_loop(
        pod_object(
            container(script, volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            restartPolicy="OnFailure",
            volumes=[{"name": "data", "emptyDir": {}}],
        )
    )
    status = await api.status(lambda status: status["phase"] == "Succeeded")
    assert status["containerStatuses"][0]["restartCount"] == 1


async def test_an_unknown_image_is_not_pulled(pod_loop, pod_object, container, api) -> None:
    pod_loop(pod_object(container(image="ghcr.io/acme/shop:1")))
    await api.until(lambda: any("ImagePullBackOff" in json.dumps(status) for status in api.statuses))
    failed = next(event for event in api.events if event["reason"] == "Failed")
    assert "ghcr.io/acme/shop:1" in failed["message"]
    assert "podpass lab image add ARCHIVE --as ghcr.io/acme/shop" in failed["message"]


async def test_a_missing_program_is_a_start_error(pod_loop, pod_object, container, api) -> None:
    pod_loop(pod_object({"name": "app", "image": "busybox", "command": ["no-such-program"]}))
    status = await api.status(lambda status: status["phase"] == "Failed")
    assert terminated(status)["reason"] == "StartError"
    assert "no-such-program" in terminated(status)["message"]


async def test_a_missing_secret_holds_the_container_until_it_exists(pod_loop, pod_object, container, api) -> None:
    variable = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "key"}}}
    loop = pod_loop(pod_object(container("echo got $KEY", env=[variable])))
    status = await api.status(lambda status: status["containerStatuses"][0]["state"].get("waiting"))
    assert status["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'secret "vault" not found',
    }
    api.put("secrets", "vault", {"data": {"key": base64.b64encode(b"s3").decode()}})
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) == "got s3\n"


async def test_a_missing_config_map_keeps_the_pod_creating(pod_loop, pod_object, container, api) -> None:
    loop = pod_loop(
        pod_object(
            container('cat "$LAB_ROOT/etc/app/a"', volumeMounts=[{"name": "settings", "mountPath": "/etc/app"}]),
            volumes=[{"name": "settings", "configMap": {"name": "app"}}],
        )
    )
    await api.until(lambda: "FailedMount" in api.reasons())
    assert api.events[0]["message"] == 'MountVolume.SetUp failed for volume "settings" : configmap "app" not found'
    api.put("configmaps", "app", {"data": {"a": "one"}})
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) == "one"


TOKEN_VOLUME = {
    "name": "azure-identity-token",
    "projected": {
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": "api://AzureADTokenExchange",
                    "expirationSeconds": 3600,
                    "path": "azure-identity-token",
                }
            }
        ]
    },
}


async def test_a_projected_token_is_bound_to_the_pod_and_refreshed(
    pod_loop, pod_object, container, api, clock, journal
) -> None:
    path = "/var/run/secrets/azure/tokens/azure-identity-token"
    loop = pod_loop(
        pod_object(
            container(
                'cat "$AZURE_FEDERATED_TOKEN_FILE"; echo; exec sleep 300',
                env=[{"name": "AZURE_FEDERATED_TOKEN_FILE", "value": path}],
                volumeMounts=[{"name": "azure-identity-token", "mountPath": "/var/run/secrets/azure/tokens"}],
            ),
            volumes=[TOKEN_VOLUME],
            serviceAccountName="orders",
            terminationGracePeriodSeconds=1,
        )
    )
    await api.status(lambda status: status["phase"] == "Running")
    follow = aiter(read(*loop.log("app", 0), LogOptions(follow=True)))
    assert await anext(follow) == b"token-1\n"
    assert api.token_requests[0]["spec"] == {
        "audiences": ["api://AzureADTokenExchange"],
        "expirationSeconds": 3600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "orders", "uid": "uid-of-orders"},
    }
    file = loop.directory / "volumes" / "azure-identity-token" / "azure-identity-token"
    assert file.read_text() == "token-1"

    seen = journal.newest
    followed = journal.follow(after=seen)
    clock.advance(2870)
    loop.wake()
    clock.advance(30)
    loop.wake()
    async with asyncio.timeout(5):
        event = await anext(followed)
    assert file.read_text() == "token-2"
    assert event.hop.what == "refresh token into volume azure-identity-token"
    assert event.hop.decision["audience"] == "api://AzureADTokenExchange"
    assert "token-2" not in json.dumps(dict(event.hop.decision))
    await followed.aclose()
    await follow.aclose()


async def test_a_token_is_refreshed_although_another_volume_can_not_be(
    pod_loop, pod_object, container, api, clock
) -> None:
    api.put("secrets", "vault", {"data": {}})
    loop = pod_loop(
        pod_object(
            container("exec sleep 300"),
            volumes=[{"name": "vault", "secret": {"secretName": "vault"}}, TOKEN_VOLUME],
            terminationGracePeriodSeconds=0,
        )
    )
    await api.status(lambda status: status["phase"] == "Running")
    del api.objects["secrets", "vault"]
    clock.advance(3000)
    loop.wake()
    await api.until(lambda: "FailedMount" in api.reasons())
    token = loop.directory / "volumes" / "azure-identity-token" / "azure-identity-token"
    assert token.read_text() == "token-2"


async def test_deleting_a_pod_ends_its_containers_and_its_traces(pod_loop, pod_object, container, api) -> None:
    loop = pod_loop(pod_object(container("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done")))
    await api.status(lambda status: status["phase"] == "Running")
    follow = aiter(read(*loop.log("app", 0), LogOptions(follow=True)))
    assert await anext(follow) == b"up\n"
    pod = loop.pod
    loop.update(
        {
            **pod,
            "metadata": {
                **pod["metadata"],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 10,
            },
        }
    )
    assert [chunk async for chunk in follow] == [b"bye\n"]
    await api.until(lambda: api.deleted)
    assert api.deleted == ["orders"]
    await api.until(lambda: "Killing" in api.reasons())


async def test_a_container_that_ignores_sigterm_is_killed_after_the_grace(pod_loop, pod_object, container, api) -> None:
    loop = pod_loop(pod_object(container("trap '' TERM; echo up; while :; do sleep 0.02; done")))
    await api.status(lambda status: status["phase"] == "Running")
    follow = aiter(read(*loop.log("app", 0), LogOptions(follow=True)))
    await anext(follow)
    metadata = {**loop.pod["metadata"], "deletionTimestamp": "x", "deletionGracePeriodSeconds": 0.1}
    loop.update({**loop.pod, "metadata": metadata})
    await api.until(lambda: api.deleted)
    assert terminated(api.statuses[-1])["exitCode"] == 137
    await follow.aclose()


async def test_a_sidecar_runs_beside_and_stops_after(pod_loop, pod_object, container, api, tmp_path) -> None:
    listening = tmp_path / "listening"
    sidecar = container(
        f"trap 'exit 0' TERM; : > {listening}; while :; do sleep 0.02; done", name="proxy", restartPolicy="Always"
    )
    # Not before the sidecar can be told to end.
    main = container(f"until [ -e {listening} ]; do sleep 0.02; done")
    pod_loop(pod_object(main, initContainers=[sidecar], terminationGracePeriodSeconds=5))
    status = await api.status(
        lambda status: status["phase"] == "Succeeded" and terminated(status, kind="initContainerStatuses")
    )
    assert terminated(status, kind="initContainerStatuses")["exitCode"] == 0


async def test_a_restarted_node_starts_running_containers_again(pod_loop, pod_object, container, api) -> None:
    pod = pod_object(container("echo again"), restartPolicy="OnFailure")
    pod["status"] = {
        "phase": "Running",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [
            {
                "name": "app",
                "restartCount": 1,
                "containerID": "lab://abc",
                "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}},
            }
        ],
    }
    pod_loop(pod, times=BackOffTimes())
    status = await api.status(lambda status: status["phase"] == "Succeeded")
    found = status["containerStatuses"][0]
    assert found["restartCount"] == 2
    assert found["lastState"]["terminated"]["exitCode"] == 255
    assert found["lastState"]["terminated"]["reason"] == "Unknown"
    assert status["startTime"] == "2026-01-01T00:00:00Z"


async def test_a_pod_that_needs_the_hosts_processes_is_refused(pod_loop, pod_object, container, api) -> None:
    pod_loop(pod_object(container("exit 0"), hostPID=True))
    status = await api.status(lambda status: status["phase"] == "Failed")
    assert "hostPID" in status["message"]


async def test_a_pod_in_the_sandbox_has_exact_paths(pod_loop, pod_object, container, api, sandbox: object) -> None:
    loop = pod_loop(
        pod_object(
            container(
                "cat /var/run/secrets/azure/tokens/azure-identity-token; echo; hostname; echo $POD_IP $LAB_ROOT",
                env=[{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                volumeMounts=[
                    {
                        "name": "azure-identity-token",
                        "mountPath": "/var/run/secrets/azure/tokens",
                        "readOnly": True,
                    }
                ],
            ),
            volumes=[TOKEN_VOLUME],
        ),
        runtime=sandbox,
    )
    status = await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) == "token-1\norders\n10.244.0.7\n"
    assert status["podIP"] == "10.244.0.7"


async def test_a_plain_pod_says_that_it_is_weaker(pod_loop, pod_object, container, api) -> None:
    loop = pod_loop(pod_object(container("echo $HTTPS_PROXY; pwd")))
    status = await api.status(lambda status: status["phase"] == "Succeeded")
    assert "without a sandbox" in status["message"]
    proxy, directory = (await log(loop)).split()
    assert proxy == "http://127.0.0.1:9"
    assert Path(directory).is_relative_to(loop.directory)


class Driver:
    """A CSI driver that shows a file, once it is there."""

    def __init__(self) -> None:
        self.there = False
        self.published: list[CsiVolume] = []
        self.unpublished: list[str] = []
        self.renewed = asyncio.Event()

    def republishes(self, driver: str) -> bool:
        return True

    async def publish(self, volume: CsiVolume) -> None:
        if not self.there:
            await NoDrivers().publish(volume)
        volume.target.mkdir(parents=True, exist_ok=True)
        self.published.append(volume)
        (volume.target / "secret").write_text(str(len(self.published)))
        if len(self.published) > 1:
            self.renewed.set()

    async def unpublish(self, volume: CsiVolume) -> None:
        self.unpublished.append(volume.id)


async def test_a_driver_shows_its_volume_renews_it_and_takes_it_away(pod_loop, pod_object, container, api) -> None:
    driver = Driver()
    api.put("secrets", "login", {"data": {"key": base64.b64encode(b"s3").decode()}})
    source = {"driver": "secrets.example", "nodePublishSecretRef": {"name": "login"}}
    loop = pod_loop(
        pod_object(
            container('cat "$LAB_ROOT/mnt/secret"; exec sleep 300', volumeMounts=[{"name": "s", "mountPath": "/mnt"}]),
            volumes=[{"name": "s", "csi": source}],
            terminationGracePeriodSeconds=0,
        ),
        csi=driver,
    )
    await api.until(lambda: "FailedMount" in api.reasons())
    assert api.events[0]["message"] == (
        'MountVolume.SetUp failed for volume "s" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver'
        " name secrets.example not found in the list of registered CSI drivers"
    )
    driver.there = True
    await api.status(lambda status: status["phase"] == "Running")
    assert driver.published[0].secrets == {"key": b"s3"}
    loop.wake()
    async with asyncio.timeout(20):
        await driver.renewed.wait()
    metadata = {**loop.pod["metadata"], "deletionTimestamp": "x", "deletionGracePeriodSeconds": 0}
    loop.update({**loop.pod, "metadata": metadata})
    await api.until(lambda: api.deleted)
    assert driver.unpublished == [driver.published[0].id]


async def test_a_pod_is_told_of_the_services_that_are_there(pod_loop, pod_object, container, api) -> None:
    api.put(
        "services",
        "db",
        {"metadata": {"name": "db", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5}]}},
    )
    loop = pod_loop(
        pod_object(
            container("echo $DB_SERVICE_HOST $URL", env=[{"name": "URL", "value": "$(DB_PORT)"}]),
            restartPolicy="Never",
        )
    )
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) == "10.96.0.7 tcp://10.96.0.7:5\n"


async def test_a_pod_may_not_want_to_be_told(pod_loop, pod_object, container, api) -> None:
    api.put(
        "services",
        "db",
        {"metadata": {"name": "db", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5}]}},
    )
    loop = pod_loop(pod_object(container("env"), enableServiceLinks=False))
    await api.status(lambda status: status["phase"] == "Succeeded")
    text = await log(loop)
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1\n" in text
    assert "DB_" not in text


async def test_a_part_of_a_volume_is_shown(pod_loop, pod_object, container, api) -> None:
    api.put("configmaps", "app", {"data": {"one": "1", "two": "2"}})
    mounts = [
        {"name": "settings", "mountPath": "/etc/one", "subPath": "one"},
        {"name": "data", "mountPath": "/var/mine", "subPathExpr": "$(POD)/deep"},
    ]
    loop = pod_loop(
        pod_object(
            container(
                'cat "$LAB_ROOT/etc/one"; touch "$LAB_ROOT/var/mine/x"; ls "$LAB_ROOT"/../../volumes/data/orders/deep',
                env=[{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                volumeMounts=mounts,
            ),
            volumes=[{"name": "settings", "configMap": {"name": "app"}}, {"name": "data", "emptyDir": {}}],
        )
    )
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await log(loop) == "1x\n"


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"subPath": "../x"}, "unable to provision SubPath `../x`: must not contain '..'"),
        ({"subPath": "/x"}, "error SubPath `/x` must not be an absolute path"),
        ({"subPathExpr": "$(NONE)"}, 'missing value for "NONE"'),
        ({"subPath": "away/etc"}, 'failed to prepare subPath for volumeMount "host" of container "app"'),
    ],
)
async def test_a_part_that_is_none_holds_the_container(pod_loop, pod_object, container, api, tmp_path, mount, message):
    root = tmp_path / "state" / "root" / "data"
    root.mkdir(parents=True)
    (root / "away").symlink_to("/")
    pod_loop(
        pod_object(
            container("exit 0", volumeMounts=[{"name": "host", "mountPath": "/host", **mount}]),
            volumes=[{"name": "host", "hostPath": {"path": "/data"}}],
        )
    )
    status = await api.status(lambda status: "waiting" in status["containerStatuses"][0]["state"])
    assert status["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": message,
    }
