"""Validating admission policies: which are for a write, what they say of it, and in which words it is refused.

Contract: Kubernetes API surface, section 3.2.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.kube import objects, resources, selectors
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, StatusError
from podpass.lab.cluster.admission.conditions import (
    AUTHORIZER,
    OBJECTS,
    PARAMS,
    Situation,
    Unclear,
    Unmet,
    Variables,
    evaluated,
    unmet,
)
from podpass.lab.cluster.admission.selection import Matcher, Selected, rule_matches, select
from podpass.lab.cluster.expressions.engine import Expression, Failed, NotCompiled, compiled
from podpass.lab.cluster.extension import AdmissionAttributes, Objects
from podpass.lab.cluster.registry import Kind

MAX_MESSAGE_BYTES = 5 * 1024
MAX_AUDIT_BYTES = 10 * 1024

FindKind = Callable[[str, str], Kind | None]
"""apiVersion and kind to what serves it."""

_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_VARIABLE = re.compile(r"\bvariables\s*\.\s*([_a-zA-Z][_a-zA-Z0-9]*)", re.ASCII)
_KEPT_TYPES = re.compile(r"(?:bool|int|uint|double|string|bytes|timestamp|duration|dyn|list|map|[<>, ])+")


@dataclass(frozen=True, slots=True)
class Said:
    """One thing a policy says against a write."""

    policy: str
    binding: str
    message: str
    reason: str = ""
    actions: tuple[str, ...] = ("Deny",)

    @property
    def text(self) -> str:
        bound = f" with binding '{self.binding}'" if self.binding else ""
        return f"ValidatingAdmissionPolicy '{self.policy}'{bound} denied request: {self.message}"


@dataclass(slots=True)
class Verdict:
    """All that the policies of a cluster say of one write."""

    said: list[Said] = field(default_factory=list)
    audit: dict[str, str] = field(default_factory=dict)

    def warnings(self) -> Iterator[str]:
        for each in self.said:
            if "Warn" in each.actions:
                yield (
                    f"Validation failed for ValidatingAdmissionPolicy '{each.policy}' with binding '{each.binding}':"
                    f" {each.message}"
                )

    def refusal(self, attributes: AdmissionAttributes) -> StatusError | None:
        """The error of the first that denies."""
        denying = next((each for each in self.said if "Deny" in each.actions), None)
        if denying is None:
            return None
        found = StatusError.forbidden(
            attributes.kind.resource, attributes.name, denying.text, causes=[Cause("", denying.text)]
        )
        found.reason = denying.reason or "Invalid"
        found.code = _CODES.get(found.reason, 422)
        return found


@dataclass(frozen=True, slots=True)
class Text:
    """An expression of a policy, as it is written and compiled."""

    body: Obj
    expression: Expression | NotCompiled
    message: Expression | NotCompiled | None = None


class Policy:
    """One policy, its expressions compiled."""

    def __init__(self, body: Obj) -> None:
        self.body = body
        self.name = objects.name(body)
        self.spec = objects.spec(body)
        self.has_params = self.spec.get("paramKind") is not None
        self.ignores_failure = self.spec.get("failurePolicy") == "Ignore"
        self.constraints = Matcher.of_resources(self.spec.get("matchConstraints") or {})
        variables: dict[str, str] = {**OBJECTS, **AUTHORIZER, **(PARAMS if self.has_params else {})}
        self.variables: dict[str, Text] = {}
        for each in self.spec.get("variables") or ():
            found = compiled(str(each.get("expression") or ""), variables)
            self.variables[str(each.get("name") or "")] = Text(each, found)
            variables[f"variables.{each.get('name')}"] = _declared(found)
        self.validations = [
            Text(
                each,
                compiled(str(each.get("expression") or ""), variables, ("bool",)),
                _message(each, variables),
            )
            for each in self.spec.get("validations") or ()
        ]
        self.audit = [
            Text(each, compiled(str(each.get("valueExpression") or "").strip(), variables, ("string", "null")))
            for each in self.spec.get("auditAnnotations") or ()
        ]


def _message(validation: Obj, variables: Variables) -> Expression | NotCompiled | None:
    text = str(validation.get("messageExpression") or "")
    if not text.strip():
        return None
    return compiled(text, {name: kind for name, kind in variables.items() if name not in AUTHORIZER}, ("string",))


def _declared(found: Expression | NotCompiled) -> str:
    """The type a variable is declared with; what the engine can't be told again is dynamic."""
    kind = found.result.replace("(", "<").replace(")", ">") if isinstance(found, Expression) else "dyn"
    return kind if _KEPT_TYPES.fullmatch(kind) else "dyn"


def _with_variables(
    policy: Policy, text: str, values: Mapping[str, Any], known: dict[str, Any | Failed]
) -> tuple[dict[str, Any], Failed | None]:
    """*values* and those variables that *text* names, each evaluated once; and why one of them has no value."""
    found, fault = dict(values), None
    for name in dict.fromkeys(_VARIABLE.findall(text)):
        if name not in policy.variables:
            continue
        if name not in known:
            variable = policy.variables[name]
            below, broken = _with_variables(policy, str(variable.body.get("expression") or ""), values, known)
            value = evaluated(variable.expression, below)
            if isinstance(value, Failed) and broken is not None:
                value = broken
            known[name] = bytes(value) if isinstance(value, bytearray) else value
        value = known[name]
        if isinstance(value, Failed):
            why = value.why.partition("resulted in error: ")[2] or value.why
            fault = Failed(f'composited variable "{name}" fails to evaluate: {why}')
        else:
            found[f"variables.{name}"] = value
    return found, fault


class Policies:
    """Holds every write against the policies that are bound to it."""

    def __init__(self, cluster: Objects, find_kind: FindKind) -> None:
        self._objects = cluster
        self._find_kind = find_kind
        self._version = (-1, -1)
        self._bound: list[tuple[Policy, list[Obj]]] = []

    def bound(self) -> list[tuple[Policy, list[Obj]]]:
        """Every policy that has bindings, by name."""
        version = (
            self._objects.version(resources.VALIDATINGADMISSIONPOLICIES),
            self._objects.version(resources.VALIDATINGADMISSIONPOLICYBINDINGS),
        )
        if version != self._version:
            bindings: dict[str, list[Obj]] = {}
            for binding in self._objects.list(resources.VALIDATINGADMISSIONPOLICYBINDINGS):
                bindings.setdefault(str(objects.spec(binding).get("policyName") or ""), []).append(binding)
            self._bound = [
                (Policy(body), bindings[objects.name(body)])
                for body in self._objects.list(resources.VALIDATINGADMISSIONPOLICIES)
                if objects.name(body) in bindings
            ]
            self._version = version
        return self._bound

    def judge(
        self,
        attributes: AdmissionAttributes,
        obj: Obj | None,
        old: Obj | None,
        namespace: Obj | None,
        situation: Situation,
    ) -> Verdict:
        verdict = Verdict()
        labels = objects.labels(namespace or {})
        for policy, bindings in self.bound():
            if not _is_for(policy.constraints, policy.spec.get("matchConstraints") or {}, attributes, obj, old, labels):
                continue
            for binding in bindings:
                narrower = objects.spec(binding).get("matchResources")
                if narrower and not _is_for(
                    Matcher.of_resources(narrower), narrower, attributes, obj, old, labels, any_rule=True
                ):
                    continue
                self._judge(policy, binding, attributes, situation, verdict)
        return verdict

    def _judge(
        self, policy: Policy, binding: Obj, attributes: AdmissionAttributes, situation: Situation, verdict: Verdict
    ) -> None:
        name = objects.name(binding)
        actions = tuple(objects.spec(binding).get("validationActions") or ())
        found = self._parameters(policy, binding, attributes.namespace)
        if isinstance(found, str):
            if not policy.ignores_failure:
                verdict.said.append(Said(policy.name, name, f"failed to configure binding: {found}"))
            return
        for params in found:
            values = {**situation.values, **({"params": params} if policy.has_params else {})}
            conditions = policy.spec.get("matchConditions") or ()
            match unmet(conditions, situation, values) if conditions else None:
                case Unmet():
                    continue
                case Unclear(why):
                    if not policy.ignores_failure:
                        verdict.said.append(Said(policy.name, name, why, actions=actions))
                    continue
            with situation.asking():
                verdict.said.extend(_validated(policy, name, actions, values))
                for key, value in _audited(policy, values):
                    kept = verdict.audit.get(key)
                    verdict.audit[key] = value if kept is None or kept == value else f"{kept}, {value}"

    def _parameters(self, policy: Policy, binding: Obj, namespace: str) -> list[Obj | None] | str:
        """The parameter objects of a binding, None for none wanted; or why they can't be had."""
        wanted, reference = policy.spec.get("paramKind"), objects.spec(binding).get("paramRef")
        if wanted is None or reference is None:
            return [None]
        kind = self._find_kind(str(wanted.get("apiVersion") or ""), str(wanted.get("kind") or ""))
        if kind is None:
            return f"paramKind kind `{wanted.get('apiVersion')}, Kind={wanted.get('kind')}` not known"
        place = reference.get("namespace") or ""
        if kind.resource.namespaced:
            place = place or namespace
            if not place:
                return "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        elif place:
            return "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
        found: list[Obj | None]
        if reference.get("name"):
            one = self._objects.find(kind.resource, reference["name"], place)
            found = [] if one is None else [one]
        else:
            selector = selectors.from_object(reference.get("selector")) or selectors.EVERYTHING
            found = [
                each for each in self._objects.list(kind.resource, place) if selector.matches(objects.labels(each))
            ]
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            return "no params found for policy binding with `Deny` parameterNotFoundAction"
        return found


def _is_for(
    matcher: Matcher,
    body: Obj,
    attributes: AdmissionAttributes,
    obj: Obj | None,
    old: Obj | None,
    labels: Mapping[str, str],
    *,
    any_rule: bool = False,
) -> bool:
    if any(rule_matches(rule, attributes) for rule in body.get("excludeResourceRules") or ()):
        return False
    found = select(matcher, attributes, obj, old, labels, any_rule=any_rule and not matcher.rules)
    return isinstance(found, Selected)


def _validated(policy: Policy, binding: str, actions: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[Said]:
    known: dict[str, Any | Failed] = {}
    for each in policy.validations:
        text = str(each.body.get("expression") or "")
        given, broken = _with_variables(policy, text, values, known)
        found = evaluated(each.expression, given)
        if isinstance(found, Failed):
            if not policy.ignores_failure:
                why = f"expression '{text}' resulted in error: {broken.why}" if broken else found.why
                yield Said(policy.name, binding, why, actions=actions)
            if found.over_budget:
                return
        elif found is not True:
            message = _worded(policy, each, values, known)
            yield Said(policy.name, binding, message, str(each.body.get("reason") or "Invalid"), actions)


def _worded(policy: Policy, validation: Text, values: Mapping[str, Any], known: dict[str, Any | Failed]) -> str:
    """The message of a validation that is false: the expression's, the fixed one, or the expression itself."""
    if validation.message is not None:
        text = str(validation.body.get("messageExpression") or "")
        found = evaluated(validation.message, _with_variables(policy, text, values, known)[0])
        if isinstance(found, str):
            found = found.strip()
            if found and "\n" not in found and len(found.encode()) <= MAX_MESSAGE_BYTES:
                return found
    if fixed := str(validation.body.get("message") or "").strip():
        return fixed
    return f"failed expression: {str(validation.body.get('expression') or '').strip()}"


def _audited(policy: Policy, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    known: dict[str, Any | Failed] = {}
    for each in policy.audit:
        text = str(each.body.get("valueExpression") or "")
        found = evaluated(each.expression, _with_variables(policy, text, values, known)[0])
        if isinstance(found, str) and found.strip():
            yield f"{policy.name}/{each.body.get('key')}", found.strip()[:MAX_AUDIT_BYTES]
