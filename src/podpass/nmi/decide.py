"""What a pod's request leads to, from the copies as they are now: an identity, a refusal, or a wait for a change.

Contract: pod identity, sections 3.4 to 3.6 and 9.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from podpass.nmi.requests import Asked
from podpass.nmi.selection import (
    Candidates,
    NotSelected,
    Pod,
    Selected,
    not_named,
    redacted,
    select_assigned,
    select_bound,
)
from podpass.nmi.settings import Mode, Settings
from podpass.podidentity.exceptions import excepting
from podpass.podidentity.objects import AssignedIdentity, Binding, PodException, PodIdentity

POD_SECONDS = 1.2
"""How long a pod's address may take to be known here after its first request."""


class KnownPod(Protocol):
    """A pod of this node."""

    @property
    def pod(self) -> Pod: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


class Known(Protocol):
    """The copies of the cluster's objects."""

    def pods_at(self, address: str) -> Sequence[KnownPod]: ...
    def exceptions(self, namespace: str) -> Iterable[PodException]: ...
    def bindings(self, namespace: str) -> Iterable[Binding]: ...
    def identity(self, namespace: str, name: str) -> PodIdentity | None: ...
    def assigned(self, pod: Pod) -> Iterable[AssignedIdentity]: ...


@dataclass(frozen=True, slots=True)
class Granted:
    """The pod may have a token of *identity*; of what the metadata service chooses where that is None."""

    pod: Pod
    identity: PodIdentity | None
    why: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The pod may have a token of that of *identities* whose object id it named; *otherwise*, when it is none's."""

    pod: Pod
    identities: tuple[PodIdentity, ...]
    otherwise: "Denied"


@dataclass(frozen=True, slots=True)
class Denied:
    """No token. *pod* is known unless that is what went wrong; *retry*: asking again later may help."""

    status: int
    why: str
    pod: Pod | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """No token yet: a change within *seconds* of the request may bring it; if none does, *otherwise* is the answer."""

    seconds: float
    otherwise: Denied


Decision = Granted | OneOf | Denied | Waiting


def decide(address: str, asked: Asked, known: Known, settings: Settings) -> Decision:
    """For a request from *address*. Nothing that the request says of itself but *asked* counts."""
    if not address:
        return Denied(500, "request remote address is empty")
    found = known.pods_at(address)
    if not found:
        return Waiting(POD_SECONDS, Denied(500, "pod list is empty"))
    if len(found) > 1:
        names = " ".join(sorted(f"{each.pod.namespace}/{each.pod.name}" for each in found))
        return Denied(500, f"failed to match pod IP {address} with [{names}]")
    return decide_for_known(found[0], asked, known, settings)


def decide_for_known(seen: KnownPod, asked: Asked, known: Known, settings: Settings) -> Decision:
    """For a request of a pod that is known for sure."""
    pod = seen.pod
    exception = excepting(pod.namespace, seen.labels, known.exceptions(pod.namespace))
    if exception is not None:
        return Granted(pod, None, f"excepted by {exception.namespace}/{exception.name}")
    return decide_for(pod, asked, known, settings)


def decide_for(pod: Pod, asked: Asked, known: Known, settings: Settings) -> Decision:
    """By what bindings give the pod, whatever exceptions say."""
    if settings.mode is Mode.MANAGED:
        selected = select_bound(pod, asked, known.bindings(pod.namespace), known.identity)
    else:
        selected = select_assigned(pod, asked, known.assigned(pod), forced_namespaced=settings.forced_namespaced)
    if isinstance(selected, Selected):
        return Granted(pod, selected.identity, _matched(selected, asked))
    if isinstance(selected, Candidates):
        return OneOf(pod, selected.identities, Denied(404, not_named(asked, f"{pod.namespace}/{pod.name}"), pod))
    if not selected.may_come:
        return Denied(404, selected.why, pod, retry=selected.reason != "not-named")
    seconds = settings.created_seconds + (settings.assigned_seconds if selected.reason == "not-assigned" else 0.0)
    return Waiting(seconds, Denied(404, _not_in_time(pod, asked, selected, settings), pod, retry=True))


@lru_cache(maxsize=512)
def peer_address(peer: str) -> str:
    """The peer's address in the form that pods' addresses have; empty when it is none."""
    try:
        found = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def _matched(selected: Selected, asked: Asked) -> str:
    identity = f"{selected.identity.namespace}/{selected.identity.name}"
    if asked.client_id:
        return f"clientID in request: {redacted(asked.client_id)}, matched with azure identity {identity}"
    return f"matched with azure identity {identity} by {'/'.join(selected.binding)}"


def _not_in_time(pod: Pod, asked: Asked, found: NotSelected, settings: Settings) -> str:
    created = settings.created_attempts
    state, attempts = "CREATED", created
    if found.reason == "not-assigned":
        state, attempts = "ASSIGNED", created + settings.assigned_attempts
    named = f"clientID in request: {redacted(asked.client_id)}, " if asked.client_id else ""
    return (
        f"{named}getting assigned identities for pod {pod.namespace}/{pod.name} in {state} state failed after "
        f"{attempts} attempts, retry duration [{settings.retry_interval_seconds:g}]s, error: <nil>. "
        "Check MIC pod logs for identity assignment errors"
    )
