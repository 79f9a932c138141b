"""From a container of a pod spec to the process that a runtime starts."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podpass.kube import objects
from podpass.kube.objects import Obj
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
from podpass.lab.node.images.users import NoUser, find_user
from podpass.lab.node.runtime import CannotStart, ContainerProcess, Mount, PodSandbox
from podpass.lab.node.sandbox import DEFAULT_CAPABILITIES
from podpass.lab.node.termination import make_message_file

_LONGEST_HOSTNAME = 63


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a runtime is to start."""

    process: ContainerProcess
    skipped: tuple[str, ...]
    """Keys of envFrom sources that can't name a variable."""
    message_file: Path
    """What the container leaves as its last words."""


def hostname(pod: Obj) -> str:
    """The pod's host name: its own, or the pod's name, cut to what a host name may be."""
    wanted = str(objects.spec(pod).get("hostname") or objects.name(pod))
    return wanted[:_LONGEST_HOSTNAME].rstrip("-.")


def sandbox(pod: Obj, address: str, directory: Path) -> PodSandbox:
    spec, namespace = objects.spec(pod), objects.namespace(pod)
    domains = (f"{namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local")
    aliases = tuple((alias["ip"], tuple(alias.get("hostnames") or ())) for alias in spec.get("hostAliases") or ())
    return PodSandbox(
        uid=objects.uid(pod),
        name=objects.name(pod),
        namespace=namespace,
        hostname=hostname(pod),
        address=address,
        directory=directory,
        search=domains,
        host_aliases=aliases,
    )


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
    security = container.get("securityContext") or {}
    pod_security = objects.spec(pod).get("securityContext") or {}
    user, group, home = _user(image, security, pod_security)
    if security.get("runAsNonRoot", pod_security.get("runAsNonRoot")):
        asked = security.get("runAsUser", pod_security.get("runAsUser"))
        where = f"(pod: {objects.name(pod)!r}, container: {container['name']})"
        named = image.user.partition(":")[0]
        if asked is None and named and not named.isdecimal():
            return NotYet(
                f"container has runAsNonRoot and image has non-numeric user ({named}), cannot verify user is non-root"
                f" {where}"
            )
        if not user:
            return NotYet(f"container has runAsNonRoot and image will run as root {where}")
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
        environment={**home, **image.environment, **merged.variables},
        mounts=(*_mounts(container, merged, volume_paths), message),
        working_directory=container.get("workingDir") or image.working_directory,
        user=user,
        group=group,
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
        capabilities=_capabilities(security.get("capabilities") or {}),
    )
    return Prepared(process, merged.skipped, message.source)


def _user(image: ResolvedImage, security: Obj, pod_security: Obj) -> tuple[int | None, int | None, dict[str, str]]:
    """Who the container runs as, and where that user is at home in an image with a root of its own.

    Raises CannotStart when the image names somebody it does not have.
    """
    user = security.get("runAsUser", pod_security.get("runAsUser"))
    group = security.get("runAsGroup", pod_security.get("runAsGroup"))
    if image.root is None:
        return user, group, {}
    try:
        found = find_user(image.root, image.user if user is None else str(user))
    except NoUser as error:
        raise CannotStart("CreateContainerError", str(error)) from error
    return found.number, found.group if group is None else group, {"HOME": found.home}


def _mounts(container: Obj, merged: Environment, volume_paths: Mapping[str, Path]) -> tuple[Mount, ...]:
    mounts = []
    for mount in container.get("volumeMounts") or ():
        name = mount.get("name", "")
        source = volume_paths.get(name)
        if source is None:
            raise CannotStart("CreateContainerConfigError", f'volume "{name}" not found')
        inner = mount.get("subPath") or expand(mount.get("subPathExpr") or "", merged.variables)
        if inner:
            if inner.startswith("/") or ".." in inner.split("/"):
                raise CannotStart("CreateContainerConfigError", f"subPath {inner!r} must be relative and without '..'")
            root, source = source.resolve(), source / inner
            if not source.resolve().is_relative_to(root):
                raise CannotStart("CreateContainerConfigError", f"subPath {inner!r} leads out of volume {name}")
            if not source.exists():
                source.mkdir(parents=True)
            # As with the kubelet, what a subPath shows is fixed when the container starts.
            source = source.resolve()
        mounts.append(Mount(mount.get("mountPath", ""), source, bool(mount.get("readOnly"))))
    return tuple(mounts)


def _capabilities(changes: Obj) -> tuple[str, ...]:
    dropped = {str(name).upper().removeprefix("CAP_") for name in changes.get("drop") or ()}
    added = {str(name).upper().removeprefix("CAP_") for name in changes.get("add") or ()}
    return tuple(
        capability
        for capability in DEFAULT_CAPABILITIES
        if (name := capability.removeprefix("CAP_")) in added or not dropped & {"ALL", name}
    )
