"""What makes one node better than another for a pod; each score is between 0 and 100. Pure."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.placement import is_tolerated, term_matches
from podpass.lab.scheduler import filters
from podpass.lab.scheduler.model import NO_CPU, NO_MEMORY, NodeState, owner, preferred_terms, requests

MOST = 100.0
Raw = Callable[[Obj, NodeState, Sequence[NodeState]], float]


def preference(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> float:
    return float(
        sum(
            int(each.get("weight") or 0)
            for each in preferred_terms(pod, "nodeAffinity")
            if term_matches(each.get("preference") or {}, node.name, node.labels)
        )
    )


def soft_taints(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> float:
    tolerations = objects.spec(pod).get("tolerations") or ()
    return -float(
        sum(each.get("effect") == "PreferNoSchedule" and not is_tolerated(each, tolerations) for each in node.taints)
    )


def neighbours(pod: Obj, node: NodeState, nodes: Sequence[NodeState]) -> float:
    """The weights of the pods it would rather be with, less those it would rather not."""
    total = 0
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for each in preferred_terms(pod, kind):
            term = each.get("podAffinityTerm") or {}
            domain = node.labels.get(term.get("topologyKey") or "")
            if domain is None:
                continue
            found = sum(
                filters.selects(term, pod, other.namespace, other.labels)
                for there in nodes
                if there.labels.get(term.get("topologyKey") or "") == domain
                for other in there.pods.values()
            )
            total += sign * int(each.get("weight") or 0) * found
    return float(total)


def spread(pod: Obj, node: NodeState, nodes: Sequence[NodeState]) -> float:
    """Fewer pods of the same owner, and of those that a constraint would rather see spread."""
    mine = owner(pod)
    there = sum(bool(mine) and each.owner == mine for each in node.pods.values())
    for constraint in objects.spec(pod).get("topologySpreadConstraints") or ():
        domain = node.labels.get(constraint.get("topologyKey") or "")
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway" and domain is not None:
            there += filters.domain_counts(pod, constraint, nodes).get(domain, 0)
    return -float(there)


def room(pod: Obj, node: NodeState, _: Sequence[NodeState]) -> float:
    """How much of its processors and memory would be left."""
    wanted = requests(pod)
    shares = []
    for name, nothing in (("cpu", NO_CPU), ("memory", NO_MEMORY)):
        there = node.allocatable.get(name, Decimal(0))
        if there:
            used = sum((each.requests.get(name) or nothing for each in node.pods.values()), Decimal(0))
            shares.append(max(Decimal(0), there - used - (wanted.get(name) or nothing)) / there)
    return float(sum(shares, Decimal(0)) / len(shares)) if shares else 0.0


WEIGHTS: Mapping[Raw, int] = {soft_taints: 3, preference: 2, neighbours: 2, spread: 2, room: 1}


def best(pod: Obj, fitting: Sequence[NodeState], nodes: Sequence[NodeState]) -> NodeState:
    """The node with the highest sum; among equals the one with the fewest pods, then the first by name."""
    totals = dict.fromkeys((node.name for node in fitting), 0.0)
    for raw, weight in WEIGHTS.items():
        found = {node.name: raw(pod, node, nodes) for node in fitting}
        low, high = min(found.values()), max(found.values())
        if high > low:
            for name, value in found.items():
                totals[name] += weight * MOST * (value - low) / (high - low)
    return min(fitting, key=lambda node: (-totals[node.name], len(node.pods), node.name))
