"""The lab's own cluster."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from podpass.lab.node.addresses import MOST_NODES
from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.fields import Between, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEntry:
    """The cluster that the lab's kubeconfig leads to; one per lab."""

    name: Annotated[str, spelling.LABEL, "its name"]
    tenant: Annotated[str, Ref("tenants"), "in whose name its issuer speaks"]
    id: Annotated[str, spelling.GUID, "a part of its issuer's URL; chosen and kept when absent"] = ""
    region: Annotated[str, spelling.REGION, "a part of its issuer's URL"] = "eastus"
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
