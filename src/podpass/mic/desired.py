"""Which identities a pod is to have.

Contract: pod identity, sections 1.3, 2.2, 2.3 and 9 (16, 23).
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from podpass.podidentity.objects import Binding, PodIdentity, Unusable
from podpass.podidentity.resources import BINDING_LABEL

DEFAULT_NAMESPACE = "default"
MAX_NAME = 253
_ENDED = ("Succeeded", "Failed")

PodKey = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as far as it counts."""

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    """Empty before it is scheduled."""
    phase: str = ""
    binding_label: str = ""

    @property
    def key(self) -> PodKey:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One identity that one pod is to have, by one binding, on the pod's node."""

    name: str
    namespace: str
    """Where its AzureAssignedIdentity lies."""
    pod: Pod
    binding: Binding
    identity: PodIdentity

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings decide."""

    forced_namespaced: bool = False
    keep_for_ended_pods: bool = False
    """Whether a pod that has ended keeps its identities until it is deleted, as in the original."""


def label_of(labels: Mapping[str, str]) -> str:
    return labels.get(BINDING_LABEL, "")


def desired(
    pod: Pod,
    bindings: Iterable[Binding],
    identity: Callable[[str, str], PodIdentity | Unusable | None],
    rules: Rules,
) -> list[Wanted]:
    """What *pod* is to have, by those of *bindings* that select it; of two for one identity the first counts."""
    if not pod.binding_label or not pod.node:
        return []
    if pod.phase in _ENDED and not rules.keep_for_ended_pods:
        return []
    found: dict[tuple[str, str], Wanted] = {}
    for binding in sorted(bindings, key=lambda each: (each.namespace, each.name)):
        if binding.selector != pod.binding_label:
            continue
        granted = identity(binding.namespace, binding.identity)
        if granted is None or isinstance(granted, Unusable):
            continue
        kept_within = rules.forced_namespaced or granted.is_namespaced
        if kept_within and pod.namespace != binding.namespace:
            continue
        wanted = Wanted(
            name=object_name(pod, granted),
            namespace=granted.namespace if kept_within else DEFAULT_NAMESPACE,
            pod=pod,
            binding=binding,
            identity=granted,
        )
        present = found.get(wanted.key)
        if present is not None and present.identity.key != granted.key:
            # Identities of one name in two namespaces: the second one's object needs a name of its own.
            wanted = renamed(wanted)
        found.setdefault(wanted.key, wanted)
    return list(found.values())


def object_name(pod: Pod, identity: PodIdentity) -> str:
    """The name of the object. Its parts are joined by what they may hold themselves, so it may belong to another."""
    name = f"{pod.name}-{pod.namespace}-{identity.name}"
    return name if len(name) <= MAX_NAME else _hashed(name, pod, identity)


def renamed(wanted: Wanted) -> Wanted:
    """The same under a name that is its alone, as the plain one is another's."""
    name = f"{wanted.pod.name}-{wanted.pod.namespace}-{wanted.identity.name}"
    return replace(wanted, name=_hashed(name, wanted.pod, wanted.identity))


def _hashed(name: str, pod: Pod, identity: PodIdentity) -> str:
    facts = "\0".join((pod.namespace, pod.name, identity.namespace, identity.name))
    digest = hashlib.sha256(facts.encode()).hexdigest()[:10]
    return f"{name[: MAX_NAME - 11].rstrip('-.')}-{digest}"
