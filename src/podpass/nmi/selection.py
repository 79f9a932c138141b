"""Which identity a pod gets: what its bindings give it and its request names.

Among several the first counts by the binding's namespace and name, then by the identity's.
Contract: pod identity, sections 2.3, 3.5 and 9 (4 to 6, 9).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from podpass.azure.resourceids import same_resource_id
from podpass.nmi.requests import Asked
from podpass.podidentity.objects import AssignedIdentity, Binding, PodIdentity

Reason = Literal["no-label", "no-binding", "no-identity", "not-named", "not-created", "not-assigned", "other-namespace"]


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that asks, as far as it counts."""

    namespace: str
    name: str
    binding_label: str
    """The value of its label; empty when it has none."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The identity, and by which binding (namespace and name) the pod has it."""

    identity: PodIdentity
    binding: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The identities among which the one with the object id may be, in the order in which they count."""

    identities: tuple[PodIdentity, ...]


@dataclass(frozen=True, slots=True)
class NotSelected:
    """No identity: *reason* for programs, *why* for people. *may_come*: MIC may still be at work."""

    reason: Reason
    why: str
    may_come: bool = False


Identities = Callable[[str, str], PodIdentity | None]
"""The usable identity of a namespace and name."""


def select_bound(
    pod: Pod, asked: Asked, bindings: Iterable[Binding], identities: Identities
) -> Selected | Candidates | NotSelected:
    """Managed mode: by the bindings and identities of the pod's own namespace."""
    where = f"{pod.namespace}/{pod.name}"
    if not pod.binding_label:
        return NotSelected("no-label", f"{where} has no label aadpodidbinding")
    matching = sorted(
        (each for each in bindings if each.namespace == pod.namespace and each.selector == pod.binding_label),
        key=lambda each: (each.namespace, each.name, each.identity),
    )
    if not matching:
        return NotSelected(
            "no-binding", f"no AzureIdentityBinding in {pod.namespace} selects aadpodidbinding={pod.binding_label}"
        )
    found = [
        Selected(identity, (each.namespace, each.name))
        for each in matching
        if (identity := identities(each.namespace, each.identity)) is not None
    ]
    if not found:
        names = ", ".join(sorted({each.identity or "(none)" for each in matching}))
        return NotSelected("no-identity", f"no usable AzureIdentity {names} in {pod.namespace}")
    return _first(found, asked, where)


def select_assigned(
    pod: Pod, asked: Asked, assigned: Iterable[AssignedIdentity], *, forced_namespaced: bool
) -> Selected | Candidates | NotSelected:
    """Standard mode: by what MIC assigned to the pod. *assigned* may hold other pods' objects.

    What was assigned to a former pod of the name counts only if its binding selects this one too.
    """
    where = f"{pod.namespace}/{pod.name}"
    own = [
        each
        for each in assigned
        if each.pod == (pod.namespace, pod.name)
        and each.status != "Unassigned"
        and pod.binding_label
        and each.selector == pod.binding_label
    ]
    wanted = [each for each in own if not asked.names_identity or _is_named(each.identity, asked)]
    if not wanted:
        return NotSelected("not-created", f"no AzureAssignedIdentity for {where}{_named(asked)}", may_come=True)
    ready = [each for each in wanted if each.status == "Assigned"]
    if not ready:
        return NotSelected("not-assigned", f"the identity of {where}{_named(asked)} is being assigned", may_come=True)
    allowed = [
        each
        for each in ready
        if not (forced_namespaced or each.identity.is_namespaced) or each.identity.namespace == pod.namespace
    ]
    if not allowed:
        return NotSelected("other-namespace", f"the identities of {where} are of other namespaces")
    allowed.sort(key=lambda each: (*each.binding, each.identity.name))
    return _first([Selected(each.identity, each.binding) for each in allowed], asked, where)


def _first(found: list[Selected], asked: Asked, where: str) -> Selected | Candidates | NotSelected:
    if asked.object_id:
        return Candidates(tuple(each.identity for each in found))
    for each in found:
        if not asked.names_identity or _is_named(each.identity, asked):
            return each
    return NotSelected("not-named", not_named(asked, where))


def not_named(asked: Asked, where: str) -> str:
    """Why the pod gets none, though it has identities."""
    return f"no azure identity found for request{_named(asked)}; {where} has others"


def _is_named(identity: PodIdentity, asked: Asked) -> bool:
    if asked.client_id:
        return identity.client_id.lower() == asked.client_id.lower()
    return same_resource_id(identity.resource_id, asked.resource_id)


def _named(asked: Asked) -> str:
    if asked.client_id:
        return f" clientID {redacted(asked.client_id)}"
    if asked.object_id:
        return f" objectID {redacted(asked.object_id)}"
    return f" resourceID {redacted(asked.resource_id)}" if asked.resource_id else ""


def redacted(identifier: str) -> str:
    """An id as NMI's log lines and answers show it. Contract: section 3.11."""
    return f"{identifier[:4]}##### REDACTED #####{identifier[-4:]}" if len(identifier) >= 8 else identifier
