"""As whom a container runs, with which capabilities, and what of that this node can't give.

Contract: Kubernetes API surface, section 7.2. The sandbox is a user namespace with one user and one group, so
ownership by others does not exist in it; and the node is somebody's machine, so nothing reaches beyond the pod.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.node.container_environment import NotYet, containers
from podpass.lab.node.images import ResolvedImage
from podpass.lab.node.images.users import NoUser, find_user
from podpass.lab.node.runtime import CannotStart, RuntimeKind

DEFAULT_CAPABILITIES = ("CAP_NET_BIND_SERVICE", "CAP_NET_RAW")
"""Of Kubernetes' default set, those that mean anything with one mapped user and a read-only system."""
GRANTED_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_KILL",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
)
"""What a container may be given more: power over its own processes and over its pod's network. With others it could
undo the read-only mounts between itself and this machine."""


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a container runs. None is whoever the runtime starts it as."""

    user: int | None
    group: int | None
    capabilities: tuple[str, ...]
    read_only_root: bool
    home: Mapping[str, str] = field(default_factory=dict)
    """The variable that says where that user is at home, where the image says it."""


def identity(pod: Obj, container: Obj, image: ResolvedImage) -> Identity | NotYet:
    """As whom *container* is started; NotYet where its author forbids that.

    Raises CannotStart when the image names somebody it does not have.
    """
    own, shared = container.get("securityContext") or {}, objects.spec(pod).get("securityContext") or {}
    user, group = own.get("runAsUser", shared.get("runAsUser")), own.get("runAsGroup", shared.get("runAsGroup"))
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")):
        refusal = _why_not_non_root(user, image)
        if refusal:
            who = f"{objects.name(pod)}_{objects.namespace(pod)}({objects.uid(pod)})"
            return NotYet(f'{refusal} (pod: "{who}", container: {container["name"]})')
    home: Mapping[str, str] = {}
    if image.root is not None:
        try:
            found = find_user(image.root, image.user if user is None else str(user))
        except NoUser as error:
            raise CannotStart("CreateContainerError", str(error)) from error
        user, group = found.number, found.group if group is None else group
        home = {"HOME": found.home}
    return Identity(
        user=user,
        group=group,
        # A program of another user than root starts without any, as everywhere.
        capabilities=() if user else _capabilities(own),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        home=home,
    )


def _why_not_non_root(user: int | None, image: ResolvedImage) -> str:
    """Why nobody can be sure that the container does not run as root; empty where that is sure."""
    if user is not None:
        return "" if user else "container's runAsUser breaks non-root policy"
    named = image.user.partition(":")[0]
    if named and not named.isdecimal():
        return f"container has runAsNonRoot and image has non-numeric user ({named}), cannot verify user is non-root"
    return "" if named.strip("0") else "container has runAsNonRoot and image will run as root"


def _capabilities(security: Obj) -> tuple[str, ...]:
    if security.get("privileged"):
        return GRANTED_CAPABILITIES
    changes = security.get("capabilities") or {}
    added, dropped = _names(changes.get("add")), _names(changes.get("drop"))
    kept = () if "CAP_ALL" in dropped else tuple(name for name in DEFAULT_CAPABILITIES if name not in dropped)
    return tuple(name for name in GRANTED_CAPABILITIES if name in kept or name in added or "CAP_ALL" in added)


def _names(listed: list[str] | None) -> set[str]:
    return {"CAP_" + str(name).upper().removeprefix("CAP_") for name in listed or ()}


def withheld(pod: Obj, kind: RuntimeKind) -> str:
    """What *pod* asks for and does not get, in words; empty when it gets everything."""
    spec = objects.spec(pod)
    shared = spec.get("securityContext") or {}
    each = [container.get("securityContext") or {} for container in containers(pod)]
    if kind == "plain":
        asked = any(value for context in (shared, *each) for value in context.values())
        return "plain processes run as the lab's own user, whatever the securityContext says" if asked else ""
    words = []
    groups = [name for name in ("fsGroup", "supplementalGroups") if shared.get(name)]
    if groups:
        words.append(f"{' and '.join(groups)} can't be shown: every file belongs to the container's own user")
    if any(context.get("privileged") for context in each):
        words.append("privileged containers get power over their own pod only")
    refused = {
        name
        for context in each
        for name in _names((context.get("capabilities") or {}).get("add"))
        if name not in GRANTED_CAPABILITIES and name != "CAP_ALL"
    }
    if refused:
        words.append(f"not given: {', '.join(sorted(refused))}")
    if any(context.get("allowPrivilegeEscalation") for context in each):
        words.append("no program of the sandbox gains privileges")
    if spec.get("shareProcessNamespace"):
        words.append("containers do not share their processes")
    return "; ".join(words)


def fs_group(pod: Obj) -> int | None:
    """The group that a pod's volumes are made for."""
    group = (objects.spec(pod).get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)
