"""Volumes that a CSI driver on the node makes: what the node asks of one, and where the drivers are found.

Contract: Kubernetes API surface, section 7.4. No driver registers with this node yet, so a pod that names one waits,
and its event says so.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CsiVolume:
    """A volume of a pod that a driver is to show at *target*."""

    driver: str
    id: str
    target: Path
    read_only: bool
    attributes: Mapping[str, str]
    """The volume's own, and those that tell of the pod."""
    secrets: Mapping[str, bytes] = field(repr=False)
    """Of the Secret that nodePublishSecretRef names."""


class CsiFailed(Exception):
    """The driver could not do it, or there is none; the text is for the event."""


class CsiDrivers(Protocol):
    """The drivers that have registered with a node."""

    def republishes(self, driver: str) -> bool:
        """Whether the driver wants to be asked again from time to time, so that it can renew what it shows."""
        ...

    async def publish(self, volume: CsiVolume) -> None:
        """Show *volume*; asked again it renews it. Raises CsiFailed."""
        ...

    async def unpublish(self, volume: CsiVolume) -> None:
        """Take *volume* away, which may be gone already. Raises CsiFailed."""
        ...


class NoDrivers:
    """A node with which no driver has registered."""

    def republishes(self, driver: str) -> bool:
        return False

    async def publish(self, volume: CsiVolume) -> None:
        raise CsiFailed(
            "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name"
            f" {volume.driver} not found in the list of registered CSI drivers"
        )

    async def unpublish(self, volume: CsiVolume) -> None:
        """Nothing was ever shown."""


def inline_id(pod_uid: str, volume: str) -> str:
    """The id of a volume that a pod's spec holds itself."""
    return "csi-" + hashlib.sha256(f"{pod_uid}{volume}".encode()).hexdigest()


def pod_attributes(name: str, namespace: str, uid: str, account: str) -> dict[str, str]:
    """What a driver is told of the pod that an inline volume is for."""
    prefix = "csi.storage.k8s.io/"
    return {
        f"{prefix}pod.name": name,
        f"{prefix}pod.namespace": namespace,
        f"{prefix}pod.uid": uid,
        f"{prefix}serviceAccount.name": account,
        f"{prefix}ephemeral": "true",
    }
