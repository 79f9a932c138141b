"""The manifests that come with podpass: `deploy/pod-identity` in its sources, beside this file once installed."""

from pathlib import Path

import yaml

from podpass.kube.objects import Obj

DEFINITIONS = "00-crds.yaml"
NMI_RIGHTS = "10-nmi-rbac.yaml"
NMI_MANAGED = "20-nmi-managed.yaml"


def read(name: str) -> list[Obj]:
    """The objects of the manifest of that name."""
    return list(yaml.safe_load_all((_directory() / name).read_text()))


def _directory() -> Path:
    installed = Path(__file__).with_name("manifests")
    return installed if installed.is_dir() else Path(__file__).parents[3] / "deploy/pod-identity"
