"""How the members of built-in kinds merge: which lists have keys, which maps and lists are replaced whole.

Strategic merge patch and server-side apply read the same table. What is not in it: maps merge member by member,
lists are replaced. Contract: Kubernetes API surface, section 2.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

Rule = Union["MapRule", "ListRule"]


@dataclass(frozen=True)
class MapRule:
    """A map or an object: how its members merge."""

    fields: Mapping[str, Rule] = field(default_factory=dict)
    atomic: bool = False
    """Server-side apply owns the map as a whole."""

    def of(self, name: str) -> Rule | None:
        return self.fields.get(name)


@dataclass(frozen=True)
class ListRule:
    """A list with a key, or a set of scalars."""

    merge_key: str = ""
    """The key of strategic merge; empty: the list is replaced there."""
    keys: tuple[str, ...] = ()
    """The keys of server-side apply; empty and not a set: owned as a whole."""
    item: MapRule = field(default_factory=MapRule)
    is_set: bool = False
    key_defaults: Mapping[str, Any] = field(default_factory=dict)
    """What a key is where an item does not say it."""


def _keyed(key: str, item: MapRule | None = None, *, keys: tuple[str, ...] = ()) -> ListRule:
    return ListRule(key, keys or (key,), item or MapRule())


_CONDITIONS = _keyed("type")
METADATA = MapRule({"ownerReferences": _keyed("uid"), "finalizers": ListRule(is_set=True)})
_ATOMIC = MapRule(atomic=True)
_REFERENCES = _keyed("name")

_CONTAINER = MapRule(
    {
        "env": _keyed(
            "name",
            MapRule(
                {
                    "valueFrom": MapRule(
                        dict.fromkeys(("fieldRef", "secretKeyRef", "configMapKeyRef", "resourceFieldRef"), _ATOMIC)
                    )
                }
            ),
        ),
        "volumeMounts": _keyed("mountPath"),
        "volumeDevices": _keyed("devicePath"),
        # Patches know a port by its number alone, apply by number and protocol.
        "ports": _keyed("containerPort", keys=("containerPort", "protocol")),
    }
)
_POD_SPEC = MapRule(
    {
        "containers": _keyed("name", _CONTAINER),
        "initContainers": _keyed("name", _CONTAINER),
        "ephemeralContainers": _keyed("name", _CONTAINER),
        "volumes": _keyed("name"),
        "imagePullSecrets": _keyed("name"),
        "resourceClaims": _keyed("name"),
        "schedulingGates": _keyed("name"),
        "hostAliases": _keyed("ip"),
        "topologySpreadConstraints": _keyed("topologyKey", keys=("topologyKey", "whenUnsatisfiable")),
        "nodeSelector": _ATOMIC,
    }
)
_TEMPLATE = MapRule({"metadata": METADATA, "spec": _POD_SPEC})
_STATUS = MapRule({"conditions": _CONDITIONS})
_WORKLOAD = MapRule(
    {"metadata": METADATA, "spec": MapRule({"template": _TEMPLATE, "selector": _ATOMIC}), "status": _STATUS}
)
_JOB_SPEC = MapRule({"template": _TEMPLATE})
_WEBHOOKS = MapRule({"metadata": METADATA, "webhooks": _keyed("name", MapRule({"matchConditions": _keyed("name")}))})
_DEFAULT = MapRule({"metadata": METADATA})

_KINDS: dict[tuple[str, str], MapRule] = {
    ("", "Pod"): MapRule(
        {
            "metadata": METADATA,
            "spec": _POD_SPEC,
            "status": MapRule({"conditions": _CONDITIONS, "podIPs": _keyed("ip"), "hostIPs": _keyed("ip")}),
        }
    ),
    ("", "Node"): MapRule(
        {
            "metadata": METADATA,
            "spec": MapRule({"podCIDRs": ListRule(is_set=True)}),
            "status": MapRule({"conditions": _CONDITIONS, "addresses": _keyed("type")}),
        }
    ),
    ("", "Namespace"): MapRule({"metadata": METADATA, "status": _STATUS}),
    ("", "Service"): MapRule(
        {
            "metadata": METADATA,
            "spec": MapRule({"ports": _keyed("port", keys=("port", "protocol")), "selector": _ATOMIC}),
            "status": _STATUS,
        }
    ),
    ("", "ServiceAccount"): MapRule({"metadata": METADATA, "secrets": _REFERENCES}),
    ("", "PodTemplate"): MapRule({"metadata": METADATA, "template": _TEMPLATE}),
    **{("apps", kind): _WORKLOAD for kind in ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet")},
    ("batch", "Job"): MapRule({"metadata": METADATA, "spec": _JOB_SPEC, "status": _STATUS}),
    ("batch", "CronJob"): MapRule(
        {
            "metadata": METADATA,
            "spec": MapRule({"jobTemplate": MapRule({"metadata": METADATA, "spec": _JOB_SPEC})}),
        }
    ),
    **{
        ("admissionregistration.k8s.io", f"{phase}WebhookConfiguration"): _WEBHOOKS
        for phase in ("Mutating", "Validating")
    },
}


def rules_for(group: str, kind: str) -> MapRule:
    """How objects of *kind* merge; kinds that are not in the table have only metadata's lists."""
    return _KINDS.get((group, kind), _DEFAULT)
