"""An admission review of a 10 KB pod, and where the lab's webhook answers."""

import json
from urllib.parse import urlsplit

from podpass.azure.workload_identity import USE_LABEL

POD_BYTES = 10_000


def address(configuration: bytes) -> tuple[int, str]:
    """Port and path of the webhook that a MutatingWebhookConfiguration names by URL."""
    url = urlsplit(json.loads(configuration)["webhooks"][0]["clientConfig"]["url"])
    return url.port or 443, url.path


def review(uid: str) -> bytes:
    """The review of a pod whose JSON is about POD_BYTES long: several containers with environment and probes."""
    containers = [
        {
            "name": f"app-{number}",
            "image": "registry.example.com/shop/orders:1.4.2",
            "env": [{"name": f"SETTING_{index}", "value": "x" * 40} for index in range(20)],
            "volumeMounts": [{"name": "scratch", "mountPath": f"/scratch/{index}"} for index in range(3)],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
        }
        for number in range(5)
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "orders",
            "namespace": "shop",
            "labels": {USE_LABEL: "true"},
            "annotations": {"padding": ""},
        },
        "spec": {
            "serviceAccountName": "orders",
            "containers": containers,
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }
    pod["metadata"]["annotations"]["padding"] = "x" * max(0, POD_BYTES - len(json.dumps(pod)))  # type: ignore[index]
    request = {
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "bench"},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
