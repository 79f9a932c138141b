"""The admission steps that the API server has built in, as functions over the object.

Contract: Kubernetes API surface, sections 2.11, 3.1 and 4.6.
"""

from collections.abc import Iterable, Iterator

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, StatusError
from podpass.lab.cluster.kinds.pod_defaults import DEFAULT_MODE
from podpass.lab.cluster.metadata import generated_name
from podpass.lab.cluster.serviceaccounts.claims import EXTENDED_SECONDS

TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105
ROOT_CA_CONFIGMAP = "kube-root-ca.crt"
UNDELETABLE_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
EVICTION_SECONDS = 300
PRIORITY_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_EVICTING_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def account_name(pod: Obj) -> str:
    return objects.spec(pod).get("serviceAccountName") or "default"


def with_service_account(pod: Obj, account: Obj) -> Obj:
    """The pod with what its account gives it: name, image pull secrets, and the token volume where it is wanted.

    Idempotent: run again after webhooks, it mounts the volume that is there into containers they added.
    """
    spec = dict(objects.spec(pod))
    for member in ("initContainers", "containers"):
        if spec.get(member):
            spec[member] = [dict(container) for container in spec[member]]
    spec["serviceAccountName"] = spec["serviceAccount"] = objects.name(account)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": entry.get("name") or ""} for entry in account["imagePullSecrets"]]
    if _wants_token(spec, account):
        _mount_token(spec)
    return {**pod, "spec": spec}


def _wants_token(spec: Obj, account: Obj) -> bool:
    chosen = spec.get("automountServiceAccountToken")
    if chosen is None:
        chosen = account.get("automountServiceAccountToken")
    return chosen is not False


def _mount_token(spec: Obj) -> None:
    names = [volume.get("name") or "" for volume in spec.get("volumes") or ()]
    existing = next((name for name in names if name.startswith(TOKEN_VOLUME_PREFIX)), "")
    lacking = list(_without_mount(spec))
    if not lacking:
        return
    name = existing or _fresh_name(names)
    for container in lacking:
        container["volumeMounts"] = [
            *(container.get("volumeMounts") or ()),
            {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT_PATH},
        ]
    if not existing:
        spec["volumes"] = [*(spec.get("volumes") or ()), _token_volume(name)]


def _without_mount(spec: Obj) -> Iterator[Obj]:
    for member in ("initContainers", "containers"):
        for container in spec.get(member) or ():
            if all(mount.get("mountPath") != TOKEN_MOUNT_PATH for mount in container.get("volumeMounts") or ()):
                yield container


def _fresh_name(taken: list[str]) -> str:
    while True:
        name = generated_name(TOKEN_VOLUME_PREFIX)
        if name not in taken:
            return name


def _token_volume(name: str) -> Obj:
    return {
        "name": name,
        "projected": {
            "defaultMode": DEFAULT_MODE,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": EXTENDED_SECONDS, "path": "token"}},
                {"configMap": {"name": ROOT_CA_CONFIGMAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
        },
    }


def missing_account(pod_name: str, namespace: str, account: str) -> StatusError:
    return StatusError.forbidden(
        resources.PODS,
        pod_name,
        f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found',
    )


def with_tolerations(pod: Obj) -> Obj:
    """The pod tolerating a lost node for five minutes, unless it says something about that itself."""
    spec = objects.spec(pod)
    present = spec.get("tolerations") or []
    added = [
        {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": EVICTION_SECONDS}
        for taint in _EVICTING_TAINTS
        if not any(
            toleration.get("key") in (taint, "", None) and toleration.get("effect") in ("NoExecute", "", None)
            for toleration in present
        )
    ]
    if not added:
        return pod
    return {**pod, "spec": {**spec, "tolerations": [*present, *added]}}


def with_priority(pod: Obj, classes: Iterable[Obj]) -> Obj:
    """The pod with the number of its priority class, or of the default one. Raises StatusError 403 for an unknown."""
    spec = objects.spec(pod)
    known = {objects.name(each): each for each in classes}
    name = spec.get("priorityClassName") or ""
    if name and name not in known:
        raise StatusError.forbidden(resources.PODS, objects.name(pod), f"no PriorityClass with name {name} was found")
    if not name:
        defaults = (each for each in known.values() if each.get("globalDefault"))
        found = min(defaults, key=lambda each: each.get("value") or 0, default=None)
        name = "" if found is None else objects.name(found)
    chosen = known.get(name, {})
    priority = chosen.get("value") or 0
    if spec.get("priority") not in (None, priority):
        raise StatusError.forbidden(
            resources.PODS,
            objects.name(pod),
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission"
            f" controller computed {priority} from the given PriorityClass name",
        )
    policy = spec.get("preemptionPolicy") or chosen.get("preemptionPolicy") or "PreemptLowerPriority"
    named = {"priorityClassName": name} if name else {}
    return {**pod, "spec": {**spec, **named, "priority": priority, "preemptionPolicy": policy}}


def namespace_refusal(namespace: Obj | None, name: str) -> tuple[str, tuple[Cause, ...]] | None:
    """Why nothing new may be made in a namespace that is on its way out; None when it is not."""
    if namespace is None or not (
        objects.being_deleted(namespace) or objects.status(namespace).get("phase") == "Terminating"
    ):
        return None
    return (
        f"unable to create new content in namespace {name} because it is being terminated",
        (Cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace"),),
    )
