"""What is to be done to one managed cluster, so that it is as it is wanted. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from podpass.lab.arm.hosting import HostedCluster

MOST_NODES_EACH = 10
"""Of one managed cluster. Each is a network and a few loops in one process; a lab is no place to count machines."""
OVERLAP_SECONDS = 24 * 3600.0
"""How long tokens signed with the key before the present one stay valid, as AKS documents it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """How a cluster was made last; kept with it."""

    node_count: int
    workload_identity: bool
    key_generation: int
    pod_identity: dict[str, Any] | None = None
    """The profile whose objects are there."""
    older_key_until: float = 0.0
    """When the key before the present one is withdrawn, in seconds since the epoch; 0 where there is none."""
    rotating: str = ""
    """The id of the key that a rotation is about to replace: it may have been cut short."""

    @classmethod
    def at_first(cls, cluster: HostedCluster) -> "Applied":
        """What a cluster begins with that was not there before."""
        return cls(
            node_count=nodes_of(cluster),
            workload_identity=cluster.workload_identity,
            key_generation=cluster.key_generation,
        )


@dataclass(frozen=True, slots=True)
class Start:
    def __str__(self) -> str:
        return "start"


@dataclass(frozen=True, slots=True)
class Stop:
    def __str__(self) -> str:
        return "stop"


@dataclass(frozen=True, slots=True)
class Remove:
    def __str__(self) -> str:
        return "remove"


@dataclass(frozen=True, slots=True)
class Resize:
    nodes: int

    def __str__(self) -> str:
        return f"change to {self.nodes} node{'s' if self.nodes != 1 else ''}"


@dataclass(frozen=True, slots=True)
class UseWebhook:
    wanted: bool

    def __str__(self) -> str:
        return "install the webhook" if self.wanted else "take the webhook away"


@dataclass(frozen=True, slots=True)
class UsePodIdentity:
    profile: Mapping[str, Any] | None

    def __str__(self) -> str:
        if self.profile is None:
            return "take pod identity away"
        count = len(self.profile.get("userAssignedIdentities") or ())
        return f"give pods the identities of {count} {'entry' if count == 1 else 'entries'}"


@dataclass(frozen=True, slots=True)
class Rotate:
    generation: int

    def __str__(self) -> str:
        return f"rotate the keys of tokens ({self.generation})"


@dataclass(frozen=True, slots=True)
class Withdraw:
    def __str__(self) -> str:
        return "withdraw the older key of tokens"


Action = Start | Stop | Remove | Resize | UseWebhook | UsePodIdentity | Rotate | Withdraw


def plan(wanted: HostedCluster, applied: Applied | None, *, runs: bool, now: float) -> list[Action]:
    """The actions, in their order. *applied* is None for a cluster that was never made.

    A number of nodes counts when it is another than last time, so that `podpass lab node` may add one and take it away.
    """
    if wanted.leaving:
        return [Remove()]
    if not wanted.running:
        return [Stop()] if runs else []
    actions: list[Action] = [] if runs else [Start()]
    if applied is None:
        return actions
    # Of a key that was rotated twice nothing is left: its end comes before the new key's beginning.
    rotations = range(applied.key_generation + 1, wanted.key_generation + 1)
    if applied.older_key_until and now >= applied.older_key_until and not rotations:
        actions.append(Withdraw())
    actions += [Rotate(generation) for generation in rotations]
    if applied.workload_identity != wanted.workload_identity:
        actions.append(UseWebhook(wanted.workload_identity))
    if applied.pod_identity != wanted.pod_identity:
        actions.append(UsePodIdentity(wanted.pod_identity))
    if applied.node_count != nodes_of(wanted):
        actions.append(Resize(nodes_of(wanted)))
    return actions


def after(applied: Applied, action: Action, *, now: float) -> Applied:
    """What is kept once *action* has been done."""
    match action:
        case Resize(nodes):
            return replace(applied, node_count=nodes)
        case UseWebhook(wanted):
            return replace(applied, workload_identity=wanted)
        case UsePodIdentity(profile):
            return replace(applied, pod_identity=None if profile is None else dict(profile))
        case Rotate(generation):
            return replace(applied, key_generation=generation, older_key_until=now + OVERLAP_SECONDS, rotating="")
        case Withdraw():
            return replace(applied, older_key_until=0.0)
        case _:
            return applied


def nodes_of(cluster: HostedCluster) -> int:
    """How many nodes the cluster gets."""
    return min(cluster.node_count, MOST_NODES_EACH)
