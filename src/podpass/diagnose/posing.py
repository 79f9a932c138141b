"""Which pods may pose as others, and whose identities that would get them. Pure.

Contract: pod identity, section 6.4. The rule is that of deploy/policy/prevent-net-raw.yaml.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from podpass.diagnose.snapshot import Finding, Snapshot, is_running
from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.podidentity.resources import BINDING_LABEL

CODE = "PP420"
SYSTEM = "kube-system"
"""Its pods need what they need; the policy leaves them out."""
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def posing_pods(snapshot: Snapshot) -> list[Finding]:
    """The pods that keep NET_RAW where the network does not stop them, in the order of their names."""
    return [] if snapshot.network != "kubenet" else pods_with_net_raw(snapshot)


def pods_with_net_raw(snapshot: Snapshot) -> list[Finding]:
    """The same whatever the network is: what there is to find where it lets them."""
    running = [pod for pod in snapshot.pods if is_running(pod)]
    identities = _identities_by_node(running, snapshot)
    found = []
    for pod in running:
        spec = objects.spec(pod)
        # A pod with its node's network sends as its node anyway, and no agent stands between it and the machine.
        if objects.namespace(pod) == SYSTEM or spec.get("hostNetwork"):
            continue
        containers = tuple(
            str(container["name"]) for member in _CONTAINERS for container in spec.get(member) or () if keeps(container)
        )
        if containers:
            own = set(identities[spec["nodeName"]].get(objects.key(pod), ()))
            others = {name for names in identities[spec["nodeName"]].values() for name in names} - own
            found.append(
                Finding(
                    CODE, objects.namespace(pod), objects.name(pod), spec["nodeName"], containers, tuple(sorted(others))
                )
            )
    return sorted(found, key=lambda finding: (finding.namespace, finding.pod))


def keeps(container: Mapping[str, Any]) -> bool:
    """Whether the container's programs may send raw packets."""
    context = container.get("securityContext") or {}
    changes = context.get("capabilities") or {}
    dropped, added = set(changes.get("drop") or ()), set(changes.get("add") or ())
    return bool(
        context.get("privileged") or not dropped & {"NET_RAW", "ALL"} or added & {"NET_RAW", "CAP_NET_RAW", "ALL"}
    )


def _identities_by_node(
    pods: Sequence[Obj], snapshot: Snapshot
) -> Mapping[str, Mapping[tuple[str, str], tuple[str, ...]]]:
    """By node and pod: the identities that the pod's label gives it, wherever the bindings are."""
    by_selector: dict[str, list[str]] = defaultdict(list)
    for binding in snapshot.bindings:
        if binding.selector and binding.identity:
            by_selector[binding.selector].append(f"{binding.namespace}/{binding.identity}")
    found: dict[str, dict[tuple[str, str], tuple[str, ...]]] = defaultdict(dict)
    for pod in pods:
        names = by_selector.get(objects.labels(pod).get(BINDING_LABEL, ""), ())
        if names:
            found[objects.spec(pod)["nodeName"]][objects.key(pod)] = tuple(names)
    return found
