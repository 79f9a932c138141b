"""The Service `kubernetes`, by which pods find the API server, with its Endpoints and slice.

Contract: Kubernetes API surface, section 7.5.
"""

from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.endpoints_state import SERVICE_NAME, SKIP_MIRROR
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.writes import controller_user
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.node.addresses import API_ADDRESS

NAME, NAMESPACE = "kubernetes", "default"
API_PORT = 443
_PLACES = {(each.group, each.plural): each for each in (SERVICES, ENDPOINTS, ENDPOINTSLICES)}


class KubernetesService:
    """Keeps the Service, its Endpoints and its slice; the last two name *endpoint*, where there is one."""

    name = "kubernetes-service"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = controller_user("kubernetes-service")
        self.endpoint: tuple[str, int] | None = None
        """Where the API server answers inside the pods' network, once that is known."""

    def concerns(self, change: Change) -> Iterator[Task]:
        place = (change.resource.group, change.resource.plural)
        if change.stored.key == (NAMESPACE, NAME) and place in _PLACES and change.type != "ADDED":
            yield place

    def everything(self) -> Iterator[Task]:
        yield from _PLACES

    async def reconcile(self, task: Task) -> None:
        group, plural = task
        resource = _PLACES[group, plural]
        wanted = self._wanted(resource)
        if wanted is None:
            return
        present = self._verbs.find(resource, NAME, NAMESPACE)
        try:
            if present is None:
                await self._verbs.create(resource, wanted, NAMESPACE, user=self._user)
            elif any(present.get(member) != wanted[member] for member in wanted if member not in ("metadata", "spec")):
                meta = {**present["metadata"], "labels": {**objects.labels(present), **objects.labels(wanted)}}
                await self._verbs.update(resource, {**present, **wanted, "metadata": meta}, user=self._user)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    def _wanted(self, resource: Resource) -> Obj | None:
        meta: Obj = {"name": NAME, "namespace": NAMESPACE}
        if resource is SERVICES:
            port = {"name": "https", "port": API_PORT, "protocol": "TCP", "targetPort": 6443}
            return {
                "metadata": {**meta, "labels": {"component": "apiserver", "provider": "kubernetes"}},
                "spec": {"type": "ClusterIP", "clusterIP": API_ADDRESS, "sessionAffinity": "None", "ports": [port]},
            }
        if self.endpoint is None:
            return None
        address, number = self.endpoint
        if resource is ENDPOINTS:
            subset = {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": number, "protocol": "TCP"}]}
            return {"metadata": {**meta, "labels": {SKIP_MIRROR: "true"}}, "subsets": [subset]}
        return {
            "metadata": {**meta, "labels": {SERVICE_NAME: NAME}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": number, "protocol": "TCP"}],
        }
