"""The webhook's objects in a cluster: names, permissions, registration.

The lab installs exactly these, and the files in deploy/webhook are these written as YAML.
Contract: azure workload identity, sections 1.11 to 1.13.
"""

from typing import Any

from podpass.azure.workload_identity import USE_LABEL
from podpass.kube.objects import Obj
from podpass.webhook.metrics import PATH

NAMESPACE = "azure-workload-identity-system"
IMAGE = "podpass"
CONFIGURATION = "azure-wi-webhook-mutating-webhook-configuration"
WEBHOOK = "mutation.azure-workload-identity.io"
SERVICE = "azure-wi-webhook-webhook-service"
SECRET = "azure-wi-webhook-server-cert"  # noqa: S105 - an object's name
CONFIG_MAP = "azure-wi-webhook-config"
ACCOUNT = "azure-wi-webhook-admin"
ROLE = "azure-wi-webhook-manager-role"
BINDING = "azure-wi-webhook-manager-rolebinding"
DEPLOYMENT = "azure-wi-webhook-controller-manager"
LABELS = {"azure-workload-identity.io/system": "true"}


def webhook_configuration(
    *, namespace: str = NAMESPACE, url: str = "", ca_bundle: str = "", namespace_selector: Obj | None = None
) -> Obj:
    """The MutatingWebhookConfiguration; with *url* (and *ca_bundle*, base64) for one outside the cluster."""
    client_config: Obj = {"url": url} if url else {"service": {"name": SERVICE, "namespace": namespace, "path": PATH}}
    if ca_bundle:
        client_config["caBundle"] = ca_bundle
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION, "labels": dict(LABELS)},
        "webhooks": [
            {
                "name": WEBHOOK,
                "admissionReviewVersions": ["v1", "v1beta1"],
                "clientConfig": client_config,
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "namespaceSelector": namespace_selector or {},
                "objectSelector": {"matchLabels": {USE_LABEL: "true"}},
                "reinvocationPolicy": "IfNeeded",
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "sideEffects": "None",
            }
        ],
    }


def cluster_role() -> Obj:
    """What the webhook may do everywhere: read service accounts, and keep its own registration's caBundle right."""
    ours = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"]}
    return {
        **_head("rbac.authorization.k8s.io/v1", "ClusterRole", ROLE),
        "rules": [
            {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"]},
            {**ours, "resourceNames": [CONFIGURATION], "verbs": ["get", "list", "update", "watch"]},
        ],
    }


def role(namespace: str = NAMESPACE) -> Obj:
    """What it may do at home: keep its certificate in the one Secret that is made for it."""
    return {
        **_head("rbac.authorization.k8s.io/v1", "Role", ROLE, namespace),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [SECRET],
                "verbs": ["get", "list", "update", "watch"],
            }
        ],
    }


def rbac(namespace: str = NAMESPACE) -> list[Obj]:
    """The service account, its roles and their bindings."""
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}]
    group = "rbac.authorization.k8s.io"
    return [
        _head("v1", "ServiceAccount", ACCOUNT, namespace),
        role(namespace),
        {
            **_head(f"{group}/v1", "RoleBinding", BINDING, namespace),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ROLE},
            "subjects": subjects,
        },
        cluster_role(),
        {
            **_head(f"{group}/v1", "ClusterRoleBinding", BINDING),
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ROLE},
            "subjects": subjects,
        },
    ]


def namespace_object(namespace: str = NAMESPACE) -> Obj:
    obj = _head("v1", "Namespace", namespace)
    obj["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    return obj


def certificate_secret(namespace: str = NAMESPACE) -> Obj:
    """Empty: the webhook fills it."""
    return _head("v1", "Secret", SECRET, namespace)


def config_map(namespace: str = NAMESPACE, *, tenant_id: str = "${AZURE_TENANT_ID}") -> Obj:
    """The webhook's environment; without a tenant it holds the placeholder that `envsubst` fills."""
    data = {"AZURE_ENVIRONMENT": "AzurePublicCloud", "AZURE_TENANT_ID": tenant_id}
    return {**_head("v1", "ConfigMap", CONFIG_MAP, namespace), "data": data}


def service(namespace: str = NAMESPACE) -> Obj:
    return {
        **_head("v1", "Service", SERVICE, namespace),
        "spec": {"ports": [{"port": 443, "targetPort": 9443}], "selector": dict(LABELS)},
    }


def disruption_budget(namespace: str = NAMESPACE) -> Obj:
    return {
        **_head("policy/v1", "PodDisruptionBudget", DEPLOYMENT, namespace),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": dict(LABELS)}},
    }


def deployment(namespace: str = NAMESPACE, *, image: str = IMAGE) -> Obj:
    """Two replicas. The certificate comes from the Secret through the API: nothing but a scratch space is mounted."""
    container: Obj = {
        "name": "manager",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["podpass", "webhook"],
        "args": ["--log-level=info"],
        "env": [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "envFrom": [{"configMapRef": {"name": CONFIG_MAP}}],
        "ports": [
            {"containerPort": 9443, "name": "webhook-server", "protocol": "TCP"},
            {"containerPort": 8095, "name": "metrics", "protocol": "TCP"},
            {"containerPort": 9440, "name": "healthz", "protocol": "TCP"},
        ],
        "livenessProbe": _probe("/healthz", initialDelaySeconds=15, periodSeconds=20, failureThreshold=6),
        "readinessProbe": _probe("/readyz", initialDelaySeconds=5, periodSeconds=5),
        # A Python process with its libraries is larger than upstream's 20 and 30 MiB.
        "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": 65532,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"mountPath": "/tmp", "name": "scratch"}],  # noqa: S108 - where key pairs pass into OpenSSL
    }
    return {
        **_head("apps/v1", "Deployment", DEPLOYMENT, namespace),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": dict(LABELS)},
            "template": {
                "metadata": {"labels": dict(LABELS)},
                "spec": {
                    "containers": [container],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": ACCOUNT,
                    "terminationGracePeriodSeconds": 15,
                    "volumes": [{"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}, "name": "scratch"}],
                },
            },
        },
    }


def files(namespace: str = NAMESPACE) -> dict[str, list[Obj]]:
    """The files of deploy/webhook and the objects in each, in the order in which they are applied."""
    return {
        "00-namespace.yaml": [namespace_object(namespace)],
        "10-rbac.yaml": rbac(namespace),
        "20-configuration.yaml": [config_map(namespace), certificate_secret(namespace)],
        "30-deployment.yaml": [service(namespace), deployment(namespace), disruption_budget(namespace)],
        "40-webhook.yaml": [webhook_configuration(namespace=namespace)],
    }


def _head(api_version: str, kind: str, name: str, namespace: str = "") -> Obj:
    metadata: dict[str, Any] = {"name": name, "labels": dict(LABELS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _probe(path: str, **times: int) -> Obj:
    return {"httpGet": {"path": path, "port": "healthz"}, **times}
