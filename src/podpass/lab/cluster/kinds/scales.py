"""The scale subresource: how many replicas a workload has and should have, in the shape of `autoscaling/v1`.

Contract: Kubernetes API surface, section 2.10.
"""

from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.status import StatusError, invalid
from podpass.lab.cluster.extension import SubresourceCall
from podpass.lab.cluster.fieldvalidation import cannot_be_handled, check
from podpass.lab.cluster.kinds.templates import selector_of, written
from podpass.lab.cluster.registry import Subresource
from podpass.lab.cluster.requests.options import options_of
from podpass.lab.cluster.verbs import Verbs

API_VERSION, KIND = "autoscaling/v1", "Scale"


def scale_of(workload: Obj) -> Obj:
    """The Scale that stands for *workload*."""
    meta, spec, status = objects.metadata(workload), objects.spec(workload), objects.status(workload)
    shown = {
        name: meta[name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in meta
    }
    selector = selector_of(spec)
    scale: Obj = {
        "kind": KIND,
        "apiVersion": API_VERSION,
        "metadata": shown,
        "spec": {"replicas": spec.get("replicas") or 0},
        "status": {"replicas": status.get("replicas") or 0},
    }
    if selector:
        scale["status"]["selector"] = written(selector)
    return scale


def scaled(workload: Obj, scale: Obj) -> Obj:
    """*workload* with the replicas of *scale*. Raises StatusError 422 for a number that can't be."""
    replicas = objects.spec(scale).get("replicas") or 0
    if replicas < 0:
        cause = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise StatusError.invalid_kind("autoscaling", KIND, objects.name(workload), [cause])
    meta = {**objects.metadata(workload)}
    meta.pop("resourceVersion", None)
    if version := objects.resource_version(scale):
        meta["resourceVersion"] = version
    return {**workload, "metadata": meta, "spec": {**objects.spec(workload), "replicas": replicas}}


@dataclass(frozen=True, slots=True)
class Scales:
    """Answers for `scale` of every kind that has spec.replicas and a selector."""

    verbs: Verbs

    def subresource(self) -> dict[str, Subresource]:
        return {
            "scale": Subresource("scale", ("get", "patch", "update"), KIND, "autoscaling", "v1", handler=self.answer)
        }

    async def answer(self, call: SubresourceCall) -> Obj:
        """Raises StatusError."""
        kind = call.kind
        if call.verb == "get":
            return scale_of(self.verbs.present(kind, self.verbs.stored(kind, call.namespace, call.name)))
        write = options_of(call)

        def make(workload: Obj) -> Obj:
            checked = check(call.change(scale_of(workload)), API_VERSION, KIND)
            if checked.mistyped is not None:
                raise cannot_be_handled(API_VERSION, KIND, str(checked.mistyped))
            texts = [f'unknown field "{path}"' for path in checked.unknown]
            if texts and write.field_validation == "Strict":
                raise StatusError.bad_request(f"strict decoding error: {', '.join(texts)}")
            if write.field_validation == "Warn":
                call.warnings.extend(text for text in texts if text not in call.warnings)
            return scaled(workload, checked.obj)

        return scale_of(self.verbs.present(kind, await self.verbs.change(kind, call.namespace, call.name, make, write)))
