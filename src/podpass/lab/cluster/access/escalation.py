"""Which rights a role or a binding would hand out, for the check that its author holds them.

Contract: Kubernetes API surface, section 6.
"""

from collections.abc import Callable, Sequence

from podpass.kube import resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.lab.cluster.access.authorization import Rule

FULL_AUTHORITY = (
    Rule(frozenset("*"), frozenset("*"), frozenset("*")),
    Rule(frozenset("*"), paths=frozenset("*")),
)
RulesOf = Callable[[str, str, str], Sequence[Rule]]
"""Kind, name and namespace of a role to its rules."""


def wanted_rules(resource: Resource, new: Obj, old: Obj | None, namespace: str, rules_of: RulesOf) -> tuple[Rule, ...]:
    """The rules that writing *new* hands out; none for other kinds, or when what they are about did not change."""
    if resource in (resources.ROLES, resources.CLUSTERROLES):
        if new.get("aggregationRule") is not None and (old or {}).get("aggregationRule") != new["aggregationRule"]:
            # Whoever says which roles a role is made of could give it any of them.
            return FULL_AUTHORITY
        if old is not None and old.get("rules") == new.get("rules"):
            return ()
        return tuple(Rule.of(rule) for rule in new.get("rules") or ())
    if resource in (resources.ROLEBINDINGS, resources.CLUSTERROLEBINDINGS):
        if old is not None and old.get("subjects") == new.get("subjects"):
            return ()
        reference = new.get("roleRef") or {}
        return tuple(rules_of(reference.get("kind") or "", reference.get("name") or "", namespace))
    return ()
