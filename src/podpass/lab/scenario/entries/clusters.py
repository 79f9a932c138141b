"""The lab's own cluster, and managed clusters."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from podpass.lab.node.addresses import MOST_NODES
from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.resources import PlacedEntry
from podpass.lab.scenario.fields import Between, Json, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEntry:
    """The cluster that the lab's kubeconfig leads to; one per lab."""

    name: Annotated[str, spelling.LABEL, "its name"]
    tenant: Annotated[str, Ref("tenants"), "in whose name its issuer speaks"]
    id: Annotated[str, spelling.GUID, "a part of its issuer's URL; chosen and kept when absent"] = ""
    region: Annotated[str, spelling.REGION, "a part of its issuer's URL"] = "eastus"
    resource_group: Annotated[
        str,
        Ref("resourceGroups"),
        "where Resource Manager shows it as a managed cluster, which it does not when absent",
    ] = ""
    host_paths: Annotated[
        tuple[str, ...],
        "the directories of this machine that `hostPath` volumes may show, none by default",
    ] = ()
    nodes: Annotated[
        int,
        Between(1, MOST_NODES),
        "how many nodes it begins with, 1 by default; given again it adds what is missing and takes no node away. "
        "`podpass lab up --nodes` counts more, and an existing cluster has its own",
    ] = 0
    """How many nodes it has at least; 0 says nothing about it."""

    def check(self) -> Iterator[tuple[str, str]]:
        for path in self.host_paths:
            if posixpath.normpath(path) != path or not path.startswith("/") or path.startswith("//") or path == "/":
                yield "hostPaths", f"{path!r} is not the absolute path of a directory below /"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePoolEntry:
    """A pool of nodes of one kind."""

    name: Annotated[str, spelling.POOL, "its name"]
    count: Annotated[int, Between(0, MOST_NODES), "how many nodes it has"] = 1
    mode: Annotated[Literal["System", "User"], "whether the cluster's own pods may run there"] = "System"
    properties: Annotated[Json, "further members as Resource Manager spells them, such as `vmSize`"] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedClusterEntry(PlacedEntry):
    """A managed cluster, as `az aks create` makes one. What is in it is not the scenario's business."""

    name: Annotated[str, spelling.MACHINE, "its name"]
    id: Annotated[str, spelling.GUID, "a part of its issuer's and its server's names; chosen when absent"] = ""
    node_pools: Annotated[tuple[NodePoolEntry, ...], "its nodes; one pool `nodepool1` of one node when absent"] = ()
    oidc_issuer: Annotated[bool, "whether its issuer can be read by everybody"] = True
    workload_identity: Annotated[bool, "whether labelled pods get tokens for workload identity"] = True
    identity: Annotated[str, Ref("identities"), "by which it acts, in place of one of its own"] = ""
    principal_id: Annotated[str, spelling.GUID, "of its own identity; chosen and kept when absent"] = ""
    properties: Annotated[Json, "further members as Resource Manager spells them"] = field(default_factory=dict)
