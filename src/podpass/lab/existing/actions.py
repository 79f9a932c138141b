"""What a lab does to an existing cluster, as values: a dry run prints them, a real one carries them out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.operator import OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT
from podpass.webhook import manifests

MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "podpass-lab"
OWNER = "podpass-lab/owner"
"""The annotation that says which lab an object belongs to."""

Verb = Literal["create", "update", "keep", "use", "leave", "delete"]


@dataclass(frozen=True, slots=True)
class Action:
    """One object of the cluster, and what happens to it. *wanted* is what it becomes."""

    verb: Verb
    kind: str
    name: str
    namespace: str = ""
    why: str = ""
    wanted: Obj | None = None
    uid: str = ""
    """Of the object that is deleted: another one of its name stays."""

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.verb} {self.kind} {place}{f' ({self.why})' if self.why else ''}"

    @property
    def changes(self) -> bool:
        return self.verb in ("create", "update", "delete")


def wanted_objects(owner: str, *, url: str, ca_bundle: str) -> tuple[Obj, ...]:
    """The objects of a lab: where its operator lives, and the registration of its webhook, in this order."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": OPERATOR_SERVICE_ACCOUNT, "namespace": OPERATOR_NAMESPACE},
    }
    registration = manifests.webhook_configuration(url=url, ca_bundle=ca_bundle)
    return tuple(_marked(obj, owner) for obj in (namespace, account, registration))


def install(wanted: Iterable[Obj], present: Sequence[Obj | None], owner: str) -> list[Action]:
    """What brings the cluster to *wanted*; *present* are the objects of the same names, None where there is none."""
    return [_install(obj, found, owner) for obj, found in zip(wanted, present, strict=True)]


def _install(wanted: Obj, found: Obj | None, owner: str) -> Action:
    kind, name, namespace = wanted["kind"], objects.name(wanted), objects.namespace(wanted)
    if found is None:
        return Action("create", kind, name, namespace, wanted=wanted)
    if owned(found, owner):
        if _holds(found, wanted):
            return Action("keep", kind, name, namespace, "it is the lab's and right")
        return Action("update", kind, name, namespace, "it is the lab's", wanted=wanted)
    if kind == "MutatingWebhookConfiguration":
        return Action("leave", kind, name, namespace, "the cluster has a webhook of its own")
    return Action("use", kind, name, namespace, "it is there and not the lab's")


def removal(present: Iterable[Obj | None], owner: str) -> list[Action]:
    """What takes the lab's objects away, last first. What is not the lab's is not spoken of."""
    return [
        Action("delete", found["kind"], objects.name(found), objects.namespace(found), uid=objects.uid(found))
        for found in reversed(list(present))
        if found is not None and owned(found, owner) and not objects.being_deleted(found)
    ]


def owned(obj: Obj, owner: str) -> bool:
    return objects.annotations(obj).get(OWNER) == owner


def _marked(obj: Obj, owner: str) -> Obj:
    metadata = obj["metadata"]
    labels = {**(metadata.get("labels") or {}), MANAGED_BY: MANAGER}
    return {**obj, "metadata": {**metadata, "labels": labels, "annotations": {OWNER: owner}}}


def _holds(found: object, wanted: object) -> bool:
    """Whether *found* says all that *wanted* says; the API server adds defaults of its own."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_holds(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_holds(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return found == wanted or (found is None and wanted in ("", {}, []))
