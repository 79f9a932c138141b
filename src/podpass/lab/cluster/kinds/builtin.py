"""The list of the built-in kinds, each with the parts of the cluster that answer for it."""

from collections.abc import Mapping

from podpass.lab.clock import Clock
from podpass.lab.cluster.extension import Objects
from podpass.lab.cluster.kinds.access import access_kinds
from podpass.lab.cluster.kinds.binding import PodBinding
from podpass.lab.cluster.kinds.configuration import configmaps, secrets
from podpass.lab.cluster.kinds.events import event_kinds
from podpass.lab.cluster.kinds.identities import namespaces, service_accounts
from podpass.lab.cluster.kinds.nodes import leases, nodes
from podpass.lab.cluster.kinds.pods import pods
from podpass.lab.cluster.kinds.reviews import Rights, review_kinds
from podpass.lab.cluster.kinds.webhooks import webhook_kinds
from podpass.lab.cluster.registry import Kind, Subresource
from podpass.lab.cluster.serviceaccount_tokens import ServiceAccountTokens


def builtin_kinds(
    cluster: Objects,
    clock: Clock,
    *,
    tokens: ServiceAccountTokens,
    rights: Rights,
    pod_subresources: Mapping[str, Subresource] | None = None,
    namespace_subresources: Mapping[str, Subresource] | None = None,
) -> tuple[Kind, ...]:
    """Every built-in kind. The subresources given are those that other parts of the cluster answer."""
    binding = PodBinding(cluster, clock)
    token = Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io", "v1", handler=tokens.create)
    return (
        pods({"binding": binding.subresource, **(pod_subresources or {})}),
        binding.kind,
        namespaces(namespace_subresources),
        service_accounts({"token": token}),
        secrets(),
        configmaps(),
        nodes(),
        *event_kinds(),
        leases(),
        *access_kinds(),
        *webhook_kinds(),
        *review_kinds(rights, tokens, clock),
    )
