"""An operator on a kind of its own: each Site gets a ConfigMap with its page, and says so in its status."""

from typing import Any

import kopf
import kubernetes


@kopf.on.login()
def login(**_: Any) -> Any:
    return kopf.login_with_kubeconfig(**_)


@kopf.on.startup()
def configure(**_: Any) -> None:
    kubernetes.config.load_kube_config()


def page(name: str, spec: Any) -> dict[str, Any]:
    data = {"index.html": spec["title"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@kopf.on.create("clients.example.test", "v1", "sites")
def create(name: str, namespace: str, spec: Any, patch: Any, **_: Any) -> None:
    wanted = page(name, spec)
    kopf.adopt(wanted)
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, wanted)
    patch.status["title"] = spec["title"]


@kopf.on.update("clients.example.test", "v1", "sites", field="spec.title")
def update(name: str, namespace: str, spec: Any, patch: Any, **_: Any) -> None:
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(name, namespace, page(name, spec))
    patch.status["title"] = spec["title"]


@kopf.on.delete("clients.example.test", "v1", "sites")
def delete(name: str, namespace: str, **_: Any) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-was-here"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)
