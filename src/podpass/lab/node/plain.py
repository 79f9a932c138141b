"""Pods as child processes, where namespaces are not to be had.

The same helper process starts and ends them. Paths can't be given exactly, so variables that are known to hold a
volume's path are rewritten to where the volume really is, and LAB_ROOT names the directory below which every mount
path of the container exists. The network is the host's own: `environment` must point clients at the lab's doors.
"""

import asyncio
import ipaddress
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from podpass.lab.node.addresses import NodeNetwork
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.runtime import (
    CannotStart,
    ContainerProcess,
    FabricRuntime,
    Listening,
    Mount,
    PodSandbox,
    RuntimeKind,
)

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PATH_VARIABLES = (
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CONFIG_DIR",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_EXTERNAL_ACCOUNT_CONFIG",
    "KUBECONFIG",
    "SERVICE_ACCOUNT_TOKEN_FILE",
)
"""Variables that hold the path of a file; others that only look so are left alone."""


METADATA_VARIABLE = "AZURE_POD_IDENTITY_AUTHORITY_HOST"
"""Where Azure's clients find the metadata service, in place of its fixed address."""


class PodEndpoints(Protocol):
    """Gives each pod a metadata service of its own, by whose address it is known."""

    async def open(self, pod: PodSandbox) -> str:
        """The URL of the pod's; empty when it gets none."""
        ...

    async def close(self, uid: str) -> None: ...


class PlainRuntime(FabricRuntime):
    """Child processes of one helper. *environment* is what reaches the lab from the host: proxies, CA variables."""

    kind: RuntimeKind = "plain"

    def __init__(self, *, directory: Path, environment: Mapping[str, str], why: str = "") -> None:
        self._directory = directory
        self._environment = dict(environment)
        self.endpoints: PodEndpoints | None = None
        self._own: dict[str, dict[str, str]] = {}
        """Of each pod, by its uid: the variables that are its own."""
        self.note = (
            "plain process without a sandbox: the pod shares this machine's network, files and processes, and volume"
            f" paths are below $LAB_ROOT{f' ({why})' if why else ''}"
        )
        super().__init__(sandboxed=False)

    async def add_node(self, node: NodeNetwork, *, metadata: Path | None = None) -> None:
        """Every node is this machine, which has no network in which *metadata* could answer."""

    async def remove_node(self, node: NodeNetwork) -> None:
        """Nothing was made for it."""

    async def serve(self, service: str, ports: Sequence[Listening]) -> list[str]:
        """Nothing: there is no network between pods here in which a Service could have an address."""
        return []

    async def create_pod(self, pod: PodSandbox) -> None:
        pod.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.endpoints is not None and pod.uid not in self._own and (url := await self.endpoints.open(pod)):
            self._own[pod.uid] = {METADATA_VARIABLE: url}

    async def remove_pod(self, uid: str) -> None:
        if self._own.pop(uid, None) is not None and self.endpoints is not None:
            await self.endpoints.close(uid)

    async def connect(self, address: str, port: int) -> int:
        """As in Runtime. Pods share this machine's loopback; nothing else is connected to."""
        if not ipaddress.ip_address(address).is_loopback:
            raise FabricFailed(f"{address} is unreachable: plain processes have the loopback addresses only")
        _, descriptors = await self.fabric.request("connect", address=address, port=port)
        return descriptors[0]

    async def dial(self, pod: str, port: int) -> int:
        """As in Runtime: the loopback of every pod is this machine's."""
        return await self.connect("127.0.0.1", port)

    async def run(
        self, process: ContainerProcess, output: int, errors: int, *, stdin: int | None = None
    ) -> asyncio.Future[int]:
        if process.image.root is not None:
            raise CannotStart(
                "CreateContainerError",
                f"image {process.image.reference} has a root of its own, which needs the sandbox",
            )
        if "CAP_NET_ADMIN" in process.capabilities:
            # Its node's network is this machine's: rules made there would lead this machine's own programs astray.
            raise CannotStart(
                "CreateContainerError",
                "the container wants to change its node's network (NET_ADMIN), which is this machine's where pods are"
                " plain processes: it needs the sandbox",
            )
        root = _root(process)
        _lay_out(root, process.mounts)
        environment, directory = self._surroundings(process)
        if any("\0" in text for text in (*process.argv, *environment.values())):
            raise CannotStart("CreateContainerError", "invalid argument: a variable or argument holds a NUL byte")
        program = shutil.which(process.argv[0], path=environment["PATH"])
        if program is None:
            raise CannotStart("StartError", f'exec: "{process.argv[0]}": executable file not found in $PATH')
        if _ACCOUNT in {mount.path for mount in process.mounts}:
            _write_kubeconfig(process, root)
        os.makedirs(directory, exist_ok=True)
        return await self.fabric.run(
            process.container_id,
            descriptors=(output, errors) if stdin is None else (output, errors, stdin),
            tty=process.tty,
            pod=process.pod.uid,
            argv=[program, *process.argv[1:]],
            env=environment,
            cwd=directory,
        )

    def _surroundings(self, process: ContainerProcess) -> tuple[dict[str, str], str]:
        root = _root(process)
        environment = plain_environment(process, root, self._environment | self._own.get(process.pod.uid, {}))
        # An image's PATH names places of the image; the machine's own programs follow it.
        environment["PATH"] = f"{environment.get('PATH', '')}:{os.environ.get('PATH', os.defpath)}".strip(":")
        if _ACCOUNT in {mount.path for mount in process.mounts}:
            environment.setdefault("KUBECONFIG", str(_kubeconfig(root)))
        wanted = process.working_directory or process.image.working_directory
        return environment, str(root / wanted.lstrip("/"))


def plain_environment(process: ContainerProcess, root: Path, lab: Mapping[str, str]) -> dict[str, str]:
    """The container's variables with known paths moved below *root*, and the lab's own added.

    The lab's come last: a pod must not be able to leave the proxy that keeps it inside the lab.
    """
    home = root / "root"
    environment = {"HOME": str(home), "HOSTNAME": process.pod.hostname, **process.environment}
    if process.tty:
        environment.setdefault("TERM", "xterm")
    for name in PATH_VARIABLES:
        if value := environment.get(name):
            environment[name] = moved(value, process.mounts, root)
    return {**environment, **lab, "LAB_ROOT": str(root)}


def moved(path: str, mounts: Sequence[Mount], root: Path) -> str:
    """*path* below *root* when it lies in a volume, otherwise unchanged."""
    for mount in mounts:
        if path == mount.path or path.startswith(mount.path.rstrip("/") + "/"):
            return str(root) + path
    return path


def _root(process: ContainerProcess) -> Path:
    return process.pod.directory / "roots" / process.container_id


def _kubeconfig(root: Path) -> Path:
    return root / "kubeconfig"


def _write_kubeconfig(process: ContainerProcess, root: Path) -> None:
    """A kubeconfig for clients that would read the account's files at their fixed path."""
    account = f"{root}{_ACCOUNT}"
    host = process.environment.get("KUBERNETES_SERVICE_HOST", "")
    port = process.environment.get("KUBERNETES_SERVICE_PORT", "443")
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "in-cluster",
                "cluster": {"server": f"https://{host}:{port}", "certificate-authority": f"{account}/ca.crt"},
            }
        ],
        "users": [{"name": "account", "user": {"tokenFile": f"{account}/token"}}],
        "contexts": [
            {
                "name": "in-cluster",
                "context": {"cluster": "in-cluster", "user": "account", "namespace": process.pod.namespace},
            }
        ],
        "current-context": "in-cluster",
    }
    _kubeconfig(root).write_text(json.dumps(document))


def _lay_out(root: Path, mounts: Sequence[Mount]) -> None:
    """Every mount path below *root*, as a symbolic link to its volume. Raises CannotStart."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for mount in sorted(mounts, key=lambda mount: len(Path(mount.path).parts)):
        place = root / os.path.normpath(mount.path).lstrip("/")
        if any(parent.is_symlink() for parent in place.parents if parent != root):
            if mount.optional:
                continue
            raise CannotStart(
                "CreateContainerError", f"{mount.path} lies inside another volume, which plain processes can't show"
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(mount.source)
    (root / "root").mkdir(mode=0o700, exist_ok=True)
