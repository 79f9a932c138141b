"""What every namespace has, and how one goes."""

import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS
from podpass.kube.status import StatusError
from podpass.lab.cluster.admission.builtin import ROOT_CA_CONFIGMAP
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.verbs import Verbs

DEFAULT_ACCOUNT = "default"


class NamespaceFurniture:
    """Each namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`."""

    name = "namespace-furniture"

    def __init__(self, verbs: Verbs, ca_pem: bytes) -> None:
        self._verbs = verbs
        self._certificate = ca_pem.decode()
        self._user = controller_user("root-ca-cert-publisher")

    def concerns(self, change: Change) -> Iterator[Task]:
        place, (namespace, name) = (change.resource.group, change.resource.plural), change.stored.key
        if place == ("", "namespaces") and change.type == "ADDED":
            yield (name,)
        elif (place == ("", "serviceaccounts") and name == DEFAULT_ACCOUNT and change.type == "DELETED") or (
            place == ("", "configmaps") and name == ROOT_CA_CONFIGMAP and change.type != "ADDED"
        ):
            yield (namespace,)

    def everything(self) -> Iterator[Task]:
        for _, name in self._verbs.storage.collection(NAMESPACES).keys:
            yield (name,)

    async def reconcile(self, task: Task) -> None:
        (name,) = task
        namespace = self._verbs.find(NAMESPACES, name)
        if namespace is None or objects.being_deleted(namespace):
            return
        try:
            await self._account(name)
            await self._root_certificate(name)
        except StatusError as error:
            # Made by somebody else, or the namespace went, in the meantime: the change that did it comes by again.
            if error.reason not in ("AlreadyExists", "NotFound") and "terminated" not in error.message:
                raise

    async def _account(self, namespace: str) -> None:
        if self._verbs.find(SERVICEACCOUNTS, DEFAULT_ACCOUNT, namespace) is None:
            body: Obj = {"metadata": {"name": DEFAULT_ACCOUNT, "namespace": namespace}}
            await self._verbs.create(SERVICEACCOUNTS, body, namespace, user=self._user)

    async def _root_certificate(self, namespace: str) -> None:
        wanted = {"ca.crt": self._certificate}
        found = self._verbs.find(CONFIGMAPS, ROOT_CA_CONFIGMAP, namespace)
        if found is None:
            note = (
                "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints"
                " such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across"
                " distributions of Kubernetes clusters."
            )
            body: Obj = {
                "metadata": {
                    "name": ROOT_CA_CONFIGMAP,
                    "namespace": namespace,
                    "annotations": {"kubernetes.io/description": note},
                },
                "data": wanted,
            }
            await self._verbs.create(CONFIGMAPS, body, namespace, user=self._user)
        elif found.get("data") != wanted:
            await self._verbs.update(CONFIGMAPS, {**found, "data": wanted}, user=self._user)


class NamespaceLifecycle:
    """A namespace that is deleted is emptied, pods gracefully, and then goes."""

    name = "namespace-lifecycle"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = controller_user("namespace-controller")

    def concerns(self, change: Change) -> Iterator[Task]:
        namespace, name = change.stored.key
        if (change.resource.group, change.resource.plural) == ("", "namespaces"):
            if b'"deletionTimestamp"' in change.stored.body and change.type != "DELETED":
                yield (name,)
        elif change.type == "DELETED" and self._terminating(namespace):
            yield (namespace,)

    def _terminating(self, name: str) -> bool:
        found = self._verbs.storage.get(NAMESPACES, "", name)
        return found is not None and b'"deletionTimestamp"' in found.body

    def everything(self) -> Iterator[Task]:
        for _, name in self._verbs.storage.collection(NAMESPACES).keys:
            if self._terminating(name):
                yield (name,)

    async def reconcile(self, task: Task) -> None:
        (name,) = task
        namespace = self._verbs.find(NAMESPACES, name)
        if namespace is None or not objects.being_deleted(namespace):
            return
        left = 0
        # Pods first: what they still use while they stop goes after them.
        for kind in sorted(self._kinds(), key=lambda kind: kind.resource.plural != "pods"):
            for stored in self._verbs.storage.page(kind.storage, name).items:
                with contextlib.suppress(Gone):
                    await delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user)
            left += len(self._verbs.storage.page(kind.storage, name).items)
            if left and kind.resource.plural == "pods":
                return
        if not left:
            spec = {**objects.spec(namespace), "finalizers": []}
            with contextlib.suppress(StatusError):
                await self._verbs.update(
                    NAMESPACES, {**namespace, "spec": spec}, subresource="finalize", user=self._user
                )

    def _kinds(self) -> Iterator[Kind]:
        for kind in self._verbs.registry:
            if kind.resource.namespaced and kind.stored_as is None and "delete" in kind.verbs:
                yield kind
