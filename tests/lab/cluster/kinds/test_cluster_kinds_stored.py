"""Kinds that are stored and checked: volumes, claims and classes, CSI drivers, priorities, limits, quotas, templates.

What is refused, and in which words, was seen from a kube-apiserver of version 1.37.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.kube.objects import Obj
from tests.lab.cluster.api_server import api_server, kubectls
from tests.lab.cluster.core_api import MERGE, Api, opened

NS, STORAGE, SCHEDULING = "/api/v1/namespaces/default", "/apis/storage.k8s.io/v1", "/apis/scheduling.k8s.io/v1"
VOLUMES, CLAIMS = "/api/v1/persistentvolumes", f"{NS}/persistentvolumeclaims"
DRIVERS, CLASSES = f"{STORAGE}/csidrivers", f"{STORAGE}/storageclasses"
PRIORITIES, LIMITS, QUOTAS = f"{SCHEDULING}/priorityclasses", f"{NS}/limitranges", f"{NS}/resourcequotas"


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


def made(name: str = "a", **members: Any) -> Obj:
    return {"metadata": {"name": name}, **members}


def volume(**spec: Any) -> Obj:
    usual = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    return made(spec={**usual, **spec})


def claim(**spec: Any) -> Obj:
    usual = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return made(spec={**usual, **spec})


def limit(**item: Any) -> Obj:
    return made(spec={"limits": [{"type": "Container", **item}]})


@pytest.mark.parametrize(
    ("path", "body", "faults"),
    [
        pytest.param(
            VOLUMES,
            made(),
            "[spec.accessModes: Required value, spec.capacity: Required value, spec.capacity: Unsupported value: null:"
            ' supported values: "storage", spec: Required value: must specify a volume type]',
            id="volume-empty",
        ),
        pytest.param(
            VOLUMES,
            volume(nfs={"server": "a", "path": "/b"}),
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
            id="volume-of-two-types",
        ),
        pytest.param(
            CLAIMS,
            made(),
            "[spec.accessModes: Required value: at least 1 access mode is required,"
            " spec.resources[storage]: Required value]",
            id="claim-empty",
        ),
        pytest.param(
            CLAIMS,
            claim(resources={"requests": {"storage": "-1"}}),
            'spec.resources[storage]: Invalid value: "-1": must be greater than zero',
            id="claim-negative",
        ),
        pytest.param(CLASSES, made(), "provisioner: Required value", id="class-without-provisioner"),
        pytest.param(
            DRIVERS,
            made(spec={"tokenRequests": [{"audience": "a"}, {"audience": "a", "expirationSeconds": 5}]}),
            '[spec.tokenRequests[1].audience: Duplicate value: "a", spec.tokenRequests[1].expirationSeconds: Invalid'
            " value: 5: may not specify a duration less than 10 minutes]",
            id="driver-tokens",
        ),
        pytest.param(
            DRIVERS,
            made(spec={"fsGroupPolicy": "Z"}),
            'spec.fsGroupPolicy: Unsupported value: "Z": supported values: "File", "None", "ReadWriteOnceWithFSType"',
            id="driver-group",
        ),
        pytest.param(
            f"{STORAGE}/csinodes",
            made(spec={"drivers": [{"name": ""}, {"name": "b", "nodeID": "x"}, {"name": "b", "nodeID": "x"}]}),
            "[spec.drivers[0].name: Required value, spec.drivers[0].nodeID: Required value,"
            ' spec.drivers[2].name: Duplicate value: "b"]',
            id="csinode",
        ),
        pytest.param(
            PRIORITIES,
            made(value=2_000_000_000),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            id="priority-too-high",
        ),
        pytest.param(
            PRIORITIES,
            made("system-x", value=1),
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only."
            " error: system-x is not a known system priority class",
            id="priority-of-the-system",
        ),
        pytest.param(
            LIMITS,
            limit(max={"cpu": "1"}, defaultRequest={"cpu": "2"}),
            '[spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than max value'
            ' 1, spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than'
            " default limit value 1]",
            id="limits-out-of-order",
        ),
        pytest.param(
            QUOTAS,
            made(spec={"hard": {"foo": "1"}}),
            '[spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified,'
            ' spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota]',
            id="quota-of-nothing",
        ),
        pytest.param(f"{NS}/podtemplates", made(), "template.spec.containers: Required value", id="template-empty"),
    ],
)
async def test_what_is_refused(api: Api, path: str, body: Obj, faults: str) -> None:
    answer = await api("POST", path, body)
    assert answer.status == 422, answer.raw
    assert answer.body["message"].partition(" is invalid: ")[2] == faults
    assert (await api("GET", f"{path}/{body['metadata']['name']}")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "patch", "fault"),
    [
        (VOLUMES, volume(), {"spec": {"hostPath": {"path": "/y"}}}, "spec.persistentvolumesource: Forbidden"),
        (CLAIMS, claim(), {"spec": {"accessModes": ["ReadOnlyMany"]}}, "spec: Forbidden: spec is immutable after"),
        (CLASSES, made(provisioner="p"), {"provisioner": "q"}, "provisioner: Invalid value: null: field is immutable"),
        (DRIVERS, made(spec={}), {"spec": {"attachRequired": False}}, "spec.attachedRequired: Invalid value: false"),
        (PRIORITIES, made(value=1), {"value": 2}, "value: Forbidden: may not be changed in an update."),
    ],
)
async def test_what_may_not_change(api: Api, path: str, body: Obj, patch: Obj, fault: str) -> None:
    before = await api.made(path, body)
    answer = await api("PATCH", f"{path}/a", patch, content_type=MERGE)
    assert answer.status == 422
    assert fault in answer.body["message"]
    assert (await api("GET", f"{path}/a")).body == before


async def test_a_driver_gets_its_defaults(api: Api) -> None:
    assert (await api.made(DRIVERS, made(spec={})))["spec"] == {
        "attachRequired": True,
        "podInfoOnMount": False,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
        "preventPodSchedulingIfMissing": False,
    }


def pod(name: str = "p", **container: Any) -> Obj:
    return made(name, spec={"containers": [{"name": "c", "image": "busybox", **container}]})


async def test_a_pods_priority_is_that_of_its_class(api: Api) -> None:
    await api.made(PRIORITIES, made("fast", value=100))
    body = pod()
    body["spec"]["priorityClassName"] = "fast"
    assert (await api.made(f"{NS}/pods", body))["spec"]["priority"] == 100
    system = await api("GET", f"{PRIORITIES}/system-node-critical")
    assert system.body["value"] == 2_000_001_000


async def test_limits_give_containers_what_they_do_not_ask_for(api: Api) -> None:
    await api.made(LIMITS, limit(max={"cpu": "2"}, default={"cpu": "1"}, min={"memory": "1Mi"}))
    found = await api.made(f"{NS}/pods", pod())
    wanted = {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1"}}
    assert found["spec"]["containers"][0]["resources"] == wanted
    assert found["status"]["qosClass"] == "Burstable"
    said = "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c"
    assert found["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == said


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ({"limits": {"cpu": "3"}}, "maximum cpu usage per Container is 2, but limit is 3"),
        (
            {"limits": {"cpu": "1"}, "requests": {"memory": "1Ki"}},
            "minimum memory usage per Container is 1Mi, but request is 1Ki",
        ),
    ],
)
async def test_what_is_beyond_the_limits_is_refused(api: Api, resources: Obj, why: str) -> None:
    await api.made(LIMITS, limit(max={"cpu": "2"}, min={"memory": "1Mi"}))
    answer = await api("POST", f"{NS}/pods", pod(resources=resources))
    assert (answer.status, answer.body["message"]) == (403, f'pods "p" is forbidden: {why}')


async def test_kubectl_shows_the_columns(tmp_path: Path) -> None:
    driver = {"podInfoOnMount": True, "attachRequired": False, "volumeLifecycleModes": ["Ephemeral"]}
    objects = [
        {"apiVersion": "v1", "kind": "PersistentVolume", **volume(storageClassName="slow")},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim(storageClassName="slow")},
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", **made("slow", provisioner="example.com/p")},
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            **made("d.example.com", spec={**driver, "tokenRequests": [{"audience": "x"}, {"audience": "z"}]}),
        },
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **made("fast", value=7)},
    ]
    async with api_server(tmp_path) as server:
        kubectl = kubectls()[0]
        ran = await server.kubectl(
            kubectl, "apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": objects}
        )
        assert ran.code == 0, ran.err

        async def row(*arguments: str) -> list[str]:
            found = await server.kubectl(kubectl, "get", *arguments, "--no-headers")
            return found.out.split()[:-1]

        assert (await row("pv", "a"))[:6] == ["a", "1Gi", "RWO", "Retain", "Available", "slow"]
        assert (await row("pvc", "a"))[:3] == ["a", "Pending", "slow"]
        assert await row("sc", "slow") == ["slow", "example.com/p", "Delete", "Immediate", "false"]
        assert (await row("csidriver", "d.example.com"))[1:] == ["false", "true", "false", "x,z", "false", "Ephemeral"]
        assert (await row("pc", "fast"))[:3] == ["fast", "7", "false"]
        described = await server.kubectl(kubectl, "describe", "pvc", "a")
        assert "StorageClass:  slow" in described.out
        gone = await server.kubectl(kubectl, "delete", "pv,pvc", "a", "--timeout=5s")
        assert gone.code == 0, gone.err
