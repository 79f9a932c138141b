"""The commands: read the cluster, change its profile, put it back."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from aks_pod_identity import profile
from azext_aks_pod_identity.clusters import read, refusals, rewrite, write
from azext_aks_pod_identity.manager import ensure_operator, user_assigned_identity


def aks_pod_identity_add(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    cluster_name: str,
    identity_namespace: str,
    identity_resource_id: str,
    identity_name: str | None = None,
    binding_selector: str | None = None,
    aks_custom_headers: str | None = None,
    no_wait: bool = False,
) -> Any:
    cluster = read(client, resource_group_name, cluster_name)
    with refusals():
        profile.require_enabled(cluster)
        principal = profile.cluster_principal(cluster)
        identity = user_assigned_identity(cmd.cli_ctx, identity_resource_id)
        ensure_operator(cmd.cli_ctx, principal, identity["id"])
        changed = profile.with_identity(
            cluster, identity, name=identity_name, namespace=identity_namespace, selector=binding_selector
        )
    return write(client, resource_group_name, cluster_name, changed, no_wait=no_wait, headers=aks_custom_headers)


def aks_pod_identity_delete(
    client: Any,
    resource_group_name: str,
    cluster_name: str,
    identity_name: str,
    identity_namespace: str,
    aks_custom_headers: str | None = None,
    no_wait: bool = False,
) -> Any:
    change = partial(profile.without_identity, name=identity_name, namespace=identity_namespace)
    return rewrite(client, resource_group_name, cluster_name, change, no_wait=no_wait, headers=aks_custom_headers)


def aks_pod_identity_list(client: Any, resource_group_name: str, cluster_name: str) -> Any:
    return client.get(resource_group_name, cluster_name)


def aks_pod_identity_exception_add(
    client: Any,
    resource_group_name: str,
    cluster_name: str,
    exc_namespace: str,
    pod_labels: Mapping[str, str],
    exc_name: str | None = None,
    aks_custom_headers: str | None = None,
    no_wait: bool = False,
) -> Any:
    change = partial(profile.with_exception, name=exc_name, namespace=exc_namespace, labels=pod_labels)
    return rewrite(client, resource_group_name, cluster_name, change, no_wait=no_wait, headers=aks_custom_headers)


def aks_pod_identity_exception_update(
    client: Any,
    resource_group_name: str,
    cluster_name: str,
    exc_name: str,
    exc_namespace: str,
    pod_labels: Mapping[str, str],
    aks_custom_headers: str | None = None,
    no_wait: bool = False,
) -> Any:
    change = partial(profile.with_changed_exception, name=exc_name, namespace=exc_namespace, labels=pod_labels)
    return rewrite(client, resource_group_name, cluster_name, change, no_wait=no_wait, headers=aks_custom_headers)


def aks_pod_identity_exception_delete(
    client: Any,
    resource_group_name: str,
    cluster_name: str,
    exc_name: str,
    exc_namespace: str,
    aks_custom_headers: str | None = None,
    no_wait: bool = False,
) -> Any:
    change = partial(profile.without_exception, name=exc_name, namespace=exc_namespace)
    return rewrite(client, resource_group_name, cluster_name, change, no_wait=no_wait, headers=aks_custom_headers)


def aks_pod_identity_exception_list(client: Any, resource_group_name: str, cluster_name: str) -> Any:
    return client.get(resource_group_name, cluster_name)
