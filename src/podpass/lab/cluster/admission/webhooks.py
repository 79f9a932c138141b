"""The webhooks of others: which are called for a write, in which order, and what becomes of their answers.

Mutating webhooks run one after the other, validating ones at once. Every call is in the journal with what it changed,
and so is every webhook that a selector kept from a pod: a pod that was never reviewed looks like one that was refused.
Contract: Kubernetes API surface, sections 3.1 to 3.3.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

from podpass.azure.workload_identity import USE_LABEL
from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.patch import PatchMalformed, PatchRefused, apply_json_patch
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.access.authorization import Authorizer
from podpass.lab.cluster.admission.client import WebhookClient
from podpass.lab.cluster.admission.conditions import Situation, Unclear, unmet
from podpass.lab.cluster.admission.findings import additions, in_words, sentence
from podpass.lab.cluster.admission.review import (
    CallFailed,
    Reviewed,
    bounded_warnings,
    call_failed,
    denied,
    read_answer,
    review_body,
)
from podpass.lab.cluster.admission.selection import NotSelected, Selected, Selection, Unmatched, Webhook, select
from podpass.lab.cluster.extension import AdmissionAttributes, Objects
from podpass.lab.cluster.fieldvalidation import check
from podpass.lab.journal import Hop, Journal


class Webhooks:
    """Every webhook that one cluster has configured."""

    def __init__(self, cluster: Objects, client: WebhookClient, authorizer: Authorizer, journal: Journal) -> None:
        self._objects = cluster
        self._client = client
        self._authorizer = authorizer
        self._journal = journal
        self._known: dict[Resource, tuple[int, tuple[Webhook, ...]]] = {}

    def mutating(self) -> tuple[Webhook, ...]:
        return self._configured(resources.MUTATINGWEBHOOKCONFIGURATIONS)

    async def mutate(
        self,
        attributes: AdmissionAttributes,
        obj: Obj | None,
        old: Obj | None,
        built_in: Callable[[Obj | None], Obj | None],
    ) -> Obj | None:
        """Call each webhook in turn, then those once more that asked to see what came after them.

        *built_in* are the API server's own steps, which see every change. Raises StatusError.
        """
        webhooks = self.mutating()
        called: list[Webhook] = []
        again: list[Webhook] = []

        def changed() -> None:
            again.extend(webhook for webhook in called if webhook not in again)
            called.clear()

        for webhook in webhooks:
            # Looked at only now: an earlier patch may have changed the labels that the selector is about.
            if not self._is_called(webhook, attributes, obj, old):
                continue
            before = obj
            obj = await self._review(webhook, attributes, obj, old)
            if obj != before:
                changed()
            if webhook.reinvoked_if_needed:
                called.append(webhook)
        before = obj
        obj = built_in(obj)
        if obj != before:
            changed()
        for webhook in [each for each in webhooks if each in again]:
            if isinstance(self._select(webhook, attributes, obj, old), Selected):
                obj = await self._review(webhook, attributes, obj, old, reinvoked=True)
        return built_in(obj) if again else obj

    async def validate(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> None:
        """Ask all at once. Raises StatusError with the refusal of the first in their order."""
        webhooks = [
            webhook
            for webhook in self._configured(resources.VALIDATINGWEBHOOKCONFIGURATIONS)
            if self._is_called(webhook, attributes, obj, old)
        ]
        if not webhooks:
            return
        refusals: dict[int, StatusError] = {}

        async def one(index: int, webhook: Webhook) -> None:
            try:
                await self._review(webhook, attributes, obj, old)
            except StatusError as error:
                refusals[index] = error

        async with asyncio.TaskGroup() as group:
            for index, webhook in enumerate(webhooks):
                group.create_task(one(index, webhook))
        if refusals:
            raise refusals[min(refusals)]

    def _configured(self, resource: Resource) -> tuple[Webhook, ...]:
        """The webhooks of one configuration kind: by the configuration's name, then in its own order."""
        version = self._objects.version(resource)
        known = self._known.get(resource)
        if known is None or known[0] != version:
            mutating = resource == resources.MUTATINGWEBHOOKCONFIGURATIONS
            found = tuple(
                Webhook(objects.name(configuration), mutating, body)
                for configuration in sorted(self._objects.list(resource), key=objects.name)
                for body in configuration.get("webhooks") or ()
            )
            known = self._known[resource] = (version, found)
        return known[1]

    def _is_called(self, webhook: Webhook, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> bool:
        selection = self._select(webhook, attributes, obj, old)
        if isinstance(selection, NotSelected) and attributes.kind.resource == resources.PODS:
            self._note_not_selected(webhook, attributes, obj or old or {}, selection)
        return isinstance(selection, Selected)

    def _select(self, webhook: Webhook, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> Selection:
        """Raises StatusError 403 where a match condition fails and the webhook's failures count."""
        namespace = namespace_of(self._objects, attributes)
        found = select(webhook.matcher, attributes, obj, old, objects.labels(namespace or {}))
        if not webhook.conditions or not isinstance(found, Selected):
            return found
        situation = Situation(attributes, obj, old, namespace, self._authorizer)
        match unmet(webhook.conditions, situation):
            case None:
                return found
            case Unclear(why) if not webhook.ignores_failure:
                self._record(attributes, webhook, "failed", why, {"webhook": webhook.name, "called": False})
                raise StatusError.forbidden(attributes.kind.resource, attributes.name, why)
        return Unmatched()

    async def _review(
        self,
        webhook: Webhook,
        attributes: AdmissionAttributes,
        obj: Obj | None,
        old: Obj | None,
        *,
        reinvoked: bool = False,
    ) -> Obj | None:
        """Call one webhook and do what it says. Raises StatusError when it refuses, or fails and must not."""
        uid = str(uuid.uuid4())
        started = time.monotonic()
        answer = await self._client.review(webhook, review_body(attributes, uid, obj, old))
        reviewed = answer if isinstance(answer, CallFailed) else read_answer(answer, uid, mutating=webhook.mutating)
        told: dict[str, Any] = {
            "webhook": webhook.name,
            "configuration": webhook.configuration,
            "resource": _configurations(webhook).plural,
            "called": True,
            "milliseconds": round((time.monotonic() - started) * 1000, 1),
        }
        if reinvoked:
            told["reinvoked"] = True
        if isinstance(reviewed, CallFailed):
            told |= {"reason": reviewed.reason, "failure_policy": webhook.body.get("failurePolicy")}
            self._record(attributes, webhook, "failed", reviewed.reason, told, wire="InternalError", problem="PP411")
            if webhook.ignores_failure:
                return obj
            raise call_failed(webhook.name, reviewed.reason)
        attributes.warnings.extend(bounded_warnings(reviewed.warnings, sum(map(len, attributes.warnings))))
        if reviewed.audit:
            told["audit"] = reviewed.audit
        if not reviewed.allowed:
            refusal = denied(webhook.name, reviewed.status)
            self._record(attributes, webhook, "refused", refusal.message, told, wire=refusal.reason)
            raise refusal
        try:
            patched = self._patched(webhook, attributes, obj, reviewed)
        except StatusError as error:
            self._record(attributes, webhook, "failed", error.message, told, wire=error.reason, problem="PP411")
            raise
        told["operations"] = len(reviewed.patch or ())
        added = additions(obj, patched) if obj is not None and patched is not None else {}
        self._record(attributes, webhook, "done", sentence(added, len(reviewed.patch or ())), {**told, **added})
        return patched

    def _patched(
        self, webhook: Webhook, attributes: AdmissionAttributes, obj: Obj | None, reviewed: Reviewed
    ) -> Obj | None:
        if not reviewed.patch or obj is None or attributes.operation == "CONNECT":
            return obj
        resource = attributes.kind.resource
        document = {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
        try:
            patched = apply_json_patch(document, reviewed.patch)
        except (PatchMalformed, PatchRefused) as error:
            raise StatusError.internal(f'the patch of webhook "{webhook.name}" does not apply: {error}') from error
        if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
            raise StatusError.internal(f'the patch of webhook "{webhook.name}" leaves no object')
        checked = check(patched, resource.api_version, resource.kind)
        if checked.mistyped is not None:
            raise StatusError.internal(f'the patch of webhook "{webhook.name}" is not usable: {checked.mistyped}')
        found = checked.obj
        for member in ("kind", "apiVersion"):
            if member not in obj:
                found.pop(member, None)
        attributes.kind.default(found)
        return found

    def _record(
        self,
        attributes: AdmissionAttributes,
        webhook: Webhook,
        outcome: Any,
        why: str,
        decision: dict[str, Any],
        *,
        wire: str = "",
        problem: str = "",
    ) -> None:
        self._journal.record(
            Hop(
                who="cluster",
                whom="webhook",
                what=f"{in_words(attributes)} reviewed by {webhook.name}",
                outcome=outcome,
                why=why,
                decision=decision,
                wire=wire,
                problem=problem,
            )
        )

    def _note_not_selected(
        self, webhook: Webhook, attributes: AdmissionAttributes, obj: Obj, selection: NotSelected
    ) -> None:
        key, found = selection.requirement.key, selection.found
        self._record(
            attributes,
            webhook,
            "noted",
            selection.why,
            {
                "webhook": webhook.name,
                "configuration": webhook.configuration,
                "called": False,
                "selector": selection.selector,
                "requirement": str(selection.requirement),
                "label": key,
                "wanted": ",".join(selection.requirement.values),
                "found": "no such label" if found is None else f"{key}={found}",
                "pod": attributes.name or objects.metadata(obj).get("generateName") or "",
                "namespace": attributes.namespace,
            },
            problem="PP410" if key == USE_LABEL and selection.selector == "objectSelector" else "",
        )


def namespace_of(cluster: Objects, attributes: AdmissionAttributes) -> Obj | None:
    return cluster.find(resources.NAMESPACES, attributes.namespace) if attributes.namespace else None


def _configurations(webhook: Webhook) -> Resource:
    return resources.MUTATINGWEBHOOKCONFIGURATIONS if webhook.mutating else resources.VALIDATINGWEBHOOKCONFIGURATIONS
