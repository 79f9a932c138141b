"""The lab's Microsoft Graph: applications, service principals, users and groups, as `az ad` uses them.

Imitated, for v1.0: application registrations and service principals with passwords, certificates and federated
credentials, these in beta too; users, security groups with nested members, owners; lists by the filters that clients
use, in pages; directory objects by their ids; directory roles and who holds them; the refusal that `/me` is for an
application. What is written here is what the login service and role assignments read. Every call takes a directory
role, which the lab's operator has; whoever has none is refused as one without a permission is.

Everything else is answered 501: application permissions, app roles and their assignments, permission grants, groups
for mail, deleted items (what is deleted is gone at once).

Contract: Azure HTTP surface, section 5; azure workload identity, section 6.
"""

from podpass.lab.graph.errors import GraphError
from podpass.lab.graph.http import Graph

__all__ = ["Graph", "GraphError"]
