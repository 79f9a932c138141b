"""Which nodes the spec of a pod lets it be on: by node selector, by required node affinity, and by taints.

The scheduler, DaemonSets and whoever evicts pods ask the same questions. Contract: Kubernetes API surface, section 7.
"""

from collections.abc import Iterable, Mapping, Sequence

from podpass.kube.objects import Obj

_HARD = ("NoSchedule", "NoExecute")


def wants(spec: Obj, node: str, labels: Mapping[str, str]) -> bool:
    """Whether the node's name and labels are what the node selector and the required affinity ask for."""
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = required_terms(spec)
    return terms is None or any(term_matches(term, node, labels) for term in terms)


def required_terms(spec: Obj) -> list[Obj] | None:
    """The terms of the required node affinity, of which one must match; None where any node will do."""
    by_node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = by_node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    found: list[Obj] | None = required.get("nodeSelectorTerms")
    return found


def term_matches(term: Obj, node: str, labels: Mapping[str, str]) -> bool:
    """Whether a term of a node selector matches; one without requirements matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    return bool(expressions or fields) and (
        all(_expression_matches(each, labels) for each in expressions)
        and all(_expression_matches(each, {"metadata.name": node}) for each in fields)
    )


def _expression_matches(expression: Obj, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.get("key", ""))
    values = expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                found, bound = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return found > bound if operator == "Gt" else found < bound
    return False


def untolerated(taints: Iterable[Obj], tolerations: Sequence[Obj]) -> list[Obj]:
    """The taints that keep a new pod with *tolerations* away."""
    return [taint for taint in taints if taint.get("effect") in _HARD and not is_tolerated(taint, tolerations)]


def is_tolerated(taint: Obj, tolerations: Sequence[Obj]) -> bool:
    return any(tolerates(each, taint) for each in tolerations)


def tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    if key and key != taint.get("key"):
        return False
    if operator == "Exists":
        return True
    # Without a key, only Exists tolerates: everything.
    return bool(key) and operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")
