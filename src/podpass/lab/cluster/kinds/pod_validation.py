"""What is wrong with a pod, member by member, in the API server's words.

Covers what people get wrong; affinity and the storage sources the lab has no use for are taken as they are.
Contract: Kubernetes API surface, sections 2.2, 2.3 and 2.11.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from podpass.kube import names, objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import (
    Cause,
    StatusError,
    duplicate,
    forbidden_field,
    invalid,
    not_found,
    not_supported,
    required,
)
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.field_reference_validation import ENV_FIELDS, field_reference, resource_reference
from podpass.lab.cluster.kinds.handler_validation import handlers
from podpass.lab.cluster.kinds.naming_validation import naming
from podpass.lab.cluster.kinds.security_validation import container_security, pod_security
from podpass.lab.cluster.kinds.volume_validation import volumes

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_EPHEMERAL = "spec.ephemeralContainers"
_NOT_EPHEMERAL = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "restartPolicy")
_MATCH_ALL = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_causes(pod: Obj) -> list[Cause]:
    """Everything that keeps a new pod from being stored; empty when nothing does."""
    causes = list(spec_causes(objects.spec(pod), "spec"))
    if objects.spec(pod).get("ephemeralContainers"):
        causes.append(forbidden_field(_EPHEMERAL, "cannot be set on create"))
    return causes


def pod_update_causes(new: Obj, old: Obj) -> list[Cause]:
    """What an update may not change in a pod that exists, and what is wrong with what it may."""
    return [
        *_update_causes(objects.spec(new), objects.spec(old)),
        *_ephemeral_causes(objects.spec(new), objects.spec(old)),
    ]


def ephemeral_containers(new: Obj, old: Obj) -> Obj:
    """What a write to pods/ephemeralcontainers changes."""
    spec = {**objects.spec(old), "ephemeralContainers": objects.spec(new).get("ephemeralContainers") or []}
    return {"spec": {name: value for name, value in spec.items() if value or name != "ephemeralContainers"}}


def refuse_what_has_a_path_of_its_own(new: Obj, old: Obj) -> None:
    """Raises StatusError 422 for an update of a pod itself that gives it a node or an ephemeral container."""
    given_a_node = objects.spec(new).get("nodeName") and not objects.spec(old).get("nodeName")
    ephemeral = [objects.spec(pod).get("ephemeralContainers") or [] for pod in (new, old)]
    if given_a_node or ephemeral[0] != ephemeral[1]:
        raise StatusError.invalid(resources.PODS, objects.name(old), [forbidden_field("spec", _CHANGEABLE)])


def spec_causes(spec: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with a pod's spec, or with a template's at another *path*."""
    volume_names = {volume.get("name") or "" for volume in spec.get("volumes") or ()}
    yield from volumes(spec.get("volumes") or [], f"{path}.volumes")
    main = spec.get("containers") or []
    if not main:
        yield required(f"{path}.containers")
    seen: list[str] = []
    for member in ("containers", "initContainers"):
        listed = spec.get(member) or []
        for index, container in enumerate(listed):
            place = f"{path}.{member}[{index}]"
            yield from _container(container, place, spec, volume_names, init=member == "initContainers")
            name = container.get("name") or ""
            if name and name in seen:
                yield duplicate(f"{place}.name", name)
            seen.append(name)
    if (policy := spec.get("restartPolicy")) not in _RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", policy or "", _RESTART_POLICIES)
    yield from naming(spec, path)
    yield from pod_security(spec.get("securityContext") or {}, f"{path}.securityContext")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(f"{path}.shareProcessNamespace", True, text)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        if fault := names.qualified_name_fault(gate.get("conditionType") or ""):
            yield invalid(f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType") or "", fault)
    yield from rules.at_least(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"), 0)
    yield from _deadline(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"))
    for member in ("serviceAccountName", "nodeName"):
        if value := spec.get(member):
            yield from rules.subdomain(f"{path}.{member}", value)
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if not reference.get("name"):
            yield required(f"{path}.imagePullSecrets[{index}].name")
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")


def _deadline(path: str, value: Any) -> Iterator[Cause]:
    if isinstance(value, int) and not 1 <= value < 1 << 31:
        yield invalid(path, value, "must be between 1 and 2147483647, inclusive")


def _container(container: Obj, path: str, spec: Obj, volume_names: set[str], *, init: bool) -> Iterator[Cause]:
    yield from rules.required_label(f"{path}.name", container.get("name") or "")
    image = container.get("image") or ""
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from rules.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    yield from rules.one_of(
        f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), ("File", "FallbackToLogsOnError")
    )
    yield from _ports(container.get("ports") or [], f"{path}.ports")
    yield from _environment(container, path)
    security = container.get("securityContext") or {}
    mounts = container.get("volumeMounts") or []
    yield from _mounts(mounts, f"{path}.volumeMounts", volume_names, privileged=bool(security.get("privileged")))
    yield from container_security(security, f"{path}.securityContext", host_users=spec.get("hostUsers") is not False)
    yield from _resources(container.get("resources") or {}, f"{path}.resources")
    sidecar = init and container.get("restartPolicy") == "Always"
    yield from rules.one_of(f"{path}.restartPolicy", container.get("restartPolicy"), _RESTART_POLICIES)
    yield from handlers(container, path, spec, only_runs=init and not sidecar)


def _ports(ports: list[Obj], path: str) -> Iterator[Cause]:
    yield from rules.duplicates(path, (port.get("name") or "" for port in ports))
    for index, port in enumerate(ports):
        place = f"{path}[{index}]"
        if name := port.get("name"):
            for text in rules.port_name_faults(name):
                yield invalid(f"{place}.name", name, text)
        if not port.get("containerPort"):
            yield required(f"{place}.containerPort")
        else:
            yield from rules.port(f"{place}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            yield from rules.port(f"{place}.hostPort", port["hostPort"])
        yield from rules.one_of(f"{place}.protocol", port.get("protocol"), _PROTOCOLS)


def _environment(container: Obj, path: str) -> Iterator[Cause]:
    for index, variable in enumerate(container.get("env") or ()):
        place = f"{path}.env[{index}]"
        yield from rules.env_name(f"{place}.name", variable.get("name") or "")
        source = variable.get("valueFrom")
        if source is not None:
            yield from _env_source(source, f"{place}.valueFrom", value=variable.get("value") or "")
    for index, source in enumerate(container.get("envFrom") or ()):
        place = f"{path}.envFrom[{index}]"
        found = [member for member in ("configMapRef", "secretRef") if source.get(member) is not None]
        if not found:
            yield invalid(place, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(found) > 1:
            yield invalid(place, "", "may not have more than one field specified at a time")
        for member in found:
            if not source[member].get("name"):
                yield required(f"{place}.{member}.name")


def _env_source(source: Obj, path: str, *, value: str) -> Iterator[Cause]:
    found = [member for member in _ENV_SOURCES if source.get(member) is not None]
    if not found:
        yield invalid(path, "", f"must specify one of: {', '.join(f'`{member}`' for member in _ENV_SOURCES[:-1])}")
    elif value:
        yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(found) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")
    if reference := source.get("fieldRef"):
        yield from field_reference(reference, f"{path}.fieldRef", ENV_FIELDS)
    for member in ("secretKeyRef", "configMapKeyRef"):
        if (reference := source.get(member)) is not None:
            if not reference.get("name"):
                yield required(f"{path}.{member}.name")
            if not reference.get("key"):
                yield required(f"{path}.{member}.key")
            else:
                yield from rules.config_key(f"{path}.{member}.key", reference["key"])
    if (reference := source.get("resourceFieldRef")) is not None:
        yield from resource_reference(reference, f"{path}.resourceFieldRef", in_volume=False)


def _mounts(mounts: list[Obj], path: str, volume_names: set[str], *, privileged: bool) -> Iterator[Cause]:
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        place = f"{path}[{index}]"
        name, mount_path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{place}.name")
        elif name not in volume_names:
            yield not_found(f"{place}.name", name)
        if not mount_path:
            yield required(f"{place}.mountPath")
        elif mount_path in paths:
            yield invalid(f"{place}.mountPath", mount_path, "must be unique")
        paths.add(mount_path)
        propagation = mount.get("mountPropagation")
        yield from rules.one_of(f"{place}.mountPropagation", propagation, _PROPAGATIONS)
        if propagation == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            yield forbidden_field(f"{place}.mountPropagation", text)
        if sub_path := mount.get("subPath"):
            yield from rules.local_path(f"{place}.subPath", sub_path)
        if expression := mount.get("subPathExpr"):
            if sub_path:
                yield invalid(f"{place}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
            yield from rules.local_path(f"{place}.subPathExpr", expression)


def _resources(requirements: Mapping[str, Any], path: str) -> Iterator[Cause]:
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    for member, listed in (("limits", limits), ("requests", requests)):
        for name, value in listed.items():
            amount = rules.quantity(value)
            if amount is None:
                yield invalid(
                    f"{path}.{member}[{name}]",
                    value,
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                )
            elif amount < 0:
                yield invalid(f"{path}.{member}[{name}]", value, "must be greater than or equal to 0")
    for name, value in requests.items():
        wanted, limit = rules.quantity(value), rules.quantity(limits.get(name))
        if wanted is not None and limit is not None and wanted > limit:
            yield invalid(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}")


def _toleration(toleration: Obj, path: str) -> Iterator[Cause]:
    operator, value = toleration.get("operator") or "Equal", toleration.get("value") or ""
    yield from rules.one_of(f"{path}.operator", operator, ("Equal", "Exists", "Lt", "Gt"))
    if operator == "Exists" and value:
        yield invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    if not toleration.get("key") and operator != "Exists":
        yield invalid(f"{path}.operator", operator, _MATCH_ALL)
    yield from rules.one_of(f"{path}.effect", toleration.get("effect"), ("NoSchedule", "PreferNoSchedule", "NoExecute"))
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") not in ("NoExecute", "", None):
        yield invalid(
            f"{path}.effect", toleration["effect"], "effect must be 'NoExecute' when `tolerationSeconds` is set"
        )


def _update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    for member in ("containers", "initContainers"):
        listed = new.get(member) or []
        if len(listed) != len(old.get(member) or []):
            yield forbidden_field(f"spec.{member}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(listed):
            if not container.get("image"):
                yield required(f"spec.{member}[{index}].image")
    yield from _deadline_change(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    added = new.get("tolerations") or []
    if any(toleration not in added for toleration in old.get("tolerations") or ()):
        yield forbidden_field(
            "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
        )
    if _frozen(new, old) != _frozen(old, old):
        yield forbidden_field("spec", _CHANGEABLE)


def _ephemeral_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    """Ephemeral containers are only ever added."""
    listed = new.get("ephemeralContainers") or []
    by_name = {container.get("name"): container for container in listed}
    before = {container.get("name"): container for container in old.get("ephemeralContainers") or ()}
    for name, container in before.items():
        if name not in by_name:
            yield forbidden_field(_EPHEMERAL, f'existing ephemeral containers "{name}" may not be removed\n')
        elif by_name[name] != container:
            yield forbidden_field(_EPHEMERAL, f'existing ephemeral containers "{name}" may not be changed\n')
    volume_names = {volume.get("name") or "" for volume in new.get("volumes") or ()}
    others = [str(each.get("name")) for member in ("containers", "initContainers") for each in new.get(member) or ()]
    names = list(others)
    for index, container in enumerate(listed):
        place, name = f"{_EPHEMERAL}[{index}]", container.get("name") or ""
        if before.get(name) != container:
            for member in _NOT_EPHEMERAL:
                if container.get(member):
                    yield forbidden_field(f"{place}.{member}", "cannot be set for an Ephemeral Container")
            yield from _container(container, place, new, volume_names, init=False)
            target = container.get("targetContainerName")
            if target and target not in others:
                yield not_found(f"{place}.targetContainerName", target)
        if name and name in names:
            yield duplicate(f"{place}.name", name)
        names.append(name)


def _deadline_change(new: Any, old: Any) -> Iterator[Cause]:
    path = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            yield invalid(path, None, "must not update from a positive integer to nil value")
        return
    yield from _deadline(path, new)
    if isinstance(old, int) and isinstance(new, int) and new > old:
        yield invalid(path, new, f"must be less than or equal to previous value of {old}")


def _frozen(spec: Obj, old: Obj) -> Obj:
    """The members of *spec* that an update must leave as they are in *old*."""
    kept = {member: value for member, value in spec.items() if member not in ("activeDeadlineSeconds", "tolerations")}
    for member in ("containers", "initContainers"):
        kept[member] = [
            {name: value for name, value in container.items() if name != "image"}
            for container in kept.get(member) or ()
        ]
    grace = kept.get("terminationGracePeriodSeconds")
    if grace == 1 and (old.get("terminationGracePeriodSeconds") or 0) < 0:
        kept["terminationGracePeriodSeconds"] = old.get("terminationGracePeriodSeconds")
    # Left to refuse_what_has_a_path_of_its_own, because that path comes through here as well.
    kept.pop("ephemeralContainers", None)
    if not old.get("nodeName"):
        kept.pop("nodeName", None)
    gates = kept.pop("schedulingGates", None) or []
    if any(gate not in (old.get("schedulingGates") or []) for gate in gates):
        kept["schedulingGates"] = gates
    return {member: value for member, value in kept.items() if value not in (None, "", [], {})}
