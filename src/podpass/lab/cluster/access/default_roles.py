"""The roles and bindings that every cluster starts with.

The lists of admin, edit and view cover the kinds that this cluster serves and the common workloads.
Contract: Kubernetes API surface, section 6.
"""

from collections.abc import Iterable, Sequence

from podpass.kube import resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.lab.cluster.kinds.access import GROUP

NODES_GROUP = "system:nodes"
NODE_ROLE = "system:node"
SCHEDULER_USER = "system:kube-scheduler"
NODE_LEASE_NAMESPACE = "kube-node-lease"

_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-{}"
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_DISCOVERY_PATHS = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz")
_ISSUER_PATHS = tuple(
    path + ending for path in ("/.well-known/openid-configuration", "/openid/v1/jwks") for ending in ("", "/")
)
_WORKLOADS = (
    "daemonsets",
    "deployments",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "statefulsets/scale",
)
_READABLE = (
    "configmaps",
    "endpoints",
    "events",
    "persistentvolumeclaims",
    "pods",
    "pods/log",
    "pods/status",
    "serviceaccounts",
    "services",
)


def _rule(verbs: Sequence[str], groups: Sequence[str], names: Sequence[str]) -> Obj:
    return {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(names)}


def _paths(verbs: Sequence[str], paths: Sequence[str]) -> Obj:
    return {"verbs": list(verbs), "nonResourceURLs": list(paths)}


def _metadata(name: str, namespace: str) -> Obj:
    return {"name": name, "labels": dict(_BOOTSTRAPPING), **({"namespace": namespace} if namespace else {})}


def _role(name: str, rules: Iterable[Obj], namespace: str = "") -> Obj:
    return {"metadata": _metadata(name, namespace), "rules": list(rules)}


def _aggregated(name: str, rules: Iterable[Obj], *, into: str = "") -> tuple[Obj, Obj]:
    """A role that takes in every role labelled for it, and the first of those. *into*: whose part it is itself."""
    role, own = _role(name, rules), _role(f"system:aggregate-to-{name}", rules)
    role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE.format(name): "true"}}]}
    own["metadata"]["labels"][_AGGREGATE.format(name)] = "true"
    if into:
        role["metadata"]["labels"][_AGGREGATE.format(into)] = "true"
    return role, own


def _binding(name: str, role: str, groups: Iterable[str], namespace: str = "", *, users: Iterable[str] = ()) -> Obj:
    """Of a ClusterRole for the whole cluster, or of a Role in *namespace*."""
    return {
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": "Role" if namespace else "ClusterRole", "name": role},
        "subjects": [
            *({"apiGroup": GROUP, "kind": "Group", "name": group} for group in groups),
            *({"apiGroup": GROUP, "kind": "User", "name": user} for user in users),
        ],
    }


_VIEW = (
    _rule(_READ, [""], [*_READABLE, "namespaces"]),
    _rule(_READ, ["apps"], [*_WORKLOADS, "controllerrevisions"]),
    _rule(_READ, ["batch"], ["cronjobs", "jobs"]),
    _rule(_READ, ["discovery.k8s.io"], ["endpointslices"]),
    _rule(_READ, ["events.k8s.io"], ["events"]),
    _rule(_READ, ["networking.k8s.io"], ["ingresses", "networkpolicies"]),
    _rule(_READ, ["policy"], ["poddisruptionbudgets"]),
)
_EDIT = (
    *_VIEW,
    _rule(_READ, [""], ["pods/attach", "pods/exec", "pods/portforward", "secrets"]),
    _rule(["impersonate"], [""], ["serviceaccounts"]),
    _rule(
        _WRITE,
        [""],
        [
            "configmaps",
            "endpoints",
            "events",
            "persistentvolumeclaims",
            "pods",
            "pods/attach",
            "pods/exec",
            "pods/portforward",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    _rule(["create"], [""], ["pods/eviction", "serviceaccounts/token"]),
    _rule(_WRITE, ["apps"], _WORKLOADS),
    _rule(_WRITE, ["batch"], ["cronjobs", "jobs"]),
    _rule([*_READ, *_WRITE], ["coordination.k8s.io"], ["leases"]),
    _rule(_WRITE, ["networking.k8s.io"], ["ingresses", "networkpolicies"]),
    _rule(_WRITE, ["policy"], ["poddisruptionbudgets"]),
)
_ADMIN = (
    *_EDIT,
    _rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
    _rule([*_READ, *_WRITE], [GROUP], ["rolebindings", "roles"]),
)

# Upstream lets the node authorizer narrow a node to what its own pods name. A node of a lab is a part of the lab
# itself, and nobody else has its token.
_NODE = (
    _rule(_READ, [""], ["services"]),
    _rule(["get"], [""], ["persistentvolumeclaims", "persistentvolumes"]),
    _rule(["create", "patch"], [""], ["nodes", "nodes/status"]),
    _rule(["delete", "list", "watch"], [""], ["pods"]),
    _rule(["patch"], [""], ["pods/status"]),
    _rule(["create"], [""], ["serviceaccounts/token"]),
    _rule(["get"], [""], ["configmaps", "secrets"]),
    _rule(["create", "patch"], [""], ["events"]),
)

_SCHEDULER = (
    _rule(_READ, [""], ["nodes", "pods"]),
    _rule(["create"], [""], ["pods/binding"]),
    _rule(["patch"], [""], ["pods/status"]),
    _rule(["create", "patch"], [""], ["events"]),
)

CLUSTER_ROLES: tuple[Obj, ...] = (
    _role("cluster-admin", [_rule(["*"], ["*"], ["*"]), _paths(["*"], ["*"])]),
    *_aggregated("admin", _ADMIN),
    *_aggregated("edit", _EDIT, into="admin"),
    *_aggregated("view", _VIEW, into="edit"),
    _role("system:discovery", [_paths(["get"], [*_DISCOVERY_PATHS, "/version", "/version/"])]),
    _role(
        "system:basic-user",
        [
            _rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
            _rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
        ],
    ),
    _role("system:public-info-viewer", [_paths(["get"], ["/healthz", "/livez", "/readyz", "/version", "/version/"])]),
    _role(
        "system:service-account-issuer-discovery",
        [_paths(["get"], _ISSUER_PATHS)],
    ),
    _role(
        "system:auth-delegator",
        [
            _rule(["create"], ["authentication.k8s.io"], ["tokenreviews"]),
            _rule(["create"], ["authorization.k8s.io"], ["subjectaccessreviews"]),
        ],
    ),
    _role(NODE_ROLE, _NODE),
    _role(SCHEDULER_USER, _SCHEDULER),
)

CLUSTER_ROLE_BINDINGS: tuple[Obj, ...] = (
    _binding("cluster-admin", "cluster-admin", ["system:masters"]),
    _binding("system:discovery", "system:discovery", ["system:authenticated"]),
    _binding("system:basic-user", "system:basic-user", ["system:authenticated"]),
    _binding(
        "system:public-info-viewer", "system:public-info-viewer", ["system:authenticated", "system:unauthenticated"]
    ),
    # Upstream binds service accounts only; the lab lets anybody read what the public issuer host shows anyway.
    _binding(
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        ["system:serviceaccounts", "system:unauthenticated", "system:authenticated"],
    ),
    _binding(NODE_ROLE, NODE_ROLE, [NODES_GROUP]),
    _binding(SCHEDULER_USER, SCHEDULER_USER, [], users=[SCHEDULER_USER]),
)

NODE_LEASES: tuple[tuple[Resource, Obj], ...] = (
    (
        resources.ROLES,
        _role(NODE_ROLE, [_rule(["create", "patch"], ["coordination.k8s.io"], ["leases"])], NODE_LEASE_NAMESPACE),
    ),
    (resources.ROLEBINDINGS, _binding(NODE_ROLE, NODE_ROLE, [NODES_GROUP], NODE_LEASE_NAMESPACE)),
)
"""A node renews its lease where the leases of nodes are, and nowhere else."""


def default_access() -> tuple[tuple[Resource, Obj], ...]:
    """Every default role and binding with its resource, roles first."""
    return (
        *((resources.CLUSTERROLES, role) for role in CLUSTER_ROLES),
        *((resources.CLUSTERROLEBINDINGS, binding) for binding in CLUSTER_ROLE_BINDINGS),
        *NODE_LEASES,
    )
