"""The values a pod gets where its author gave none, and its quality-of-service class.

Contract: Kubernetes API surface, section 2.11.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds import rules

DEFAULT_MODE = 0o644
TOKEN_SECONDS = 3600
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_QOS_RESOURCES = ("cpu", "memory")


def prepare_pod(pod: Obj) -> None:
    """What a new pod's status says, whatever its author wrote there."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(objects.spec(pod))}


def default_pod(pod: Obj) -> None:
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        return
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in containers(spec):
        if limits := container["resources"].get("limits"):
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}
        for port in (container.get("ports") or ()) if spec.get("hostNetwork") else ():
            port["hostPort"] = port.get("hostPort") or port.get("containerPort")
    status = pod.get("status")
    if not isinstance(status, dict) or not status.get("qosClass"):
        pod["status"] = {
            **objects.status(pod),
            "phase": objects.status(pod).get("phase") or "Pending",
            "qosClass": qos_class(spec),
        }


def default_pod_spec(spec: Obj) -> None:
    """Fill in a pod's spec, or that of a workload's template, whose pods get the rest when they are made."""
    spec["restartPolicy"] = spec.get("restartPolicy") or "Always"
    spec["dnsPolicy"] = spec.get("dnsPolicy") or "ClusterFirst"
    spec["schedulerName"] = spec.get("schedulerName") or "default-scheduler"
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        # Both spellings are shown; clients of old set only the second one.
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        if isinstance(volume, dict):
            _default_volume(volume)


def containers(spec: Obj) -> Iterator[Obj]:
    """Init containers, containers and ephemeral containers, in that order."""
    for member in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(member) or ():
            if isinstance(container, dict):
                yield container


def _default_container(container: Obj) -> None:
    container["imagePullPolicy"] = container.get("imagePullPolicy") or _pull_policy(container.get("image") or "")
    container["terminationMessagePath"] = container.get("terminationMessagePath") or "/dev/termination-log"
    container["terminationMessagePolicy"] = container.get("terminationMessagePolicy") or "File"
    container["resources"] = container.get("resources") or {}
    for port in container.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
    for variable in container.get("env") or ():
        _default_field_ref((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in _PROBES:
        if probe := container.get(name):
            _default_probe(probe)
    for handler in (container.get("lifecycle") or {}).values():
        _default_http_get(handler)


def _pull_policy(image: str) -> Literal["Always", "IfNotPresent"]:
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        return "Always" if tag == "latest" and not digest else "IfNotPresent"
    return "IfNotPresent" if digest else "Always"


def _default_probe(probe: Obj) -> None:
    for member, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        probe[member] = probe.get(member) or value
    _default_http_get(probe)
    if isinstance(grpc := probe.get("grpc"), dict):
        grpc.setdefault("service", "")


def _default_http_get(handler: Any) -> None:
    request = handler.get("httpGet") if isinstance(handler, dict) else None
    if isinstance(request, dict):
        request["scheme"] = request.get("scheme") or "HTTP"
        request["path"] = request.get("path") or "/"


def _default_field_ref(reference: Any) -> None:
    if isinstance(reference, dict):
        reference["apiVersion"] = reference.get("apiVersion") or "v1"


def _default_volume(volume: Obj) -> None:
    for member in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(source := volume.get(member), dict):
            source.setdefault("defaultMode", DEFAULT_MODE)
    if isinstance(host_path := volume.get("hostPath"), dict):
        host_path.setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _default_field_ref(item.get("fieldRef"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        if isinstance(token := source.get("serviceAccountToken"), dict):
            token.setdefault("expirationSeconds", TOKEN_SECONDS)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _default_field_ref(item.get("fieldRef"))
    if not any(value is not None for member, value in volume.items() if member != "name"):
        volume["emptyDir"] = {}


def qos_class(spec: Obj) -> Literal["Guaranteed", "Burstable", "BestEffort"]:
    """The class by which a node under pressure chooses whom to evict."""
    anything = False
    guaranteed = True
    for container in containers({**spec, "ephemeralContainers": None}):
        requirements = container.get("resources") or {}
        requests, limits = _amounts(requirements.get("requests")), _amounts(requirements.get("limits"))
        requests = {**limits, **requests}
        anything = anything or bool(requests or limits)
        if set(limits) != set(_QOS_RESOURCES) or requests != limits:
            guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(listed: Any) -> dict[str, Decimal]:
    if not isinstance(listed, dict):
        return {}
    amounts = {name: rules.quantity(listed[name]) for name in _QOS_RESOURCES if name in listed}
    return {name: amount for name, amount in amounts.items() if amount}
