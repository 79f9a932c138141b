"""Namespaces and ServiceAccounts.

Contract: Kubernetes API surface, sections 2.1 and 4.
"""

from collections.abc import Iterator, Mapping

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.registry import ALL_VERBS, Column, Kind, Subresource
from podpass.lab.cluster.tables import AGE, NAME

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"


def _prepare_namespace(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    finalizers = spec.setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    obj["status"] = {"phase": "Active"}


def _default_namespace(obj: Obj) -> None:
    if name := objects.name(obj):
        labels = obj["metadata"].get("labels") or {}
        obj["metadata"]["labels"] = {**labels, NAMESPACE_NAME_LABEL: name}
    if not objects.status(obj).get("phase"):
        obj["status"] = {**objects.status(obj), "phase": "Active"}


def _keep_finalizers(new: Obj, old: Obj) -> None:
    # Only /finalize changes them; a client that leaves them out must not free the namespace half deleted.
    if "finalizers" in objects.spec(old):
        new["spec"] = {**objects.spec(new), "finalizers": objects.spec(old)["finalizers"]}


def _terminate(obj: Obj, _: str) -> None:
    obj["status"] = {**objects.status(obj), "phase": "Terminating"}


def namespaces(subresources: Mapping[str, Subresource] | None = None) -> Kind:
    def phase(obj: Obj) -> str:
        return objects.status(obj).get("phase") or ""

    return Kind(
        resource=resources.NAMESPACES,
        name_rule="label",
        has_status=True,
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        default=_default_namespace,
        prepare_create=_prepare_namespace,
        prepare_update=_keep_finalizers,
        prepare_delete=_terminate,
        field_labels=lambda obj: {"status.phase": phase(obj)},
        field_names=frozenset({"status.phase"}),
        columns=(NAME, Column("Status", lambda obj, _: phase(obj), description="The status of the namespace"), AGE),
        subresources=subresources or {},
    )


def _account_causes(obj: Obj) -> Iterator[Cause]:
    for index, entry in enumerate(obj.get("imagePullSecrets") or ()):
        if name := entry.get("name"):
            yield from rules.subdomain(f"imagePullSecrets[{index}].name", name)
        else:
            yield required(f"imagePullSecrets[{index}].name")


def service_accounts(subresources: Mapping[str, Subresource] | None = None) -> Kind:
    return Kind(
        resource=resources.SERVICEACCOUNTS,
        validate_create=lambda obj: list(_account_causes(obj)),
        validate_update=lambda new, _: list(_account_causes(new)),
        returns_object_on_delete=True,
        columns=(NAME, AGE),
        subresources=subresources or {},
    )
