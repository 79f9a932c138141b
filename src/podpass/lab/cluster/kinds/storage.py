"""PersistentVolumes and their claims, StorageClasses, and what CSI drivers say of themselves and of nodes.

Volumes and claims are stored and checked; nobody binds, provisions or protects them, so they carry no finalizers.
Contract: Kubernetes API surface, section 6.
"""

from collections.abc import Iterator
from typing import Any

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, duplicate, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster import fields
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, UNSET

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_SHORT_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_VOLUME_MODES = ("Block", "Filesystem")
_FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLE_MODES = ("Ephemeral", "Persistent")
MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 600, 1 << 32
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _modes(obj: Obj, part: str) -> str:
    listed = (obj.get(part) or {}).get("accessModes") or ()
    return ",".join(_SHORT_MODES.get(mode, mode) for mode in _SHORT_MODES if mode in listed)


def _mode_causes(spec: Obj, detail: str = "") -> Iterator[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield required("spec.accessModes", detail)
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported("spec.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        yield forbidden_field("spec.accessModes", text)


def _size_causes(path: str, value: Any) -> Iterator[Cause]:
    found = rules.quantity(value)
    if found is None or found <= 0:
        yield invalid(path, value, "must be greater than zero")


# PersistentVolumes


def _default_volume(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    if isinstance(spec.get("hostPath"), dict):
        spec["hostPath"].setdefault("type", "")
    if not objects.status(obj).get("phase"):
        # Nobody binds volumes here, so none waits for it.
        obj["status"] = {**objects.status(obj), "phase": "Available"}


def _sources() -> tuple[str, ...]:
    return tuple(fields.members("core.v1.PersistentVolumeSource"))


def _volume_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    yield from _mode_causes(spec)
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield not_supported("spec.capacity", capacity or None, ("storage",))
    for name, value in capacity.items():
        yield from _size_causes(f"spec.capacity[{name}]", value)
    policy = spec.get("persistentVolumeReclaimPolicy")
    yield from rules.one_of("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    given = [source for source in _sources() if spec.get(source) is not None]
    for source in given[1:]:
        yield forbidden_field(f"spec.{source}", "may not specify more than 1 volume type")
    if not given:
        yield required("spec", "must specify a volume type")
    csi = spec.get("csi")
    if csi is not None:
        for member in ("driver", "volumeHandle"):
            if not csi.get(member):
                yield required(f"spec.csi.{member}")
    if spec.get("storageClassName"):
        yield from rules.subdomain("spec.storageClassName", spec["storageClassName"])
    yield from rules.one_of("spec.volumeMode", spec.get("volumeMode"), _VOLUME_MODES)


def _volume_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _volume_causes(new)
    spec, before = objects.spec(new), objects.spec(old)
    if any(spec.get(source) != before.get(source) for source in _sources()):
        text = "spec.persistentvolumesource is immutable after creation"
        yield forbidden_field("spec.persistentvolumesource", text)
    yield from rules.immutable("spec.volumeMode", spec.get("volumeMode"), before.get("volumeMode"))


def _claim_of(obj: Obj) -> str:
    reference = objects.spec(obj).get("claimRef")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


def _spec(name: str, member: str, *, empty: str = "", priority: int = 0) -> Column:
    return Column(name, lambda obj, _: objects.spec(obj).get(member) or empty, priority=priority)


def _class_name(obj: Obj, _: float = 0) -> str:
    return objects.annotations(obj).get(_BETA_CLASS) or objects.spec(obj).get("storageClassName") or ""


def persistent_volumes() -> Kind:
    return Kind(
        resource=resources.PERSISTENTVOLUMES,
        has_status=True,
        default=_default_volume,
        validate_create=lambda obj: list(_volume_causes(obj)),
        validate_update=lambda new, old: list(_volume_update_causes(new, old)),
        columns=(
            NAME,
            Column("Capacity", lambda obj, _: (objects.spec(obj).get("capacity") or {}).get("storage") or ""),
            Column("Access Modes", lambda obj, _: _modes(obj, "spec")),
            _spec("Reclaim Policy", "persistentVolumeReclaimPolicy"),
            Column("Status", lambda obj, _: _phase(obj)),
            Column("Claim", lambda obj, _: _claim_of(obj)),
            Column("StorageClass", _class_name),
            _spec("VolumeAttributesClass", "volumeAttributesClassName", empty=UNSET),
            Column("Reason", lambda obj, _: objects.status(obj).get("reason") or ""),
            AGE,
            _spec("VolumeMode", "volumeMode", empty=UNSET, priority=1),
        ),
    )


def _phase(obj: Obj) -> str:
    return "Terminating" if objects.being_deleted(obj) else objects.status(obj).get("phase") or ""


# Claims


def _default_claim(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    if not objects.status(obj).get("phase"):
        obj["status"] = {**objects.status(obj), "phase": "Pending"}


def _claim_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    yield from _mode_causes(spec, "at least 1 access mode is required")
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield required("spec.resources[storage]")
    else:
        yield from _size_causes("spec.resources[storage]", requests["storage"])
    if spec.get("storageClassName"):
        yield from rules.subdomain("spec.storageClassName", spec["storageClassName"])
    yield from rules.one_of("spec.volumeMode", spec.get("volumeMode"), _VOLUME_MODES)


def _claim_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _claim_causes(new)
    spec, before = dict(objects.spec(new)), objects.spec(old)
    if objects.status(old).get("phase") == "Bound":
        for member in ("resources", "volumeAttributesClassName"):
            spec[member] = before.get(member)
    # The binder writes the volume's name, once.
    if not before.get("volumeName"):
        spec.pop("volumeName", None)
    if {name: value for name, value in spec.items() if value is not None} != before:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield forbidden_field("spec", text)


def persistent_volume_claims() -> Kind:
    return Kind(
        resource=resources.PERSISTENTVOLUMECLAIMS,
        has_status=True,
        default=_default_claim,
        validate_create=lambda obj: list(_claim_causes(obj)),
        validate_update=lambda new, old: list(_claim_update_causes(new, old)),
        columns=(
            NAME,
            Column("Status", lambda obj, _: _phase(obj)),
            _spec("Volume", "volumeName"),
            Column("Capacity", lambda obj, _: (objects.status(obj).get("capacity") or {}).get("storage") or ""),
            Column("Access Modes", lambda obj, _: _modes(obj, "status")),
            Column("StorageClass", _class_name),
            _spec("VolumeAttributesClass", "volumeAttributesClassName", empty=UNSET),
            AGE,
            _spec("VolumeMode", "volumeMode", empty=UNSET, priority=1),
        ),
    )


# Classes


def _default_class(obj: Obj) -> None:
    obj["reclaimPolicy"] = obj.get("reclaimPolicy") or "Delete"
    obj["volumeBindingMode"] = obj.get("volumeBindingMode") or "Immediate"


def _class_causes(obj: Obj) -> Iterator[Cause]:
    yield from rules.one_of("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    yield from rules.one_of("volumeBindingMode", obj.get("volumeBindingMode"), modes)
    if not obj.get("provisioner"):
        yield required("provisioner")


def _class_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    for member in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
        if (new.get(member) or {}) != (old.get(member) or {}):
            yield invalid(member, None, rules.IMMUTABLE)


def storage_classes() -> Kind:
    def name(obj: Obj, _: float) -> str:
        default = objects.annotations(obj).get("storageclass.kubernetes.io/is-default-class") == "true"
        return f"{objects.name(obj)} (default)" if default else objects.name(obj)

    return Kind(
        resource=resources.STORAGECLASSES,
        default=_default_class,
        validate_create=lambda obj: list(_class_causes(obj)),
        validate_update=lambda new, old: list(_class_update_causes(new, old)),
        columns=(
            Column("Name", name, format="name"),
            Column("Provisioner", lambda obj, _: obj.get("provisioner") or ""),
            Column("ReclaimPolicy", lambda obj, _: obj.get("reclaimPolicy") or ""),
            Column("VolumeBindingMode", lambda obj, _: obj.get("volumeBindingMode") or ""),
            Column("AllowVolumeExpansion", lambda obj, _: bool(obj.get("allowVolumeExpansion"))),
            AGE,
        ),
    )


# CSI

_DRIVER_DEFAULTS: dict[str, Any] = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
    "preventPodSchedulingIfMissing": False,
}


def _default_driver(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for member, value in _DRIVER_DEFAULTS.items():
        if spec.get(member) is None:
            spec[member] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _driver_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    yield from rules.one_of("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), _FS_GROUP_POLICIES)
    seen: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in seen:
            yield duplicate(f"{path}.audience", audience)
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < MIN_TOKEN_SECONDS:
            yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        elif seconds is not None and seconds > MAX_TOKEN_SECONDS:
            text = "may not specify a duration larger than 2^32 seconds"
            yield invalid(f"{path}.expirationSeconds", seconds, text)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLE_MODES:
            yield not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLE_MODES)


def _driver_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _driver_causes(new)
    spec, before = objects.spec(new), objects.spec(old)
    # The API server's own path has this slip of the pen.
    for member, path in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
        yield from rules.immutable(f"spec.{path}", spec.get(member), before.get(member))


def _audiences(obj: Obj, _: float) -> str:
    requests = objects.spec(obj).get("tokenRequests")
    return ",".join(request.get("audience") or "" for request in requests) if requests else UNSET


def _flag(name: str, member: str) -> Column:
    return Column(name, lambda obj, _: bool(objects.spec(obj).get(member)), type="boolean")


def csi_drivers() -> Kind:
    return Kind(
        resource=resources.CSIDRIVERS,
        default=_default_driver,
        validate_create=lambda obj: list(_driver_causes(obj)),
        validate_update=lambda new, old: list(_driver_update_causes(new, old)),
        columns=(
            NAME,
            _flag("AttachRequired", "attachRequired"),
            _flag("PodInfoOnMount", "podInfoOnMount"),
            _flag("StorageCapacity", "storageCapacity"),
            Column("TokenRequests", _audiences),
            _flag("RequiresRepublish", "requiresRepublish"),
            Column("Modes", lambda obj, _: ",".join(objects.spec(obj).get("volumeLifecycleModes") or ())),
            AGE,
        ),
    )


def _default_csi_node(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("drivers", [])
    for driver in spec["drivers"] or ():
        driver.setdefault("topologyKeys", None)


def _csi_node_causes(obj: Obj) -> Iterator[Cause]:
    drivers = objects.spec(obj).get("drivers") or []
    seen: set[str] = set()
    for index, driver in enumerate(drivers):
        path, name = f"spec.drivers[{index}]", driver.get("name") or ""
        if not name:
            yield required(f"{path}.name")
        if not driver.get("nodeID"):
            yield required(f"{path}.nodeID")
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)


def csi_nodes() -> Kind:
    return Kind(
        resource=resources.CSINODES,
        default=_default_csi_node,
        validate_create=lambda obj: list(_csi_node_causes(obj)),
        validate_update=lambda new, _: list(_csi_node_causes(new)),
        columns=(
            NAME,
            Column("Drivers", lambda obj, _: len(objects.spec(obj).get("drivers") or ()), type="integer"),
            AGE,
        ),
    )


def storage_kinds() -> tuple[Kind, ...]:
    return (
        persistent_volumes(),
        persistent_volume_claims(),
        storage_classes(),
        csi_drivers(),
        csi_nodes(),
    )
