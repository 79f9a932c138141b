"""What a lab puts into its cluster: the webhook's objects, exactly as a real cluster has them, and the operator."""

from typing import Any

from podpass.kube.client import MERGE_PATCH, ApiError, Client
from podpass.kube.resources import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    ROLEBINDINGS,
    ROLES,
    SERVICEACCOUNTS,
    Resource,
)
from podpass.lab.operator import OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT
from podpass.webhook import manifests

_RESOURCES = {
    "Namespace": NAMESPACES,
    "ServiceAccount": SERVICEACCOUNTS,
    "Role": ROLES,
    "RoleBinding": ROLEBINDINGS,
    "ClusterRole": CLUSTERROLES,
    "ClusterRoleBinding": CLUSTERROLEBINDINGS,
    "MutatingWebhookConfiguration": MUTATINGWEBHOOKCONFIGURATIONS,
}
# The webhook runs as long as the lab; the lab's clock may be advanced by years.
_TOKEN_SECONDS = 10 * 365 * 24 * 3600


async def install_operator(client: Client) -> None:
    """The namespace and the service account that the lab's operator application trusts."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": OPERATOR_SERVICE_ACCOUNT, "namespace": OPERATOR_NAMESPACE},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}}
    for wanted in (namespace, account):
        await _ensure(client, wanted)


async def install_webhook(client: Client) -> str:
    """The webhook's namespace, account and permissions. Returns a token of the account."""
    for wanted in (manifests.namespace_object(), *manifests.rbac()):
        await _ensure(client, wanted)
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_SECONDS},
    }
    answer = await client.create_subresource(SERVICEACCOUNTS, manifests.ACCOUNT, "token", review, manifests.NAMESPACE)
    return str(answer["status"]["token"])


async def remove_webhook(client: Client) -> None:
    """Take away what was installed and registered, but the namespace, which would have to end before it can come back.

    The registration goes first: without a webhook behind it no pod that asks for one could be created.
    """
    for unwanted in (manifests.webhook_configuration(), *reversed(manifests.rbac())):
        name, namespace = unwanted["metadata"]["name"], unwanted["metadata"].get("namespace")
        try:
            await client.delete(_RESOURCES[unwanted["kind"]], name, namespace)
        except ApiError as error:
            if not error.not_found:
                raise


async def register_webhook(client: Client, *, url: str, ca_bundle: str) -> None:
    """Tell the API server where the webhook answers. *ca_bundle* is PEM in base64."""
    await _ensure(client, manifests.webhook_configuration(url=url, ca_bundle=ca_bundle))


async def _ensure(client: Client, wanted: dict[str, Any]) -> None:
    """Create the object, or bring the present one to what is wanted."""
    resource: Resource = _RESOURCES[wanted["kind"]]
    name, namespace = wanted["metadata"]["name"], wanted["metadata"].get("namespace")
    try:
        await client.create(resource, wanted, namespace)
    except ApiError as error:
        if not error.already_exists:
            raise
        await client.patch(resource, name, wanted, namespace, content_type=MERGE_PATCH)
