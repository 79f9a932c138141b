"""The order of admission: what the API server itself, policies and webhooks make of a write before it is stored.

Mutating webhooks run one after the other, validating ones at once. Every call is in the journal with what it changed,
and so is every webhook that a selector kept from a pod: a pod that was never reviewed looks like one that was refused.
Contract: Kubernetes API surface, sections 3.1 to 3.3 and 4.6.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.patch import PatchMalformed, PatchRefused, apply_json_patch
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.access.authorization import Authorizer, escalation
from podpass.lab.cluster.access.escalation import FULL_AUTHORITY, wanted_rules
from podpass.lab.cluster.admission import builtin, limits
from podpass.lab.cluster.admission.client import WebhookClient
from podpass.lab.cluster.admission.conditions import Situation, Unclear, unmet
from podpass.lab.cluster.admission.findings import additions, lacks_client_id, sentence
from podpass.lab.cluster.admission.policies import FindKind, Policies
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
from podpass.lab.cluster.extension import AdmissionAttributes, Attributes, Denied, Objects
from podpass.lab.cluster.fieldvalidation import check
from podpass.lab.journal import Hop, Journal
from podpass.webhook.azure import CLIENT_ID, USE_LABEL

REQUEST_SECONDS = 60


class Admission:
    """Both phases of admission for one cluster."""

    def __init__(
        self,
        cluster: Objects,
        client: WebhookClient,
        authorizer: Authorizer,
        journal: Journal,
        find_kind: FindKind = lambda *_: None,
    ) -> None:
        self._objects = cluster
        self._policies = Policies(cluster, find_kind)
        self._client = client
        self._authorizer = authorizer
        self._journal = journal
        self._known: dict[Resource, tuple[int, tuple[Webhook, ...]]] = {}

    async def admit(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> Obj | None:
        """The object after the built-in steps and the mutating webhooks. Raises StatusError."""
        self._check_namespace(attributes)
        obj = self._built_in(attributes, obj)
        webhooks = self._webhooks(resources.MUTATINGWEBHOOKCONFIGURATIONS)
        if not webhooks:
            return obj
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                obj = await self._mutate(webhooks, attributes, obj, old)
        except TimeoutError as error:
            raise StatusError.timeout("Timeout: request did not complete within the allotted timeout") from error
        self._note_missing_client_id(attributes, obj)
        return obj

    async def validate(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> None:
        """Let policies and validating webhooks see the object as it will be stored. Raises StatusError."""
        self._check_escalation(attributes, obj, old)
        self._check_limits(attributes, obj)
        self._check_policies(attributes, obj, old)
        webhooks = [
            webhook
            for webhook in self._webhooks(resources.VALIDATINGWEBHOOKCONFIGURATIONS)
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

    def _webhooks(self, resource: Resource) -> tuple[Webhook, ...]:
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
        namespace = self._namespace(attributes)
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

    def _namespace(self, attributes: AdmissionAttributes) -> Obj | None:
        return self._objects.find(resources.NAMESPACES, attributes.namespace) if attributes.namespace else None

    def _check_limits(self, attributes: AdmissionAttributes, obj: Obj | None) -> None:
        """Raises StatusError 403 for a new pod beyond the limits of its namespace."""
        if obj is None or attributes.kind.resource != resources.PODS or attributes.operation != "CREATE":
            return
        ranges = self._objects.list(resources.LIMITRANGES, attributes.namespace)
        refused = limits.refusal(obj, attributes.name or objects.name(obj), ranges) if ranges else None
        if refused is not None:
            raise refused

    def _check_policies(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> None:
        """Raises StatusError with the reason of the first validation that denies."""
        if not self._policies.bound():
            return
        namespace = self._namespace(attributes) if attributes.kind.resource != resources.NAMESPACES else None
        situation = Situation(attributes, obj, old, namespace, self._authorizer)
        verdict = self._policies.judge(attributes, obj, old, namespace, situation)
        refusal = verdict.refusal(attributes)
        attributes.warnings.extend(bounded_warnings(tuple(verdict.warnings()), sum(map(len, attributes.warnings))))
        if verdict.said or verdict.audit:
            said = [{"policy": each.policy, "binding": each.binding, "said": each.message} for each in verdict.said]
            self._journal.record(
                Hop(
                    who=attributes.user.name,
                    whom="cluster",
                    what=f"{_what(attributes)} held against policies",
                    outcome="noted" if refusal is None else "refused",
                    why="" if not verdict.said else verdict.said[0].text,
                    decision={"said": said, "audit": verdict.audit},
                    wire="" if refusal is None else refusal.reason,
                )
            )
        if refusal is not None:
            raise refusal

    async def _mutate(
        self, webhooks: Sequence[Webhook], attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None
    ) -> Obj | None:
        """Call each webhook in turn, then those once more that asked to see what came after them."""
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
        obj = self._built_in(attributes, obj)
        if obj != before:
            changed()
        for webhook in [each for each in webhooks if each in again]:
            if isinstance(self._select(webhook, attributes, obj, old), Selected):
                obj = await self._review(webhook, attributes, obj, old, reinvoked=True)
        return self._built_in(attributes, obj) if again else obj

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

    def _built_in(self, attributes: AdmissionAttributes, obj: Obj | None) -> Obj | None:
        """The steps for new pods. Each leaves alone what it did before, so they run again after the webhooks."""
        if obj is None or attributes.operation != "CREATE" or attributes.subresource:
            return obj
        if attributes.kind.resource != resources.PODS:
            return obj
        name, namespace = builtin.account_name(obj), attributes.namespace
        account = self._objects.find(resources.SERVICEACCOUNTS, name, namespace)
        if account is None:
            refusal = builtin.missing_account(attributes.name, namespace, name)
            self._journal.record(
                Hop(
                    who=attributes.user.name,
                    whom="cluster",
                    what=_what(attributes),
                    outcome="refused",
                    why=refusal.message,
                    decision={"pod": attributes.name, "namespace": namespace, "service_account": name},
                    wire=refusal.reason,
                    problem="PP413",
                )
            )
            raise refusal
        obj = builtin.with_tolerations(builtin.with_service_account(obj, account))
        obj = builtin.with_priority(obj, self._objects.list(resources.PRIORITYCLASSES))
        return limits.with_limits(obj, self._objects.list(resources.LIMITRANGES, namespace))

    def _check_namespace(self, attributes: AdmissionAttributes) -> None:
        resource = attributes.kind.resource
        if attributes.operation == "DELETE":
            if resource == resources.NAMESPACES and attributes.name in builtin.UNDELETABLE_NAMESPACES:
                raise StatusError.forbidden(resource, attributes.name, "this namespace may not be deleted")
            return
        if attributes.operation != "CREATE" or not attributes.namespace or attributes.subresource:
            return
        namespace = self._objects.find(resources.NAMESPACES, attributes.namespace)
        if (refusal := builtin.namespace_refusal(namespace, attributes.namespace)) is not None:
            why, causes = refusal
            raise StatusError.forbidden(resource, attributes.name, why, causes=causes)

    def _check_escalation(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> None:
        """Nobody hands out rights through a role or binding that they do not hold themselves."""
        resource = attributes.kind.resource
        if obj is None or attributes.subresource:
            return
        wanted = wanted_rules(resource, obj, old, attributes.namespace, self._authorizer.rules_of)
        if not wanted:
            return
        verb, target, target_name = "escalate", resource.plural, attributes.name
        if resource in (resources.ROLEBINDINGS, resources.CLUSTERROLEBINDINGS):
            reference = obj.get("roleRef") or {}
            verb, target = "bind", "roles" if reference.get("kind") == "Role" else "clusterroles"
            target_name = reference.get("name") or ""
        asked = Attributes(
            verb=verb,
            group=resource.group,
            version=resource.version,
            resource=target,
            namespace=attributes.namespace,
            name=target_name,
        )
        if not isinstance(self._authorizer.authorize(attributes.user, asked), Denied):
            return
        held = [
            rule for grant in self._authorizer.grants(attributes.user, attributes.namespace) for rule in grant.rules
        ]
        why = escalation(attributes.user, wanted, held)
        if why is not None and wanted == FULL_AUTHORITY and obj.get("aggregationRule") is not None:
            why = "must have cluster-admin privileges to use an aggregationRule"
        if why is not None:
            raise StatusError.forbidden(resource, attributes.name, why)

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
                what=f"{_what(attributes)} reviewed by {webhook.name}",
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

    def _note_missing_client_id(self, attributes: AdmissionAttributes, pod: Obj | None) -> None:
        if pod is None or attributes.operation != "CREATE" or attributes.kind.resource != resources.PODS:
            return
        if not lacks_client_id(pod):
            return
        name = builtin.account_name(pod)
        account = self._objects.find(resources.SERVICEACCOUNTS, name, attributes.namespace)
        if objects.annotations(account or {}).get(CLIENT_ID):
            return
        self._journal.record(
            Hop(
                who="cluster",
                whom="webhook",
                what=_what(attributes),
                outcome="noted",
                why=f"service account {name} has no annotation {CLIENT_ID}",
                decision={
                    "pod": attributes.name or objects.metadata(pod).get("generateName") or "",
                    "namespace": attributes.namespace,
                    "service_account": name,
                },
                problem="PP412",
            )
        )


def _configurations(webhook: Webhook) -> Resource:
    return resources.MUTATINGWEBHOOKCONFIGURATIONS if webhook.mutating else resources.VALIDATINGWEBHOOKCONFIGURATIONS


def _what(attributes: AdmissionAttributes) -> str:
    plural = attributes.kind.resource.plural
    if attributes.subresource:
        plural = f"{plural}/{attributes.subresource}"
    place = f"{attributes.namespace}/{attributes.name}" if attributes.namespace else attributes.name
    return f"{attributes.operation.lower()} {plural} {place}".rstrip()
