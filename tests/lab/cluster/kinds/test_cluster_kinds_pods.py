import copy
from typing import Any

import pytest

from podpass.kube.status import StatusError
from podpass.lab.cluster.kinds.pod_defaults import default_pod, qos_class
from podpass.lab.cluster.kinds.pods import pods

KIND = pods()


def pod(**spec: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec}}
    default_pod(made)
    return made


def faults(shown: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in KIND.validate_create(shown)]


def with_container(**members: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "busybox", **members}])


def volume(**source: Any) -> dict[str, Any]:
    return pod(volumes=[{"name": "v", **source}])


def test_a_small_pod_gets_every_default() -> None:
    found = pod()
    assert found["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "busybox",
                "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }
        ],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
        "enableServiceLinks": True,
    }
    assert found["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_defaulting_twice_changes_nothing() -> None:
    once = pod(
        volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
        hostNetwork=True,
        containers=[
            {
                "name": "c",
                "image": "a:1",
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "1"}},
            }
        ],
    )
    twice = copy.deepcopy(once)
    default_pod(twice)
    assert twice == once


def test_defaults_deep_inside() -> None:
    found = pod(
        serviceAccount="orders",
        volumes=[
            {"name": "a", "secret": {"secretName": "s"}},
            {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "x"}}]}},
            {"name": "c"},
        ],
        containers=[
            {
                "name": "c",
                "image": "a:1",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "readinessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}},
            }
        ],
    )["spec"]
    assert (found["serviceAccountName"], found["serviceAccount"]) == ("orders", "orders")
    assert found["volumes"][0]["secret"]["defaultMode"] == 0o644
    assert found["volumes"][1]["projected"] == {
        "defaultMode": 420,
        "sources": [{"serviceAccountToken": {"path": "t", "audience": "x", "expirationSeconds": 3600}}],
    }
    assert found["volumes"][2] == {"name": "c", "emptyDir": {}}
    container = found["containers"][0]
    assert container["ports"][0]["protocol"] == "TCP"
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert container["readinessProbe"] == {
        "httpGet": {"port": 80, "scheme": "HTTP", "path": "/"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("localhost:5000/busybox", "Always"),
        ("localhost:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:0000", "IfNotPresent"),
    ],
)
def test_the_tag_decides_when_an_image_is_pulled(image: str, policy: str) -> None:
    assert pod(containers=[{"name": "c", "image": image}])["spec"]["containers"][0]["imagePullPolicy"] == policy


LIMIT = {"cpu": "100m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param([{}], "BestEffort", id="nothing"),
        pytest.param([{"limits": LIMIT}], "Guaranteed", id="limits-alone"),
        pytest.param(
            [{"limits": LIMIT, "requests": {"cpu": "0.1", "memory": "1024Mi"}}], "Guaranteed", id="equal-amounts"
        ),
        pytest.param([{"limits": LIMIT, "requests": {"cpu": "50m"}}], "Burstable", id="less-requested"),
        pytest.param([{"requests": {"cpu": "50m"}}], "Burstable", id="requests-alone"),
        pytest.param([{"limits": LIMIT}, {}], "Burstable", id="one-without"),
        pytest.param([{"limits": {"cpu": "1"}}], "Burstable", id="memory-missing"),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], expected: str) -> None:
    assert qos_class({"containers": [{"resources": each} for each in resources]}) == expected


MOUNT = {"name": "v", "mountPath": "/data"}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param({"metadata": {}, "spec": {}}, "spec.containers: Required value", id="no-containers"),
        pytest.param(pod(containers=[{"image": "a"}]), "spec.containers[0].name: Required value", id="no-name"),
        pytest.param(pod(containers=[{"name": "c"}]), "spec.containers[0].image: Required value", id="no-image"),
        pytest.param(
            pod(containers=[{"name": "C_1", "image": "a"}]),
            'spec.containers[0].name: Invalid value: "C_1": a lowercase RFC 1123 label must consist of lower case'
            " alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name', "
            " or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            id="bad-name",
        ),
        pytest.param(
            pod(containers=[{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]),
            'spec.containers[1].name: Duplicate value: "a"',
            id="two-of-a-name",
        ),
        pytest.param(
            pod(initContainers=[{"name": "c", "image": "x"}]),
            'spec.initContainers[0].name: Duplicate value: "c"',
            id="init-of-the-same-name",
        ),
        pytest.param(
            with_container(imagePullPolicy="Sometimes"),
            'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values:'
            ' "Always", "IfNotPresent", "Never"',
            id="pull-policy",
        ),
        pytest.param(
            pod(restartPolicy="Often"),
            'spec.restartPolicy: Unsupported value: "Often": supported values: "Always", "OnFailure", "Never"',
            id="restart-policy",
        ),
        pytest.param(
            with_container(volumeMounts=[MOUNT]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
            id="mount-without-volume",
        ),
        pytest.param(
            pod(
                volumes=[{"name": "v", "emptyDir": {}}],
                containers=[{"name": "c", "image": "a", "volumeMounts": [MOUNT, MOUNT]}],
            ),
            'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/data": must be unique',
            id="two-mounts-at-one-path",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
            'spec.volumes[1].name: Duplicate value: "v"',
            id="two-volumes-of-a-name",
        ),
        pytest.param(
            volume(emptyDir={}, secret={"secretName": "s"}),
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
            id="two-sources",
        ),
        pytest.param(volume(secret={}), "spec.volumes[0].secret.secretName: Required value", id="secret-without-name"),
        pytest.param(
            volume(projected={"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}]}),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599:"
            " may not specify a duration less than 10 minutes",
            id="token-too-short",
        ),
        pytest.param(
            volume(projected={"sources": [{"serviceAccountToken": {"path": "../t"}}]}),
            'spec.volumes[0].projected.sources[0].serviceAccountToken.path: Invalid value: "../t": must not contain'
            " '..'",
            id="token-outside",
        ),
        pytest.param(
            volume(projected={"sources": [{"serviceAccountToken": {}}]}),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.path: Required value",
            id="token-without-path",
        ),
        pytest.param(
            volume(configMap={"name": "c", "items": [{"key": "k", "path": "/abs"}]}),
            'spec.volumes[0].configMap.items[0].path: Invalid value: "/abs": must be a relative path',
            id="absolute-item",
        ),
        pytest.param(
            volume(secret={"secretName": "s", "defaultMode": 0o1000}),
            "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal),"
            " both inclusive",
            id="mode",
        ),
        pytest.param(
            with_container(env=[{"value": "x"}]), "spec.containers[0].env[0].name: Required value", id="env-no-name"
        ),
        pytest.param(
            with_container(env=[{"name": "A=B"}]),
            'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only'
            " of printable ASCII characters other than '='",
            id="env-name",
        ),
        pytest.param(
            with_container(env=[{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
            id="env-value-and-source",
        ),
        pytest.param(
            with_container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]),
            'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.foo": supported values:'
            ' "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",'
            ' "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
            id="field-path",
        ),
        pytest.param(
            with_container(ports=[{"containerPort": 70_000}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="port",
        ),
        pytest.param(
            with_container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="request-above-limit",
        ),
        pytest.param(
            with_container(livenessProbe={"periodSeconds": 5}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            id="probe-without-handler",
        ),
        pytest.param(
            pod(initContainers=[{"name": "i", "image": "a", "livenessProbe": {"tcpSocket": {"port": 1}}}]),
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without"
            " restartPolicy=Always",
            id="probe-of-an-init-container",
        ),
        pytest.param(
            pod(tolerations=[{"operator": "Equal", "value": "x"}]),
            'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which'
            ' means "match all values and all keys"',
            id="toleration-without-key",
        ),
    ],
)
def test_what_people_get_wrong_is_named(shown: dict[str, Any], expected: str) -> None:
    assert expected in faults(shown)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(pod(), id="small"),
        pytest.param(with_container(env=[{"name": "with space"}, {"name": "dotted.name"}]), id="relaxed-env-names"),
        pytest.param(
            pod(
                initContainers=[
                    {
                        "name": "proxy",
                        "image": "a",
                        "restartPolicy": "Always",
                        "startupProbe": {"httpGet": {"port": "http"}},
                    }
                ]
            ),
            id="sidecar-with-probe",
        ),
        pytest.param(
            volume(
                projected={
                    "sources": [{"serviceAccountToken": {"path": "azure-identity-token", "expirationSeconds": 600}}]
                }
            ),
            id="shortest-token",
        ),
        pytest.param(volume(csi={"driver": "secrets-store.csi.k8s.io", "readOnly": True}), id="csi"),
        pytest.param(pod(tolerations=[{"operator": "Exists"}]), id="tolerates-everything"),
    ],
)
def test_good_pods_have_no_fault(shown: dict[str, Any]) -> None:
    assert faults(shown) == []


def update(change: Any, old: dict[str, Any] | None = None) -> list[str]:
    before = old or pod()
    after = copy.deepcopy(before)
    change(after["spec"])
    return [cause.field for cause in KIND.validate_update(after, before)]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param(lambda spec: None, [], id="nothing"),
        pytest.param(lambda spec: spec["containers"][0].update(image="other:2"), [], id="image"),
        pytest.param(lambda spec: spec.update(activeDeadlineSeconds=30), [], id="deadline"),
        pytest.param(lambda spec: spec.update(tolerations=[{"operator": "Exists"}]), [], id="more-tolerations"),
        pytest.param(lambda spec: spec["containers"][0].update(env=[{"name": "A"}]), ["spec"], id="env"),
        pytest.param(lambda spec: spec.update(serviceAccountName="x"), ["spec"], id="account"),
        pytest.param(lambda spec: spec.update(volumes=[{"name": "v", "emptyDir": {}}]), ["spec"], id="volumes"),
        pytest.param(
            lambda spec: spec["containers"].append({"name": "d", "image": "a"}), ["spec.containers"], id="container"
        ),
        pytest.param(lambda spec: spec["containers"][0].update(image=""), ["spec.containers[0].image"], id="no-image"),
    ],
)
def test_what_an_update_may_change(change: Any, refused: list[str]) -> None:
    assert update(change) == refused


def test_only_a_binding_gives_a_pod_its_node() -> None:
    old, new = pod(), pod(nodeName="lab-node")
    with pytest.raises(StatusError) as caught:
        KIND.prepare_update(new, old)
    assert caught.value.code == 422
    assert caught.value.message.startswith('Pod "p" is invalid: spec: Forbidden: pod updates may not change fields')
    assert KIND.validate_update(new, old) == []
    assert update(lambda spec: spec.update(nodeName="other"), new) == ["spec"]


def test_a_deadline_is_only_shortened() -> None:
    old = pod(activeDeadlineSeconds=60)
    assert update(lambda spec: spec.update(activeDeadlineSeconds=30), old) == []
    assert update(lambda spec: spec.update(activeDeadlineSeconds=90), old) == ["spec.activeDeadlineSeconds"]
    assert update(lambda spec: spec.pop("activeDeadlineSeconds"), old) == ["spec.activeDeadlineSeconds"]


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        pytest.param(pod(), 0, id="on-no-node"),
        pytest.param(pod(nodeName="n"), 30, id="running"),
        pytest.param({**pod(nodeName="n"), "status": {"phase": "Succeeded"}}, 0, id="ended"),
    ],
)
def test_how_long_a_deletion_waits(shown: dict[str, Any], seconds: int) -> None:
    assert KIND.grace_seconds(shown) == seconds


def test_field_labels_are_what_selectors_ask_for() -> None:
    shown = pod(nodeName="lab-node", serviceAccountName="orders")
    labels = KIND.field_labels(shown)
    assert labels["spec.nodeName"] == "lab-node"
    assert labels["status.phase"] == "Pending"
    assert set(labels) == KIND.field_names
