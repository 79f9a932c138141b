"""Read from a cluster what the search needs. Nothing is changed."""

import msgspec

from podpass.kube.client import ApiError, Client, Unreachable
from podpass.kube.objects import Obj
from podpass.kube.resources import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICASETS,
    SERVICEACCOUNTS,
    STATEFULSETS,
    Resource,
)
from podpass.podidentity.resources import BINDING_LABEL, BINDINGS, EXCEPTIONS, IDENTITIES

REPLICATION_CONTROLLERS = Resource("", "v1", "replicationcontrollers", "ReplicationController", True)
_WORKLOADS = (REPLICATION_CONTROLLERS, REPLICASETS, DEPLOYMENTS, STATEFULSETS, DAEMONSETS, JOBS, CRONJOBS)
_MAY_BE_MISSING = (IDENTITIES, BINDINGS, EXCEPTIONS, REPLICATION_CONTROLLERS)
"""Kinds that a cluster need not serve."""


async def read(client: Client, *, namespace: str | None) -> list[Obj]:
    """The objects of *namespace*, of all where that is None; bindings and identities are read of all.

    Raises ApiError, Unreachable.
    """
    found: list[Obj] = []
    for resource in (IDENTITIES, BINDINGS, EXCEPTIONS):
        found += await _listed(client, resource, None)
    for resource in (*_WORKLOADS, SERVICEACCOUNTS):
        found += await _listed(client, resource, namespace)
    # Others make no difference, and there may be very many.
    found += (await client.list(PODS, namespace, label_selector=BINDING_LABEL)).items
    return found


async def issuer(client: Client) -> str:
    """Who issues the tokens of the cluster's service accounts; empty where it does not tell."""
    try:
        answer = await client.read("/.well-known/openid-configuration")
        found = msgspec.json.decode(answer.body)
    except (ApiError, Unreachable, msgspec.DecodeError):
        return ""
    return str(found.get("issuer") or "") if isinstance(found, dict) else ""


async def _listed(client: Client, resource: Resource, namespace: str | None) -> list[Obj]:
    try:
        return (await client.list(resource, namespace)).items
    except ApiError as error:
        if error.not_found and resource in _MAY_BE_MISSING:
            return []
        raise
