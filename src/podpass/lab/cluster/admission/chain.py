"""The order of admission: what the API server itself, policies and webhooks make of a write before it is stored.

Contract: Kubernetes API surface, sections 3.1 to 3.3 and 4.6.
"""

import asyncio

from podpass.azure.workload_identity import CLIENT_ID
from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.access.authorization import Authorizer, escalation
from podpass.lab.cluster.access.escalation import FULL_AUTHORITY, wanted_rules
from podpass.lab.cluster.admission import builtin, limits
from podpass.lab.cluster.admission.client import WebhookClient
from podpass.lab.cluster.admission.conditions import Situation
from podpass.lab.cluster.admission.findings import in_words, lacks_client_id
from podpass.lab.cluster.admission.policies import FindKind, Policies
from podpass.lab.cluster.admission.review import bounded_warnings
from podpass.lab.cluster.admission.webhooks import Webhooks, namespace_of
from podpass.lab.cluster.extension import AdmissionAttributes, Attributes, Denied, Objects
from podpass.lab.journal import Hop, Journal

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
        self._webhooks = Webhooks(cluster, client, authorizer, journal)
        self._authorizer = authorizer
        self._journal = journal

    async def admit(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> Obj | None:
        """The object after the built-in steps and the mutating webhooks. Raises StatusError."""
        self._check_namespace(attributes)
        obj = self._built_in(attributes, obj)
        if not self._webhooks.mutating():
            return obj
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                obj = await self._webhooks.mutate(attributes, obj, old, lambda found: self._built_in(attributes, found))
        except TimeoutError as error:
            raise StatusError.timeout("Timeout: request did not complete within the allotted timeout") from error
        self._note_missing_client_id(attributes, obj)
        return obj

    async def validate(self, attributes: AdmissionAttributes, obj: Obj | None, old: Obj | None) -> None:
        """Let policies and validating webhooks see the object as it will be stored. Raises StatusError."""
        self._check_escalation(attributes, obj, old)
        self._check_limits(attributes, obj)
        self._check_policies(attributes, obj, old)
        await self._webhooks.validate(attributes, obj, old)

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
        namespace = (
            namespace_of(self._objects, attributes) if attributes.kind.resource != resources.NAMESPACES else None
        )
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
                    what=f"{in_words(attributes)} held against policies",
                    outcome="noted" if refusal is None else "refused",
                    why="" if not verdict.said else verdict.said[0].text,
                    decision={"said": said, "audit": verdict.audit},
                    wire="" if refusal is None else refusal.reason,
                )
            )
        if refusal is not None:
            raise refusal

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
                    what=in_words(attributes),
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
                what=in_words(attributes),
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
