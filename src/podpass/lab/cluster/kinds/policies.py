"""Validating admission policies and their bindings.

A policy's `status.observedGeneration` follows its generation. Its `typeChecking` is not filled: expressions are checked
against dynamic objects, not against the schemas of the kinds a policy matches.
Contract: Kubernetes API surface, section 3.2.
"""

import re
from collections.abc import Iterator

from podpass.kube import names, objects, resources, selectors
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, duplicate, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.admission.conditions import condition_causes, is_identifier
from podpass.lab.cluster.admission.policies import Policy
from podpass.lab.cluster.expressions.engine import Expression, NotCompiled
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.webhooks import rule_causes, selector_causes
from podpass.lab.cluster.registry import Column, Kind, spec_changed
from podpass.lab.cluster.tables import AGE, NAME

MAX_AUDIT_ANNOTATIONS = 20
MAX_VALUE_EXPRESSION_BYTES = 5 * 1024
ACTIONS = ("Audit", "Deny", "Warn")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")

_LINE_BREAKS = re.compile(r"[\n\r]")


def _default_resources(body: Obj | None) -> None:
    if not isinstance(body, dict):
        return
    body["matchPolicy"] = body.get("matchPolicy") or "Equivalent"
    body.setdefault("namespaceSelector", {})
    body.setdefault("objectSelector", {})
    for member in ("resourceRules", "excludeResourceRules"):
        for rule in body.get(member) or ():
            rule["scope"] = rule.get("scope") or "*"


def _default_policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec["failurePolicy"] = spec.get("failurePolicy") or "Fail"
    _default_resources(spec.get("matchConstraints"))
    # Filled by a controller of its own in a real cluster; every policy that is stored has been compiled.
    obj.setdefault("status", {"observedGeneration": 1})


def _observe(new: Obj, old: Obj) -> None:
    """The generation that this update makes is observed at once."""
    _default_policy(new)
    generation = int(objects.metadata(old).get("generation") or 0) + spec_changed(new, old)
    new["status"] = {**(new.get("status") or {}), "observedGeneration": generation}


def _default_binding(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _default_resources(spec.get("matchResources"))


def _policy_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    yield from rules.one_of("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    if spec.get("paramKind") is not None:
        yield from _param_kind_causes(spec["paramKind"], "spec.paramKind")
    if spec.get("matchConstraints") is None:
        yield required("spec.matchConstraints")
    else:
        yield from _resources_causes(spec["matchConstraints"], "spec.matchConstraints")
        if not spec["matchConstraints"].get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
    has_params = spec.get("paramKind") is not None
    yield from condition_causes(spec.get("matchConditions") or (), "spec.matchConditions", params=has_params)
    policy = Policy(obj)
    yield from _variable_causes(policy)
    if not policy.validations and not policy.audit:
        text = "validations or auditAnnotations must contain at least one item"
        yield required("spec.validations", text)
        yield required("spec.auditAnnotations", text)
        return
    yield from _validation_causes(policy)
    yield from _audit_causes(policy)


def _param_kind_causes(body: Obj, path: str) -> Iterator[Cause]:
    version = body.get("apiVersion") or ""
    if not version:
        yield required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        yield invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    if not body.get("kind"):
        yield required(f"{path}.kind")
    elif fault := names.label_1035_fault(body["kind"].lower()):
        yield invalid(f"{path}.kind", body["kind"], f"may have mixed case, but should otherwise match: {fault}")


def _resources_causes(body: Obj, path: str) -> Iterator[Cause]:
    yield from rules.one_of(f"{path}.matchPolicy", body.get("matchPolicy"), ("Equivalent", "Exact"))
    for member in ("namespaceSelector", "objectSelector"):
        yield from selector_causes(body.get(member), f"{path}.{member}")
    for member in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(body.get(member) or ()):
            place = f"{path}.{member}[{index}]"
            seen: set[str] = set()
            for number, name in enumerate(rule.get("resourceNames") or ()):
                if fault := names.path_segment_fault(name):
                    yield invalid(f"{place}.resourceNames[{number}]", name, fault)
                if name in seen:
                    yield duplicate(f"{place}.resourceNames[{number}]", name)
                seen.add(name)
            yield from rule_causes(rule, place)


def _not_compiled(path: str, text: str, found: Expression | NotCompiled | None) -> Iterator[Cause]:
    if isinstance(found, NotCompiled):
        yield invalid(path, text, found.why)


def _variable_causes(policy: Policy) -> Iterator[Cause]:
    for index, variable in enumerate(policy.spec.get("variables") or ()):
        path = f"spec.variables[{index}]"
        name, text = variable.get("name") or "", variable.get("expression") or ""
        if not name.strip():
            yield required(f"{path}.name", "name is not specified")
        elif not is_identifier(name):
            yield invalid(f"{path}.name", name, "name is not a valid CEL identifier")
        if not text.strip():
            yield required(f"{path}.expression", "expression is not specified")
        elif name in policy.variables:
            yield from _not_compiled(f"{path}.expression", text, policy.variables[name].expression)


def _validation_causes(policy: Policy) -> Iterator[Cause]:
    for index, validation in enumerate(policy.validations):
        path, body = f"spec.validations[{index}]", validation.body
        text, message = body.get("expression") or "", body.get("message") or ""
        if not text.strip():
            yield required(f"{path}.expression", "expression is not specified")
        else:
            yield from _not_compiled(f"{path}.expression", text, validation.expression)
        words = body.get("messageExpression") or ""
        if words and not words.strip():
            yield invalid(f"{path}.messageExpression", words, "must be non-empty if specified")
        else:
            yield from _not_compiled(f"{path}.messageExpression", words, validation.message)
        if message and not message.strip():
            yield invalid(f"{path}.message", message, "message must be non-empty if specified")
        elif _LINE_BREAKS.search(message.strip()):
            yield invalid(f"{path}.message", message, "message must not contain line breaks")
        yield from rules.one_of(f"{path}.reason", body.get("reason"), REASONS)


def _audit_causes(policy: Policy) -> Iterator[Cause]:
    if len(policy.audit) > MAX_AUDIT_ANNOTATIONS:
        text = f"must not have more than {MAX_AUDIT_ANNOTATIONS} auditAnnotations"
        yield invalid("spec.auditAnnotations", len(policy.audit), text)
        return
    seen: set[str] = set()
    for index, annotation in enumerate(policy.audit):
        path, key = f"spec.auditAnnotations[{index}]", annotation.body.get("key") or ""
        if not policy.name:
            yield invalid(f"{path}.key", key, "requires metadata.name be non-empty")
        elif fault := names.qualified_name_fault(f"{policy.name}/{key}"):
            yield invalid(f"{path}.key", f"{policy.name}/{key}", fault)
        if key in seen:
            yield duplicate(f"{path}.key", key)
        seen.add(key)
        text = (annotation.body.get("valueExpression") or "").strip()
        if not text:
            yield required(f"{path}.valueExpression", "valueExpression is not specified")
        elif len(text.encode()) > MAX_VALUE_EXPRESSION_BYTES:
            yield required(f"{path}.valueExpression", f"must not exceed {MAX_VALUE_EXPRESSION_BYTES} bytes in length")
        else:
            yield from _not_compiled(f"{path}.valueExpression", text, annotation.expression)


def _binding_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    if not spec.get("policyName"):
        yield required("spec.policyName")
    else:
        yield from rules.subdomain("spec.policyName", spec["policyName"])
    if spec.get("paramRef") is not None:
        yield from _param_ref_causes(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        # The API server's own path has this slip of the pen.
        yield from _resources_causes(spec["matchResources"], "spec.matchResouces")
    yield from _action_causes(spec.get("validationActions") or (), "spec.validationActions")


def _param_ref_causes(body: Obj, path: str) -> Iterator[Cause]:
    name, selector = body.get("name") or "", body.get("selector")
    if name and (fault := names.path_segment_fault(name)):
        yield invalid(f"{path}.name", name, fault)
    if name and selector is not None:
        for member in ("name", "selector"):
            yield forbidden_field(f"{path}.{member}", "name and selector are mutually exclusive")
    if selector is not None:
        yield from selector_causes(selector, f"{path}.selector")
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    action = body.get("parameterNotFoundAction")
    if not action:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in ("Allow", "Deny"):
        yield not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _action_causes(actions: object, path: str) -> Iterator[Cause]:
    assert isinstance(actions, list | tuple)
    seen: set[str] = set()
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            yield not_supported(f"{path}[{index}]", action, ACTIONS)
        if action in seen:
            yield duplicate(f"{path}[{index}]", action)
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        listed = "[" + ",".join(f'"{action}"' for action in actions) + "]"
        yield Cause(
            "FieldValueInvalid",
            f"Invalid value: {listed}: must not contain both Deny and Warn (repeating the same validation failure"
            " information in the API response and headers serves no purpose)",
            path,
        )
    if not seen:
        yield required(path, "at least one validation action is required")


def _param_kind_cell(obj: Obj, _: float) -> str:
    wanted = objects.spec(obj).get("paramKind")
    return f"{wanted.get('apiVersion', '')}/{wanted.get('kind', '')}" if wanted else "<unset>"


def _param_ref_cell(obj: Obj, _: float) -> str:
    reference = objects.spec(obj).get("paramRef")
    if not reference:
        return "<unset>"
    if reference.get("name"):
        place = reference.get("namespace") or "*"
        return f"{place}/{reference['name']}"
    return str(selectors.from_object(reference.get("selector")) or "")


def policy_kinds() -> tuple[Kind, Kind]:
    policies = Kind(
        resource=resources.VALIDATINGADMISSIONPOLICIES,
        has_status=True,
        has_generation=True,
        default=_default_policy,
        prepare_update=_observe,
        validate_create=lambda obj: list(_policy_causes(obj)),
        validate_update=lambda new, _: list(_policy_causes(new)),
        columns=(
            NAME,
            Column(
                "Validations",
                lambda obj, _: len(objects.spec(obj).get("validations") or ()),
                type="integer",
                description="How many validations the policy lists.",
            ),
            Column("ParamKind", _param_kind_cell, description="The kind of the policy's parameters."),
            AGE,
        ),
    )
    bindings = Kind(
        resource=resources.VALIDATINGADMISSIONPOLICYBINDINGS,
        has_generation=True,
        default=_default_binding,
        validate_create=lambda obj: list(_binding_causes(obj)),
        validate_update=lambda new, _: list(_binding_causes(new)),
        columns=(
            NAME,
            Column("PolicyName", lambda obj, _: objects.spec(obj).get("policyName") or "", description="The policy."),
            Column("ParamRef", _param_ref_cell, description="The parameters the policy gets."),
            AGE,
        ),
    )
    return policies, bindings
