"""Evictions: a pod is deleted as a drain asks for it, unless a disruption budget keeps it.

The rules are those of `workloads/disruption.py`. Contract: Kubernetes API surface, section 2.10.
"""

from dataclasses import dataclass, replace

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import PODDISRUPTIONBUDGETS, PODS
from podpass.kube.status import Cause, StatusError, success
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.deletion import DeleteOptions, delete_options
from podpass.lab.cluster.extension import SubresourceCall
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.registry import Subresource
from podpass.lab.cluster.requests.options import Write
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import disruption
from podpass.lab.cluster.workloads.conditions import with_condition
from podpass.lab.cluster.workloads.pods import Pod, decode

ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Evictions:
    """Answers for `eviction` of pods."""

    verbs: Verbs

    def subresource(self) -> dict[str, Subresource]:
        return {"eviction": Subresource("eviction", ("create",), "Eviction", "policy", "v1", handler=self.evict)}

    async def evict(self, call: SubresourceCall) -> Obj:
        """Raises StatusError: 429 with a cause where a budget keeps the pod."""
        body = call.body or {}
        if objects.name(body) != call.name:
            raise StatusError.bad_request("name in URL does not match name in Eviction object")
        asked = delete_options(body.get("deleteOptions"), {})
        options = replace(asked, dry_run=asked.dry_run or call.dry_run)
        for _ in range(ATTEMPTS):
            stored = self.verbs.stored(call.kind, call.namespace, call.name)
            pod = decode(stored.body)
            budgets = self._guarding(pod)
            match disruption.decide(pod, budgets, self.verbs.clock.now()):
                case disruption.Broken(message, code):
                    raise StatusError(code, "Forbidden" if code == 403 else "", message)
                case disruption.Refuse(message, seconds):
                    raise _refusal(message, seconds)
                case disruption.Spend(status):
                    if not await self._spend(budgets[0], status, dry_run=options.dry_run):
                        continue
                case disruption.Evict(as_it_is):
                    if as_it_is and not asked.resource_version:
                        options = replace(options, resource_version=str(stored.rv))
            await self._delete(call, pod, options)
            return success(code=201)
        name = objects.name(budgets[0])
        raise StatusError.timeout(f'couldn\'t update PodDisruptionBudget "{name}" due to conflicts')

    def _guarding(self, pod: Pod) -> list[Obj]:
        found = []
        for budget in self.verbs.list(PODDISRUPTIONBUDGETS, pod.namespace):
            # A selector that is empty means every pod here; none at all means no pod.
            selector = selector_of(objects.spec(budget))
            if selector is not None and selector.matches(pod.labels):
                found.append(budget)
        return found

    async def _spend(self, budget: Obj, status: Obj, *, dry_run: bool) -> bool:
        """Whether the budget was still what the decision was made from."""
        try:
            await self.verbs.update(
                PODDISRUPTIONBUDGETS, {**budget, "status": status}, subresource="status", dry_run=dry_run
            )
        except StatusError as error:
            if error.code in (404, 409):
                return False
            raise
        return True

    async def _delete(self, call: SubresourceCall, pod: Pod, options: DeleteOptions) -> None:
        write = Write(user=call.user, dry_run=options.dry_run, warnings=call.warnings)
        if not options.dry_run:
            options = await self._say_why(call, pod, options)
        await self.verbs.delete_object(call.kind, call.namespace, call.name, options, write)

    async def _say_why(self, call: SubresourceCall, pod: Pod, options: DeleteOptions) -> DeleteOptions:
        """Write into the pod's status that it is evicted; what it must be to be deleted is that state of it then."""
        now = rfc3339(self.verbs.clock.now())
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
            "lastTransitionTime": now,
        }

        def marked(current: Obj) -> Obj:
            if objects.uid(current) != pod.uid:
                raise StatusError.not_found(PODS, call.name)
            if options.resource_version:
                current = {**current, "metadata": {**current["metadata"], "resourceVersion": options.resource_version}}
            status = objects.status(current)
            return {**current, "status": {**status, "conditions": with_condition(status.get("conditions"), condition)}}

        write = Write(manager="kube-apiserver", subresource="status")
        stored = await self.verbs.change(call.kind, call.namespace, call.name, marked, write)
        return replace(options, resource_version=str(stored.rv)) if options.resource_version else options


def _refusal(message: str, seconds: int | None) -> StatusError:
    cause = Cause("DisruptionBudget", message)
    return StatusError(
        429, "TooManyRequests", disruption.VIOLATED, {"causes": [cause.to_dict()]}, retry_after_seconds=seconds
    )
