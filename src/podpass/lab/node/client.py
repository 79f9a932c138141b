"""What the node asks of the API server and tells it."""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from podpass.kube import objects
from podpass.kube.client import STRATEGIC_MERGE_PATCH, ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.resources import (
    CONFIGMAPS,
    LEASES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    Resource,
)
from podpass.lab.node import container_environment, volumes
from podpass.lab.node.container_environment import References
from podpass.lab.node.registration import LEASE_NAMESPACE, lease_spec
from podpass.lab.node.token_refresh import ProjectedToken
from podpass.lab.node.volumes import TokenKey


class NodeClient:
    """The node's requests. Every call raises what podpass.kube.client.Client raises."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node

    async def references(self, pod: Obj) -> References:
        """The objects that *pod* names, None for those that do not exist, and the Services it wants to know of."""
        secrets, config_maps = volumes.referenced(pod)
        more_secrets, more_config_maps = container_environment.referenced(pod)
        namespace = objects.namespace(pod)
        found_secrets, found_config_maps, claims, services = await asyncio.gather(
            self._each(SECRETS, secrets | more_secrets, namespace),
            self._each(CONFIGMAPS, config_maps | more_config_maps, namespace),
            self._each(PERSISTENTVOLUMECLAIMS, volumes.claims(pod), namespace),
            self._services(pod),
        )
        bound = {objects.spec(claim).get("volumeName") or "" for claim in claims.values() if claim is not None}
        persistent = await self._each(PERSISTENTVOLUMES, bound, None) if bound else {}
        return References(found_secrets, found_config_maps, claims, persistent, services)

    async def _services(self, pod: Obj) -> tuple[Obj, ...]:
        if objects.spec(pod).get("enableServiceLinks") is False:
            return ()
        try:
            return tuple((await self._client.list(SERVICES, objects.namespace(pod))).items)
        except ApiError as error:
            if error.not_found:
                return ()
            raise

    async def _each(self, resource: Resource, names: Iterable[str], namespace: str | None) -> dict[str, Obj | None]:
        wanted = sorted(name for name in names if name)
        found = await asyncio.gather(*(self._find(resource, name, namespace) for name in wanted))
        return dict(zip(wanted, found, strict=True))

    async def _find(self, resource: Resource, name: str, namespace: str | None) -> Obj | None:
        try:
            return await self._client.get(resource, name, namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def request_token(self, key: TokenKey, now: float) -> ProjectedToken:
        """A token bound to the pod of *key*."""
        spec: Obj = {
            "audiences": [key.audience] if key.audience else [],
            "expirationSeconds": key.seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": key.pod_name, "uid": key.pod_uid},
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._client.create_subresource(
            SERVICEACCOUNTS, key.service_account, "token", body, key.namespace
        )
        status = objects.status(answer)
        granted = objects.spec(answer).get("expirationSeconds") or key.seconds
        expires_at = datetime.fromisoformat(status["expirationTimestamp"]).timestamp()
        return ProjectedToken(status["token"], int(granted), now, expires_at)

    async def write_status(self, pod: Obj, status: Obj) -> None:
        """Set the members of *status*. Conditions that it does not name stay: others may hold a readiness gate."""
        # The uid makes sure that it is not the status of a later pod of the same name.
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": status}
        await self._client.patch(
            PODS,
            objects.name(pod),
            patch,
            objects.namespace(pod),
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )

    async def remove(self, pod: Obj) -> None:
        """Delete *pod* for good, its containers having ended."""
        try:
            await self._client.delete(
                PODS, objects.name(pod), objects.namespace(pod), grace_period_seconds=0, uid=objects.uid(pod)
            )
        except ApiError as error:
            # A pod of that name and another uid is not ours to delete.
            if not error.not_found and not error.conflict:
                raise

    async def register(self, node: Obj, status: Obj) -> None:
        """Make the Node object, or bring its labels and status up to date."""
        try:
            await self._client.create(NODES, node)
        except ApiError as error:
            if not error.already_exists:
                raise
            change: Obj = {"metadata": {"labels": node["metadata"]["labels"]}}
            if provider_id := node["spec"].get("providerID"):
                # It may have become a machine of the cloud since.
                change["spec"] = {"providerID": provider_id}
            await self._client.patch(NODES, self._node, change)
        await self._client.patch(NODES, self._node, {"status": status}, subresource="status")

    async def is_given_up(self) -> bool:
        """Whether the cluster takes the node for silent, whatever it said last. One whose object is gone is not."""
        try:
            conditions = objects.status(await self._client.get(NODES, self._node)).get("conditions") or ()
        except ApiError as error:
            if not error.not_found:
                raise
            return False
        return any(each.get("type") == "Ready" and each.get("status") == "Unknown" for each in conditions)

    async def renew_lease(self, now: float) -> None:
        spec = lease_spec(self._node, now)
        try:
            await self._client.patch(LEASES, self._node, {"spec": spec}, LEASE_NAMESPACE)
        except ApiError as error:
            if not error.not_found:
                raise
            lease = {
                "apiVersion": LEASES.api_version,
                "kind": "Lease",
                "metadata": {"name": self._node, "namespace": LEASE_NAMESPACE},
                "spec": spec,
            }
            await self._client.create(LEASES, lease, LEASE_NAMESPACE)
