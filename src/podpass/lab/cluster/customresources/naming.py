"""Which names a definition gets: those that no other one of its group has. Pure decisions.

Contract: Kubernetes API surface, section 5.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource

NAMES_ACCEPTED, ESTABLISHED, TERMINATING = "NamesAccepted", "Established", "Terminating"
APPROVAL = "KubernetesAPIApprovalPolicyConformant"
APPROVED_ANNOTATION = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")


@dataclass(frozen=True, slots=True)
class Condition:
    """One of a definition's conditions, without its time."""

    type: str
    status: str
    reason: str
    message: str

    def same_as(self, found: Obj | None) -> bool:
        return found is not None and all(
            found.get(name) == value
            for name, value in (("status", self.status), ("reason", self.reason), ("message", self.message))
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """The names of a group that others have."""

    resources: frozenset[str]
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a definition's status is to say of its names."""

    accepted: Obj
    conditions: tuple[Condition, ...]


def taken(others: Iterable[Obj]) -> Taken:
    """The names that *others*, definitions of the same group, were given."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        accepted = objects.status(other).get("acceptedNames") or {}
        resources.update(filter(None, (accepted.get("plural"), accepted.get("singular"))))
        resources.update(accepted.get("shortNames") or ())
        kinds.update(filter(None, (accepted.get("kind"), accepted.get("listKind"))))
    return Taken(frozenset(resources), frozenset(kinds))


def of_resource(resource: Resource) -> Obj:
    """A built-in resource as a definition that has its names."""
    names: Obj = {"plural": resource.plural, "singular": resource.singular_name, "kind": resource.kind}
    names |= {"listKind": resource.list_kind, "shortNames": list(resource.short_names)}
    return {"status": {"acceptedNames": names}}


def settle(definition: Obj, used: Taken) -> Settled:
    """The names of *definition* that are free, and whether those are all that it asks for."""
    wanted = objects.spec(definition).get("names") or {}
    accepted: Obj = dict(objects.status(definition).get("acceptedNames") or {})
    refusal: Condition | None = None
    for member, reason, names in (
        ("plural", "PluralConflict", used.resources),
        ("singular", "SingularConflict", used.resources),
        ("shortNames", "ShortNamesConflict", used.resources),
        ("kind", "KindConflict", used.kinds),
        ("listKind", "ListKindConflict", used.kinds),
    ):
        conflicts = list(_conflicts(wanted.get(member), accepted.get(member), names))
        if conflicts:
            said = [f'"{name}" is already in use' for name in conflicts]
            text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
            refusal = Condition(NAMES_ACCEPTED, "False", reason, text)
        elif wanted.get(member):
            accepted[member] = wanted[member]
        else:
            accepted.pop(member, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    established = _established(definition, accepted=refusal is None)
    names_condition = refusal or Condition(NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")
    return Settled(accepted, (*_approval(definition), names_condition, established))


def _conflicts(
    wanted: str | list[str] | None, accepted: str | list[str] | None, names: frozenset[str]
) -> Iterator[str]:
    own = accepted if isinstance(accepted, list) else [accepted]
    for name in wanted if isinstance(wanted, list) else [wanted]:
        if name and name not in own and name in names:
            yield name


def _established(definition: Obj, *, accepted: bool) -> Condition:
    before = condition(definition, ESTABLISHED)
    if before is not None and before.get("status") == "True":
        return Condition(ESTABLISHED, "True", before.get("reason") or "", before.get("message") or "")
    if accepted:
        return Condition(ESTABLISHED, "True", "InitialNamesAccepted", "the initial names have been accepted")
    return Condition(ESTABLISHED, "False", "NotAccepted", "not all names are accepted")


def condition(definition: Obj, name: str) -> Obj | None:
    found = objects.status(definition).get("conditions") or ()
    return next((each for each in found if each.get("type") == name), None)


def is_true(definition: Obj, name: str) -> bool:
    found = condition(definition, name)
    return found is not None and found.get("status") == "True"


def with_conditions(status: Obj, conditions: Iterable[Condition], now: str) -> Obj:
    """*status* with these conditions; one that did not change its value keeps its time."""
    found = [dict(each) for each in status.get("conditions") or ()]
    for each in conditions:
        entry = next((old for old in found if old.get("type") == each.type), None)
        if entry is None:
            entry = {"type": each.type}
            found.append(entry)
        if entry.get("status") != each.status:
            entry["lastTransitionTime"] = now
        entry |= {"status": each.status, "reason": each.reason, "message": each.message}
    return {**status, "conditions": found}


# Groups of Kubernetes itself


def is_protected(group: str) -> bool:
    return any(group == each or group.endswith(f".{each}") for each in _PROTECTED)


def approval(definition: Obj) -> tuple[str, str]:
    """How the annotation that protected groups need stands, and what is to be said: approved, unapproved, …"""
    value = objects.annotations(definition).get(APPROVED_ANNOTATION) or ""
    if not value:
        return "missing", (
            f'protected groups must have approval annotation "{APPROVED_ANNOTATION}",'
            " see https://github.com/kubernetes/enhancements/pull/1111"
        )
    if value.startswith("unapproved"):
        return "unapproved", f'not approved: "{value}"'
    scheme, separator, rest = value.partition("://")
    if separator and scheme and rest.partition("/")[0]:
        return "approved", f"approved in {value}"
    return "invalid", (
        f'protected groups must have approval annotation "{APPROVED_ANNOTATION}" with either a URL or a reason starting'
        ' with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111'
    )


def _approval(definition: Obj) -> Iterator[Condition]:
    if not is_protected(objects.spec(definition).get("group") or ""):
        return
    state, message = approval(definition)
    reason = {
        "approved": "ApprovedAnnotation",
        "unapproved": "UnapprovedAnnotation",
        "missing": "MissingAnnotation",
        "invalid": "InvalidAnnotation",
    }[state]
    yield Condition(APPROVAL, "True" if state == "approved" else "False", reason, message)
