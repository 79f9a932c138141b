"""The names and bounds of Azure workload identity: what pods and service accounts say of it.

Contract: azure workload identity, sections 1.1 and 1.2.
"""

PREFIX = "azure.workload.identity/"
USE_LABEL = PREFIX + "use"
CLIENT_ID = PREFIX + "client-id"
TENANT_ID = PREFIX + "tenant-id"
EXPIRATION = PREFIX + "service-account-token-expiration"

DEFAULT_EXPIRATION_SECONDS = 3600
SHORTEST_EXPIRATION_SECONDS = 3600
LONGEST_EXPIRATION_SECONDS = 86400
