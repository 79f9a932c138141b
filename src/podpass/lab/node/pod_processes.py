"""From a container of a pod spec to the process that a runtime starts."""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.node import naming, security
from podpass.lab.node.container_environment import (
    Environment,
    NotYet,
    References,
    expand,
    expanded,
    resolve,
)
from podpass.lab.node.fields import Place
from podpass.lab.node.images import ResolvedImage
from podpass.lab.node.runtime import CannotStart, ContainerProcess, HostPort, Mount, PodSandbox
from podpass.lab.node.termination import make_message_file

_VARIABLE = re.compile(r"\$\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a runtime is to start."""

    process: ContainerProcess
    skipped: tuple[str, ...]
    """Keys of envFrom sources that can't name a variable."""
    message_file: Path
    """What the container leaves as its last words."""


def sandbox(pod: Obj, address: str, directory: Path, nameserver: str) -> PodSandbox:
    """What the containers of *pod* share. Raises ValueError where its full name can't be a host name."""
    return PodSandbox(
        uid=objects.uid(pod),
        name=objects.name(pod),
        namespace=objects.namespace(pod),
        hostname=naming.kernel_hostname(pod),
        address=address,
        directory=directory,
        hosts=naming.hosts_file(pod, address),
        resolver=str(naming.resolver(pod, nameserver)),
        host_ports=tuple(_host_ports(pod)),
        node=objects.spec(pod).get("nodeName") or "",
        host_network=bool(objects.spec(pod).get("hostNetwork")),
    )


def _host_ports(pod: Obj) -> Iterator[HostPort]:
    for container in objects.spec(pod).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield HostPort(port.get("protocol") or "TCP", int(port["hostPort"]), int(port["containerPort"]))


def prepare(
    pod: Obj,
    container: Obj,
    *,
    image: ResolvedImage,
    references: References,
    place: Place,
    services: Mapping[str, str],
    shared: PodSandbox,
    volume_paths: Mapping[str, Path],
) -> Prepared | NotYet:
    """What is started for *container*; NotYet where something it names is missing. Raises CannotStart."""
    merged = resolve(pod, container, references, place, services)
    if isinstance(merged, NotYet):
        return merged
    found = security.identity(pod, container, image)
    if isinstance(found, NotYet):
        return found
    argv = image.argv(
        expanded(container.get("command"), merged.variables), expanded(container.get("args"), merged.variables)
    )
    if not argv:
        raise CannotStart("CreateContainerError", "no command specified, and the catalogue's entry has none")
    message = make_message_file(container, shared.directory)
    process = ContainerProcess(
        container_id=secrets.token_hex(32),
        pod=shared,
        image=image,
        argv=argv,
        environment={**found.home, **image.environment, **merged.variables},
        mounts=(*_mounts(container, merged, volume_paths), message),
        working_directory=container.get("workingDir") or image.working_directory,
        user=found.user,
        group=found.group,
        read_only_root=found.read_only_root,
        capabilities=found.capabilities,
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
    )
    return Prepared(process, merged.skipped, message.source)


def _mounts(container: Obj, merged: Environment, volume_paths: Mapping[str, Path]) -> tuple[Mount, ...]:
    mounts = []
    for mount in container.get("volumeMounts") or ():
        name = mount.get("name", "")
        source = volume_paths.get(name)
        if source is None:
            raise CannotStart("CreateContainerConfigError", f'volume "{name}" not found')
        if inner := _inner_path(mount, merged.variables):
            source = _inside(source, inner, mount, container)
        mounts.append(Mount(mount.get("mountPath", ""), source, bool(mount.get("readOnly"))))
    return tuple(mounts)


def _inner_path(mount: Obj, variables: Mapping[str, str]) -> str:
    """The subPath of *mount*, its variables put in. Raises CannotStart."""
    expression = mount.get("subPathExpr") or ""
    for name in _VARIABLE.findall(expression.replace("$$", "")):
        if name not in variables:
            raise CannotStart("CreateContainerConfigError", f'missing value for "{name}"')
    inner = str(mount.get("subPath") or expand(expression, variables))
    if inner.startswith("/"):
        raise CannotStart("CreateContainerConfigError", f"error SubPath `{inner}` must not be an absolute path")
    if ".." in inner.split("/"):
        raise CannotStart("CreateContainerConfigError", f"unable to provision SubPath `{inner}`: must not contain '..'")
    return inner


def _inside(volume: Path, inner: str, mount: Obj, container: Obj) -> Path:
    """The place of *inner* in *volume*, made where it is missing. Raises CannotStart where it leads out."""
    root, source = volume.resolve(), volume / inner
    refusal = f'failed to prepare subPath for volumeMount "{mount.get("name")}" of container "{container["name"]}"'
    if not source.resolve().is_relative_to(root):
        raise CannotStart("CreateContainerConfigError", refusal)
    try:
        source.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        pass  # A file of the volume, which is shown as one.
    except OSError as error:
        raise CannotStart("CreateContainerConfigError", f"{refusal}: {error.strerror}") from error
    # As with the kubelet, what a subPath shows is fixed when the container starts.
    return source.resolve()
