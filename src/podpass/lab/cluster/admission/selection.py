"""Which webhooks a write is sent to, and which selector kept it from the others.

Each kind is served in one version, so the match policies Equivalent and Exact select the same.
Contract: Kubernetes API surface, section 3.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from podpass.kube import objects, resources, selectors
from podpass.kube.objects import Obj
from podpass.kube.selectors import LabelSelector, Requirement
from podpass.lab.cluster.extension import AdmissionAttributes

NEVER_REVIEWED = frozenset(
    {
        resources.MUTATINGWEBHOOKCONFIGURATIONS,
        resources.VALIDATINGWEBHOOKCONFIGURATIONS,
        resources.VALIDATINGADMISSIONPOLICIES,
        resources.VALIDATINGADMISSIONPOLICYBINDINGS,
    }
)
"""A webhook or policy that could refuse these could lock its owner out."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """The rules and selectors of a webhook, a policy or a policy's binding."""

    rules: tuple[Obj, ...]
    namespace_selector: Obj | None
    object_selector: Obj | None

    @classmethod
    def of_webhook(cls, body: Obj) -> "Matcher":
        return cls(tuple(body.get("rules") or ()), body.get("namespaceSelector"), body.get("objectSelector"))

    @classmethod
    def of_resources(cls, body: Obj) -> "Matcher":
        return cls(tuple(body.get("resourceRules") or ()), body.get("namespaceSelector"), body.get("objectSelector"))


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of one configuration."""

    configuration: str
    mutating: bool
    body: Obj

    @property
    def name(self) -> str:
        return self.body.get("name") or ""

    @property
    def matcher(self) -> Matcher:
        return Matcher.of_webhook(self.body)

    @property
    def conditions(self) -> list[Obj]:
        return self.body.get("matchConditions") or []

    @property
    def ignores_failure(self) -> bool:
        return self.body.get("failurePolicy") == "Ignore"

    @property
    def reinvoked_if_needed(self) -> bool:
        return self.body.get("reinvocationPolicy") == "IfNeeded"

    @property
    def timeout_seconds(self) -> int:
        return int(self.body.get("timeoutSeconds") or 10)


@dataclass(frozen=True, slots=True)
class Selected:
    """The webhook is called."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No rule of the webhook is about this kind and operation."""


@dataclass(frozen=True, slots=True)
class NotSelected:
    """A rule matches, but a selector keeps the webhook from being called."""

    selector: Literal["objectSelector", "namespaceSelector"]
    requirement: Requirement
    """The first that does not hold."""
    found: str | None
    """The label's value on the object, or on its namespace; None where it is missing."""

    @property
    def why(self) -> str:
        owner = "the object" if self.selector == "objectSelector" else "its namespace"
        found = (
            f"has {self.requirement.key}={self.found}"
            if self.found is not None
            else f"has no label {self.requirement.key}"
        )
        return f"{self.selector} wants {self.requirement}, and {owner} {found}"


Selection = Selected | Unmatched | NotSelected


def select(
    matcher: Matcher,
    attributes: AdmissionAttributes,
    obj: Obj | None,
    old: Obj | None,
    namespace_labels: Mapping[str, str],
    *,
    any_rule: bool = False,
) -> Selection:
    """Whether *matcher* is for a write. *namespace_labels* are those of the namespace it happens in.

    *any_rule*: without rules of its own, as a binding that leaves them to its policy.
    """
    resource = attributes.kind.resource
    if resource in NEVER_REVIEWED or not (any_rule or any(rule_matches(rule, attributes) for rule in matcher.rules)):
        return Unmatched()
    if resource.namespaced or resource == resources.NAMESPACES:
        labels = namespace_labels
        if resource == resources.NAMESPACES:
            labels = objects.labels(obj or old or {})
        if (fault := _fault(matcher.namespace_selector, labels)) is not None:
            return NotSelected("namespaceSelector", fault, labels.get(fault.key))
    candidates = [objects.labels(each) for each in (obj, old) if each is not None] or [{}]
    faults = [_fault(matcher.object_selector, labels) for labels in candidates]
    if (fault := faults[0]) is not None and all(each is not None for each in faults):
        return NotSelected("objectSelector", fault, candidates[0].get(fault.key))
    return Selected()


def _fault(selector: Obj | None, labels: Mapping[str, str]) -> Requirement | None:
    """The first requirement that *labels* do not meet. An absent selector matches everything."""
    parsed = (selectors.from_object(selector) if selector else None) or LabelSelector()
    return next((requirement for requirement in parsed.requirements if not requirement.matches(labels)), None)


def rule_matches(rule: Obj, attributes: AdmissionAttributes) -> bool:
    """Whether one rule is about the kind, operation and, where it lists some, the name of a write."""
    resource = attributes.kind.resource
    scope = rule.get("scope") or "*"
    # A Namespace lives in no namespace, so only the cluster's scope holds it.
    if scope != "*" and (scope == "Namespaced") != resource.namespaced:
        return False
    named = rule.get("resourceNames")
    if named and attributes.name not in named:
        return False
    return (
        _listed(rule, "operations", attributes.operation)
        and _listed(rule, "apiGroups", resource.group)
        and _listed(rule, "apiVersions", resource.version)
        and any(
            _resource_matches(pattern, resource.plural, attributes.subresource)
            for pattern in rule.get("resources") or ()
        )
    )


def _listed(rule: Obj, member: str, value: str) -> bool:
    values = rule.get(member) or ()
    return "*" in values or value in values


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    wanted, _, wanted_subresource = pattern.partition("/")
    if wanted not in ("*", plural):
        return False
    return wanted_subresource in ("*", subresource)
