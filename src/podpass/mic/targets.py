"""Where identities are put: a virtual machine, or the scale set that a node is an instance of.

Contract: pod identity, section 2.5.
"""

import re
from dataclasses import dataclass
from typing import Literal

_PROVIDER_ID = re.compile(
    r"subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/[^/]+"
    r"/(?P<type>[^/]+)/(?P<name>[^/]+)(?:/|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One resource of Azure. *group* is what the node says; empty for a machine that says nothing."""

    kind: Literal["vm", "vmss"]
    subscription: str
    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def target_of(node: str, provider_id: str) -> Target:
    """Where the identities of pods on *node* belong. Ids compare without regard to letter case."""
    found = _PROVIDER_ID.search(provider_id)
    if found is None:
        return Target("vm", "", "", node.lower())
    subscription, group = found["subscription"].lower(), found["group"].lower()
    if found["type"].lower() == "virtualmachinescalesets":
        return Target("vmss", subscription, group, found["name"].lower())
    return Target("vm", subscription, group, node.lower())
