"""An operator on ConfigMaps: each one labelled `mirror=yes` gets a Secret with its data, which goes with it."""

import base64
from typing import Any

import kopf
import kubernetes


def secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


@kopf.on.login()
def login(**_: Any) -> Any:
    return kopf.login_with_kubeconfig(**_)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    kubernetes.config.load_kube_config()
    settings.persistence.finalizer = "settings.example.test/mirror"


@kopf.on.create("configmaps", labels={"mirror": "yes"})
def create(name: str, namespace: str, body: Any, patch: Any, **_: Any) -> None:
    wanted = secret(name, dict(body["data"]))
    kopf.adopt(wanted)
    kubernetes.client.CoreV1Api().create_namespaced_secret(namespace, wanted)
    kopf.event(body, type="Normal", reason="Mirrored", message=f"made secret {name}")
    patch.metadata.annotations["mirrored"] = "created"


@kopf.on.update("configmaps", labels={"mirror": "yes"}, field="data")
def update(name: str, namespace: str, new: Any, patch: Any, **_: Any) -> None:
    kubernetes.client.CoreV1Api().patch_namespaced_secret(name, namespace, {"data": secret(name, new)["data"]})
    patch.metadata.annotations["mirrored"] = "updated"


@kopf.on.delete("configmaps", labels={"mirror": "yes"})
def delete(name: str, namespace: str, **_: Any) -> None:
    note = {"metadata": {"name": f"{name}-was-here"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, note)


@kopf.timer("configmaps", labels={"mirror": "yes"}, interval=0.2)
def count(body: Any, patch: Any, **_: Any) -> None:
    turns = int(body["metadata"].get("annotations", {}).get("turns", 0))
    if turns < 2:
        patch.metadata.annotations["turns"] = str(turns + 1)
