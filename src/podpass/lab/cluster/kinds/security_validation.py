"""What is wrong with the security contexts of a pod and of its containers, in the API server's words.

Contract: Kubernetes API surface, section 2.3. SELinux, AppArmor and Windows options are taken as they are.
"""

from collections.abc import Iterator
from typing import Any

from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules

MOST_ID = 2_147_483_647
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")


def pod_security(context: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with the context that a pod's containers share."""
    for member in ("fsGroup", "runAsUser", "runAsGroup"):
        yield from _id(f"{path}.{member}", context.get(member))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _id(f"{path}.supplementalGroups[{index}]", group)
    yield from rules.one_of(
        f"{path}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"), ("Always", "OnRootMismatch")
    )
    yield from rules.one_of(
        f"{path}.supplementalGroupsPolicy", context.get("supplementalGroupsPolicy"), ("Merge", "Strict")
    )
    yield from _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")


def container_security(context: Obj, path: str, *, host_users: bool) -> Iterator[Cause]:
    """What is wrong with a container's own context; *host_users* unless the pod has users of its own."""
    for member in ("runAsUser", "runAsGroup"):
        yield from _id(f"{path}.{member}", context.get(member))
    yield from rules.one_of(f"{path}.procMount", context.get("procMount"), ("Default", "Unmasked"))
    if context.get("procMount") == "Unmasked" and host_users:
        yield invalid(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`")
    yield from _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        refused = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            yield invalid(path, context, f"{refused} `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield invalid(path, context, f"{refused} `capabilities.Add` CAP_SYS_ADMIN")


def _id(path: str, value: Any) -> Iterator[Cause]:
    if isinstance(value, int) and not 0 <= value <= MOST_ID:
        yield invalid(path, value, f"must be between 0 and {MOST_ID}, inclusive")


def _seccomp(profile: Obj | None, path: str) -> Iterator[Cause]:
    if profile is None:
        return
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in _SECCOMP:
        yield not_supported(f"{path}.type", kind, _SECCOMP)
    elif kind == "Localhost" and not local:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif kind != "Localhost" and local is not None:
        yield invalid(f"{path}.localhostProfile", local, "can only be set when seccomp type is Localhost")
