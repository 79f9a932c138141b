"""The resources of the Kubernetes API and their paths.

Contract: Kubernetes API surface, section 1.2.
"""

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """A resource as discovery describes it: `deployments` of kind `Deployment` in `apps/v1`."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    """The lower-case kind when empty."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    listed_as: str = ""
    """The kind of its lists; the kind with `List` behind it when empty."""

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def list_kind(self) -> str:
        return self.listed_as or f"{self.kind}List"

    @cached_property
    def qualified(self) -> str:
        """The resource as messages name it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The request path of the collection, or of one object, or of one of its subresources."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            # RBAC names hold colons, which the API server and kubectl leave as they are.
            parts.append(quote(name, safe=":"))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"

PODS = Resource("", "v1", "pods", "Pod", True, short_names=("po",), categories=("all",))
SERVICES = Resource("", "v1", "services", "Service", True, short_names=("svc",), categories=("all",))
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, short_names=("ns",))
NODES = Resource("", "v1", "nodes", "Node", False, short_names=("no",))
SECRETS = Resource("", "v1", "secrets", "Secret", True)
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", True, short_names=("cm",))
SERVICEACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, short_names=("sa",))
EVENTS = Resource("", "v1", "events", "Event", True, short_names=("ev",))
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, singular="endpoints", short_names=("ep",))
BINDINGS = Resource("", "v1", "bindings", "Binding", True)
PODTEMPLATES = Resource("", "v1", "podtemplates", "PodTemplate", True)
PERSISTENTVOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, short_names=("pv",))
PERSISTENTVOLUMECLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, short_names=("pvc",)
)
LIMITRANGES = Resource("", "v1", "limitranges", "LimitRange", True, short_names=("limits",))
RESOURCEQUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True, short_names=("quota",))

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, short_names=("deploy",), categories=("all",))
REPLICASETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True, short_names=("rs",), categories=("all",))
DAEMONSETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True, short_names=("ds",), categories=("all",))
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, short_names=("sts",), categories=("all",))
CONTROLLERREVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", True)
JOBS = Resource("batch", "v1", "jobs", "Job", True, categories=("all",))
CRONJOBS = Resource("batch", "v1", "cronjobs", "CronJob", True, short_names=("cj",), categories=("all",))

ROLES = Resource(_RBAC, "v1", "roles", "Role", True)
ROLEBINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding", True)
CLUSTERROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False)
CLUSTERROLEBINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False)

TOKENREVIEWS = Resource(_AUTHENTICATION, "v1", "tokenreviews", "TokenReview", False)
SELFSUBJECTREVIEWS = Resource(_AUTHENTICATION, "v1", "selfsubjectreviews", "SelfSubjectReview", False)
SUBJECTACCESSREVIEWS = Resource(_AUTHORIZATION, "v1", "subjectaccessreviews", "SubjectAccessReview", False)
LOCALSUBJECTACCESSREVIEWS = Resource(
    _AUTHORIZATION, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", True
)
SELFSUBJECTACCESSREVIEWS = Resource(_AUTHORIZATION, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False)
SELFSUBJECTRULESREVIEWS = Resource(_AUTHORIZATION, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False)

MUTATINGWEBHOOKCONFIGURATIONS = Resource(
    _ADMISSION,
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    False,
    categories=("api-extensions",),
)
VALIDATINGWEBHOOKCONFIGURATIONS = Resource(
    _ADMISSION,
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    False,
    categories=("api-extensions",),
)
CUSTOMRESOURCEDEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True)
EVENTS_V1 = Resource("events.k8s.io", "v1", "events", "Event", True, short_names=("ev",))
ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True)
CSIDRIVERS = Resource("storage.k8s.io", "v1", "csidrivers", "CSIDriver", False)
CSINODES = Resource("storage.k8s.io", "v1", "csinodes", "CSINode", False)
STORAGECLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, short_names=("sc",))
PODDISRUPTIONBUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, short_names=("pdb",)
)
PRIORITYCLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, short_names=("pc",))
NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, short_names=("netpol",))
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, short_names=("ing",))
INGRESSCLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False)
VALIDATINGADMISSIONPOLICIES = Resource(
    _ADMISSION,
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    False,
    categories=("api-extensions",),
)
VALIDATINGADMISSIONPOLICYBINDINGS = Resource(
    _ADMISSION,
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    False,
    categories=("api-extensions",),
)

BUILTIN: tuple[Resource, ...] = (
    PODS,
    SERVICES,
    NAMESPACES,
    NODES,
    SECRETS,
    CONFIGMAPS,
    SERVICEACCOUNTS,
    EVENTS,
    ENDPOINTS,
    BINDINGS,
    PODTEMPLATES,
    PERSISTENTVOLUMES,
    PERSISTENTVOLUMECLAIMS,
    LIMITRANGES,
    RESOURCEQUOTAS,
    DEPLOYMENTS,
    REPLICASETS,
    DAEMONSETS,
    STATEFULSETS,
    CONTROLLERREVISIONS,
    JOBS,
    CRONJOBS,
    ROLES,
    ROLEBINDINGS,
    CLUSTERROLES,
    CLUSTERROLEBINDINGS,
    TOKENREVIEWS,
    SELFSUBJECTREVIEWS,
    SUBJECTACCESSREVIEWS,
    LOCALSUBJECTACCESSREVIEWS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    CUSTOMRESOURCEDEFINITIONS,
    LEASES,
    EVENTS_V1,
    ENDPOINTSLICES,
    CSIDRIVERS,
    CSINODES,
    STORAGECLASSES,
    PODDISRUPTIONBUDGETS,
    PRIORITYCLASSES,
    NETWORKPOLICIES,
    INGRESSES,
    INGRESSCLASSES,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
)
"""Every resource of Kubernetes itself that podpass names; a cluster may serve fewer or more."""
