"""The lab's Microsoft Graph: applications, service principals and their credentials, as `az ad` uses them.

Imitated, for v1.0: application registrations and service principals with passwords, certificates and federated
credentials; lists by the filters that clients use, in pages; directory objects by their ids; the refusal that `/me` is
for an application. What is written here is what the login service reads. Only the lab's operator may use it; any
other application is refused as one without a permission is.

Everything else is answered 501: users, groups, owners, app roles and their assignments, permission grants, deleted
items (a deleted application is gone at once), claims matching expressions.

Contract: Azure HTTP surface, section 5; azure workload identity, section 6.
"""

from podpass.lab.graph.errors import GraphError
from podpass.lab.graph.http import Graph

__all__ = ["Graph", "GraphError"]
