"""The kubeconfig of one of the lab's clusters."""

import base64
from collections.abc import Mapping

import yaml


def kubeconfig(*, cluster: str, user: str, server: str, ca_pem: bytes, credential: Mapping[str, str]) -> str:
    """The file with one cluster, one user and one context, which is called like the cluster."""
    where = {"server": server, "certificate-authority-data": encoded(ca_pem)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": where}],
            "users": [{"name": user, "user": dict(credential)}],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
            "current-context": cluster,
        },
        sort_keys=False,
    )


def encoded(pem: bytes) -> str:
    """*pem* as the members whose names end in -data hold it."""
    return base64.b64encode(pem).decode()
