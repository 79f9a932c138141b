"""What the LimitRanges of a namespace make of a pod: defaults for its containers, and a refusal of what is beyond them.

Contract: Kubernetes API surface, section 3.1.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.quantity import parse_quantity
from podpass.kube.status import StatusError

ANNOTATION = "kubernetes.io/limit-ranger"


def with_limits(pod: Obj, ranges: Sequence[Obj]) -> Obj:
    """The pod with the defaults of the container limits, and an annotation that says what was set."""
    items = [item for each in ranges for item in objects.spec(each).get("limits") or () if _is_container(item)]
    if not items:
        return pod
    spec = dict(objects.spec(pod))
    said: list[str] = []
    for member in ("initContainers", "containers"):
        if spec.get(member):
            word = "init container" if member == "initContainers" else "container"
            spec[member] = [_defaulted(container, word, items, said) for container in spec[member]]
    if not said:
        return pod
    meta = dict(pod["metadata"])
    meta["annotations"] = {**(meta.get("annotations") or {}), ANNOTATION: f"LimitRanger plugin set: {'; '.join(said)}"}
    # Its quality of service is another one now; defaulting works it out anew.
    status = {name: value for name, value in objects.status(pod).items() if name != "qosClass"}
    return {**pod, "metadata": meta, "spec": spec, "status": status}


def _is_container(item: Obj) -> bool:
    return item.get("type") == "Container"


def _defaulted(container: Obj, word: str, items: Sequence[Obj], said: list[str]) -> Obj:
    wanted = dict(container.get("resources") or {})
    for member, source in (("requests", "defaultRequest"), ("limits", "default")):
        amounts, added = dict(wanted.get(member) or {}), []
        for item in items:
            for name, value in (item.get(source) or {}).items():
                # A limit that was given is the request too, unless one was.
                own = (wanted.get("limits") or {}).get(name) if member == "requests" else None
                if name not in amounts and own is None:
                    amounts[name] = value
                    added.append(name)
        if added:
            wanted[member] = amounts
            said.append(f"{', '.join(sorted(added))} {member[:-1]} for {word} {container.get('name')}")
    return {**container, "resources": wanted} if wanted else container


def refusal(pod: Obj, name: str, ranges: Sequence[Obj]) -> StatusError | None:
    """403 for a pod that asks for less or more than its namespace allows."""
    faults = list(dict.fromkeys(_faults(pod, ranges)))
    if not faults:
        return None
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return StatusError.forbidden(resources.PODS, name, text)


def _faults(pod: Obj, ranges: Sequence[Obj]) -> Iterator[str]:
    spec = objects.spec(pod)
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    for item in (item for each in ranges for item in objects.spec(each).get("limits") or ()):
        if item.get("type") == "Container":
            for container in containers:
                wanted = container.get("resources") or {}
                yield from _outside(item, wanted.get("requests") or {}, wanted.get("limits") or {}, "Container")
        elif item.get("type") == "Pod":
            yield from _outside(item, _sum(spec, "requests"), _sum(spec, "limits"), "Pod")


def _sum(spec: Obj, member: str) -> dict[str, str]:
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get(member) or {}).items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(value)
    return {name: format(value, "f") for name, value in total.items()}


def _outside(item: Obj, requests: Obj, limits: Obj, what: str) -> Iterator[str]:
    for name, least in (item.get("min") or {}).items():
        if name not in requests:
            yield f"minimum {name} usage per {what} is {least}.  No request is specified"
        elif parse_quantity(requests[name]) < parse_quantity(least):
            yield f"minimum {name} usage per {what} is {least}, but request is {requests[name]}"
    for name, most in (item.get("max") or {}).items():
        if name not in limits:
            yield f"maximum {name} usage per {what} is {most}.  No limit is specified"
        elif parse_quantity(limits[name]) > parse_quantity(most):
            yield f"maximum {name} usage per {what} is {most}, but limit is {limits[name]}"
