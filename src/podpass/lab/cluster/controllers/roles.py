"""ClusterRoles that are made of others: the rules of all that their selectors choose.

Contract: Kubernetes API surface, section 6.
"""

from collections.abc import Iterator

from podpass.kube import objects, selectors
from podpass.kube.objects import Obj
from podpass.kube.resources import CLUSTERROLES
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers import writes
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.verbs import Verbs

_ALL: Task = ("",)


class RoleAggregation:
    """Writes the rules of every ClusterRole that has an aggregation rule."""

    name = "clusterrole-aggregation-controller"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = writes.controller_user(self.name)

    def concerns(self, change: Change) -> Iterator[Task]:
        if (change.resource.group, change.resource.plural) == (CLUSTERROLES.group, CLUSTERROLES.plural):
            yield _ALL

    def everything(self) -> Iterator[Task]:
        yield _ALL

    async def reconcile(self, _: Task) -> None:
        roles = sorted(self._verbs.list(CLUSTERROLES), key=objects.name)
        for role in roles:
            if role.get("aggregationRule") is None:
                continue
            rules = aggregated(role, roles)
            if rules != (role.get("rules") or []):
                try:
                    await writes.update(
                        self._verbs, self._verbs.registry.of(CLUSTERROLES), {**role, "rules": rules}, self._user
                    )
                except writes.Gone:
                    continue


def aggregated(role: Obj, roles: list[Obj]) -> list[Obj]:
    """The rules of *roles*, which are in order, that *role* selects: each once."""
    chosen = [
        found
        for each in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
        if (found := selectors.from_object(each)) is not None
    ]
    rules: list[Obj] = []
    for other in roles:
        if objects.name(other) == objects.name(role):
            continue
        if any(selector.matches(objects.labels(other)) for selector in chosen):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules
