"""Binding a pod to its node: the only way in which a pod gets one.

Contract: Kubernetes API surface, section 2.10.
"""

import copy

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError, not_supported, required, success
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.cluster.extension import Objects, SubresourceCall
from podpass.lab.cluster.fieldvalidation import typed_body
from podpass.lab.cluster.registry import Kind, Subresource
from podpass.serving.asgi import Response, json_response

_SHOWN = Resource("", "v1", "pods/binding", "Binding", True)
"""As which conflicts name it."""


class PodBinding:
    """Answers `pods/binding`, and the older `bindings`, which names the pod in its metadata."""

    def __init__(self, cluster: Objects, clock: Clock) -> None:
        self._objects = cluster
        self._clock = clock

    @property
    def subresource(self) -> Subresource:
        return Subresource("binding", ("create",), "Binding", handler=self.create)

    @property
    def kind(self) -> Kind:
        return Kind(resource=resources.BINDINGS, verbs=("create",), answer_create=self.create)

    async def create(self, call: SubresourceCall) -> Response:
        """Set the pod's node. Raises StatusError 409 when it has one, or is being deleted."""
        body = typed_body(call.body, "v1", "Binding")
        name = call.name or objects.name(body)
        target = body.get("target") or {}
        causes = []
        if target.get("kind") not in (None, "", "Node"):
            causes.append(not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
        if not target.get("name"):
            causes.append(required("target.name"))
        if causes:
            raise StatusError.invalid(resources.BINDINGS, name, causes)
        pod = copy.deepcopy(self._objects.get(resources.PODS, name, call.namespace))
        given = objects.uid(body)
        if given and given != objects.uid(pod):
            raise StatusError.conflict(
                _SHOWN,
                name,
                f"Precondition failed: UID in precondition: {given}, UID in object meta: {objects.uid(pod)}",
            )
        if objects.being_deleted(pod):
            raise StatusError.conflict(_SHOWN, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if node := objects.spec(pod).get("nodeName"):
            raise StatusError.conflict(_SHOWN, name, f'pod {name} is already assigned to node "{node}"')
        await self._objects.update(
            resources.PODS,
            self._bound(pod, target["name"], objects.annotations(body)),
            subresource="binding",
            user=call.user,
            dry_run=call.dry_run,
        )
        return json_response(201, success(code=201))

    def _bound(self, pod: Obj, node: str, annotations: dict[str, str]) -> Obj:
        pod["spec"]["nodeName"] = node
        if annotations:
            pod["metadata"]["annotations"] = {**objects.annotations(pod), **annotations}
        conditions = [
            each for each in objects.status(pod).get("conditions") or () if each.get("type") != "PodScheduled"
        ]
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": rfc3339(self._clock.now()),
            }
        )
        pod["status"] = {**objects.status(pod), "conditions": conditions}
        return pod
