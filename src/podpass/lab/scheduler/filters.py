"""What rules a node out for a pod, each rule with kube-scheduler's words. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from podpass.kube import objects, selectors
from podpass.kube.objects import Obj
from podpass.kube.placement import is_tolerated, untolerated, wants
from podpass.lab.scheduler.model import NodeState, PlacedPod, collide, host_ports, requests, required_terms

UNSCHEDULABLE = "node(s) were unschedulable"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
PORTS = "node(s) didn't have free ports for the requested pod ports"
SPREAD = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL = f"{SPREAD} (missing required label)"
POD_AFFINITY = "node(s) didn't match pod affinity rules"
POD_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING_ANTI_AFFINITY = "node(s) didn't satisfy existing pods anti-affinity rules"
TOO_MANY = "Too many pods"
_UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}

Rule = Callable[[Obj, NodeState, Sequence[NodeState]], list[str]]
"""A pod, a node and all nodes to what stands in the way; nothing where the pod fits."""


def cordoned(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> list[str]:
    tolerations = objects.spec(pod).get("tolerations") or ()
    return [UNSCHEDULABLE] if node.unschedulable and not is_tolerated(_UNSCHEDULABLE_TAINT, tolerations) else []


def tainted(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> list[str]:
    found = untolerated(node.taints, objects.spec(pod).get("tolerations") or ())
    return [f"node(s) had untolerated taint {{{found[0].get('key')}: {found[0].get('value') or ''}}}"] if found else []


def node_affinity(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> list[str]:
    return [] if wants(objects.spec(pod), node.name, node.labels) else [AFFINITY]


def free_ports(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> list[str]:
    wanted = list(host_ports(pod))
    taken = [port for each in node.pods.values() for port in each.ports] if wanted else []
    return [PORTS] if any(collide(one, other) for one in wanted for other in taken) else []


def resources(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> list[str]:
    found = []
    if len(node.pods) + 1 > int(node.allocatable.get("pods", 0)):
        found.append(TOO_MANY)
    for name, amount in sorted(requests(pod).items()):
        if amount and amount > node.allocatable.get(name, 0) - node.used(name):
            found.append(f"Insufficient {name}")
    return found


def topology_spread(pod: Obj, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """Where adding the pod would leave one domain too far ahead of the emptiest."""
    for constraint in objects.spec(pod).get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key = constraint.get("topologyKey") or ""
        if key not in node.labels:
            return [SPREAD_LABEL]
        counts = domain_counts(pod, constraint, nodes)
        least = min(counts.values(), default=0)
        if len(counts) < int(constraint.get("minDomains") or 1):
            least = 0
        selector = selectors.from_object(constraint.get("labelSelector"))
        own = 1 if selector is not None and selector.matches(objects.labels(pod)) else 0
        if counts.get(node.labels[key], 0) + own - least > int(constraint.get("maxSkew") or 1):
            return [SPREAD]
    return []


def domain_counts(pod: Obj, constraint: Obj, nodes: Sequence[NodeState]) -> dict[str, int]:
    """How many pods that the constraint selects there are in each domain that the pod could go to."""
    key = constraint.get("topologyKey") or ""
    selector = selectors.from_object(constraint.get("labelSelector"))
    counts: dict[str, int] = {}
    for node in nodes:
        if key not in node.labels or node_affinity(pod, node, nodes):
            continue
        if constraint.get("nodeTaintsPolicy") == "Honor" and tainted(pod, node, nodes):
            continue
        here = sum(
            selector is not None
            and not each.ending
            and each.namespace == objects.namespace(pod)
            and selector.matches(each.labels)
            for each in node.pods.values()
        )
        counts[node.labels[key]] = counts.get(node.labels[key], 0) + here
    return counts


def pod_affinity(pod: Obj, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    for term in required_terms(pod, "podAffinity"):
        key = term.get("topologyKey") or ""
        if key not in node.labels:
            return [POD_AFFINITY]
        if not any(_selected(term, pod, each) for each in _in_domain(key, node, nodes)):
            # The first of a group that wants to be together may go anywhere.
            nowhere = not any(_selected(term, pod, each) for other in nodes for each in other.pods.values())
            if not (nowhere and selects(term, pod, objects.namespace(pod), objects.labels(pod))):
                return [POD_AFFINITY]
    for term in required_terms(pod, "podAntiAffinity"):
        key = term.get("topologyKey") or ""
        if key in node.labels and any(_selected(term, pod, each) for each in _in_domain(key, node, nodes)):
            return [POD_ANTI_AFFINITY]
    return []


def existing_anti_affinity(pod: Obj, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    for other in nodes:
        for each in other.pods.values():
            for term in each.repels:
                key = term.get("topologyKey") or ""
                same = key in node.labels and node.labels[key] == other.labels.get(key)
                if same and _wants(term, each.namespace, objects.namespace(pod), objects.labels(pod)):
                    return [EXISTING_ANTI_AFFINITY]
    return []


def _in_domain(key: str, node: NodeState, nodes: Sequence[NodeState]) -> Iterator[PlacedPod]:
    for other in nodes:
        if other.labels.get(key) == node.labels.get(key):
            yield from other.pods.values()


def _selected(term: Obj, pod: Obj, other: PlacedPod) -> bool:
    return selects(term, pod, other.namespace, other.labels)


def selects(term: Obj, pod: Obj, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a term of *pod* speaks of a pod with *labels* in *namespace*."""
    return _wants(term, objects.namespace(pod), namespace, labels)


def _wants(term: Obj, own: str, namespace: str, labels: Mapping[str, str]) -> bool:
    # An empty selector of namespaces means all of them; others would need the namespaces' labels.
    everywhere = term.get("namespaceSelector") == {}
    if not everywhere and namespace not in (term.get("namespaces") or [own]):
        return False
    selector = selectors.from_object(term.get("labelSelector"))
    return selector is not None and selector.matches(labels)


RULES: Sequence[Rule] = (
    cordoned,
    tainted,
    node_affinity,
    free_ports,
    resources,
    topology_spread,
    pod_affinity,
    existing_anti_affinity,
)
"""In kube-scheduler's order: a node is ruled out by the first that speaks."""
