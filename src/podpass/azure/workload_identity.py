"""The names and bounds of Azure workload identity: what pods and service accounts say of it.

Contract: azure workload identity, sections 1.1 and 1.2; pod identity, section 7.1.
"""

PREFIX = "azure.workload.identity/"
"""How all of its labels and annotations begin."""
USE_LABEL = PREFIX + "use"
"""A pod's label; with `true`, and nothing else, the pod asks for what the webhook gives."""
CLIENT_ID = PREFIX + "client-id"
"""A service account's annotation: the client id of the identity that its pods are."""
TENANT_ID = PREFIX + "tenant-id"
"""A service account's annotation: the identity's tenant, where it is not the webhook's own."""
EXPIRATION = PREFIX + "service-account-token-expiration"
"""An annotation of a pod, else of its service account: the seconds that a token counts."""

DEFAULT_EXPIRATION_SECONDS = 3600
"""How long a token counts where nobody says."""
SHORTEST_EXPIRATION_SECONDS = 3600
"""The least that may be asked for; Kubernetes allows less, the webhook does not."""
LONGEST_EXPIRATION_SECONDS = 86400
"""The most that may be asked for."""
