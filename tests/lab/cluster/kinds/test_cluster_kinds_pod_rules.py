"""What the API server says of a pod's probes, hooks, identity, names and volumes."""

from typing import Any

import pytest

from podpass.lab.cluster.kinds.pod_defaults import default_pod
from podpass.lab.cluster.kinds.pods import pods

KIND = pods()
GET = {"httpGet": {"port": 80}}


def faults(container: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    made = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec},
    }
    default_pod(made)
    return [
        f"{cause.field.removeprefix('spec.').removeprefix('containers[0].')}: {cause.message}"
        for cause in KIND.validate_create(made)
    ]


@pytest.mark.parametrize(
    ("container", "fault"),
    [
        ({"livenessProbe": {}}, "livenessProbe: Required value: must specify a handler type"),
        (
            {"livenessProbe": {**GET, "exec": {"command": ["x"]}}},
            "livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
        ),
        (
            {"livenessProbe": {"httpGet": {"port": 0}}},
            "livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            {"livenessProbe": {"tcpSocket": {"port": "80"}}},
            'livenessProbe.tcpSocket.port: Invalid value: "80": must contain at least one letter (a-z)',
        ),
        (
            {"livenessProbe": {"grpc": {"port": 70000}}},
            "livenessProbe.grpc.port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"livenessProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}},
            'livenessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"',
        ),
        (
            {"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}},
            'livenessProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of alphanumeric'
            " characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
        ),
        (
            {"livenessProbe": {**GET, "periodSeconds": -1}},
            "livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"livenessProbe": {**GET, "terminationGracePeriodSeconds": 0}},
            "livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            {"readinessProbe": {**GET, "terminationGracePeriodSeconds": 5}},
            "readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
        ),
        (
            {"startupProbe": {**GET, "successThreshold": 2}},
            "startupProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        ({"lifecycle": {"preStop": {}}}, "lifecycle.preStop: Required value: must specify a handler type"),
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
            "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than"
            " terminationGracePeriodSeconds (30)",
        ),
        (
            {"lifecycle": {"stopSignal": "SIGUSR1"}},
            "lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
        ),
        (
            {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (
            {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}},
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        ),
        (
            {"securityContext": {"runAsUser": -1}},
            "securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
        (
            {"securityContext": {"procMount": "Unmasked"}},
            'securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
            "securityContext.seccompProfile.localhostProfile: Required value:"
            " must be set when seccomp type is Localhost",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]},
            'env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values:'
            ' "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",'
            ' "requests.memory"',
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]},
            'env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "2": only divisor\'s values 1m and 1 are'
            " supported with the cpu resource",
        ),
        (
            {"ports": [{"containerPort": 80, "name": "Web"}]},
            'ports[0].name: Invalid value: "Web": must contain only alpha-numeric characters (a-z, 0-9), and'
            " hyphens (-)",
        ),
    ],
)
def test_a_container_is_refused(container: dict, fault: str) -> None:
    found = faults(container)
    assert len(found) == 1
    assert found[0].endswith(fault)


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (
            {"hostAliases": [{"ip": "10.0.0", "hostnames": ["a"]}]},
            'hostAliases[0].ip: Invalid value: "10.0.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        ({"dnsPolicy": "None"}, "dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        (
            {"dnsPolicy": "None", "dnsConfig": {}},
            "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
        ),
        (
            {"dnsConfig": {"nameservers": ["10.0.0.1"] * 4}},
            'dnsConfig.nameservers: Invalid value: ["10.0.0.1","10.0.0.1","10.0.0.1","10.0.0.1"]: must not have'
            " more than 3 nameservers",
        ),
        ({"dnsConfig": {"options": [{"value": "1"}]}}, "dnsConfig.options[0]: Required value: must not be empty"),
        (
            {"shareProcessNamespace": True, "hostPID": True},
            "shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
        ),
        (
            {"securityContext": {"supplementalGroups": [1, -2]}},
            "securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 2147483647, inclusive",
        ),
        (
            {"securityContext": {"fsGroupChangePolicy": "Never"}},
            'securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always",'
            ' "OnRootMismatch"',
        ),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
            "volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/a", "type": "Pipe"}}]},
            'volumes[0].hostPath.type: Unsupported value: "Pipe": supported values: "", "BlockDevice", "CharDevice",'
            ' "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]},
            "volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
        ),
        (
            {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {}}}]},
            "volumes[0].csi.nodePublishSecretRef.name: Required value",
        ),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "..x"}]}}]},
            "volumes[0].secret.items[0].path: Invalid value: \"..x\": must not start with '..'",
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "status.podIP"}}]},
                    }
                ]
            },
            'volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: "status.podIP": supported values:'
            ' "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"',
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "downwardAPI": {"items": [{"path": "x", "resourceFieldRef": {"resource": "limits.cpu"}}]},
                    }
                ]
            },
            "volumes[0].downwardAPI.items[0].resourceFieldRef.containerName: Required value",
        ),
    ],
)
def test_a_pod_is_refused(spec: dict, fault: str) -> None:
    assert faults(**spec) == [fault]


@pytest.mark.parametrize(
    ("container", "spec"),
    [
        (
            {
                "livenessProbe": {
                    "httpGet": {"port": "web", "path": "/x", "httpHeaders": [{"name": "X-A", "value": ""}]}
                }
            },
            {},
        ),
        ({"startupProbe": {"grpc": {"port": 9, "service": "x"}, "terminationGracePeriodSeconds": 1}}, {}),
        ({"lifecycle": {"postStart": {"exec": {"command": ["x"]}}, "preStop": {"sleep": {"seconds": 0}}}}, {}),
        ({"lifecycle": {"stopSignal": "SIGRTMIN+3"}}, {"os": {"name": "linux"}}),
        ({"securityContext": {"procMount": "Unmasked"}}, {"hostUsers": False}),
        ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"]}}}, {}),
        (
            {
                "env": [
                    {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}
                ]
            },
            {},
        ),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['Acme.io/X']"}}}]}, {}),
        ({}, {"dnsConfig": {"searches": ["a.example.", "."], "options": [{"name": "ndots", "value": "1"}]}}),
        ({}, {"readinessGates": [{"conditionType": "acme.io/ready"}], "setHostnameAsFQDN": True}),
        ({}, {"volumes": [{"name": "v", "hostPath": {"path": "/a"}}, {"name": "w", "emptyDir": {"sizeLimit": "1Gi"}}]}),
    ],
)
def test_what_is_right_is_taken(container: dict, spec: dict) -> None:
    assert faults(container, **spec) == []


def test_an_init_container_that_ends_has_nothing_to_probe() -> None:
    init = [{"name": "i", "image": "i", "readinessProbe": GET, "lifecycle": {"preStop": GET}}]
    text = "Forbidden: may not be set for init containers without restartPolicy=Always"
    assert faults(initContainers=init) == [
        f"initContainers[0].readinessProbe: {text}",
        f"initContainers[0].lifecycle: {text}",
    ]
    assert faults(initContainers=[{**init[0], "restartPolicy": "Always"}]) == []


def test_mounts_come_back_to_the_node_from_privileged_containers_only() -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    mount = {"name": "v", "mountPath": "/m", "mountPropagation": "Bidirectional"}
    assert faults({"volumeMounts": [mount]}, volumes=volumes) == [
        "volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged"
        " containers"
    ]
    assert faults({"volumeMounts": [mount], "securityContext": {"privileged": True}}, volumes=volumes) == []
