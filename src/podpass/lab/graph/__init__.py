"""The lab's Microsoft Graph: the three reads with which `az` turns client ids and object ids into each other.

Imitated, for v1.0: service principals found by one of their names, directory objects by their ids, and the refusal
that `/me` is for an application. Only the lab's operator may read; any other application is refused as one without a
permission is. Everything else is answered 501.

Contract: Azure HTTP surface, section 5.
"""

from podpass.lab.graph.errors import GraphError
from podpass.lab.graph.http import Graph

__all__ = ["Graph", "GraphError"]
