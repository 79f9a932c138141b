"""Who owns which fields after an update.

Contract: Kubernetes API surface, section 2.7.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.kube.merging import MapRule
from podpass.kube.objects import Obj
from podpass.lab.cluster.managedfields.field_sets import HOLDS, Fields, Path, decode, encode, leaves

MAX_MANAGER_CHARACTERS = 128

_ALWAYS_THERE = frozenset(
    {
        ("f:spec",), ("f:status",), ("f:spec", "f:template"), ("f:spec", "f:template", "f:metadata"),
        ("f:spec", "f:template", "f:spec"), ("f:spec", "f:template", "f:spec", "f:containers"),
        ("f:spec", "f:containers"), ("f:spec", "f:strategy"), ("f:spec", "f:updateStrategy"),
        ("f:spec", "f:jobTemplate"), ("f:spec", "f:jobTemplate", "f:spec"), ("f:spec", "f:jobTemplate", "f:metadata"),
        ("f:template",), ("f:template", "f:spec"), ("f:template", "f:metadata"),
    }
)  # fmt: skip
"""Members that an object of a built-in kind has before anybody sets them, so nobody owns them as such."""


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, through which operation and subresource."""

    name: str
    operation: str
    """Apply or Update."""
    api_version: str
    subresource: str = ""

    def owns(self, entry: Mapping[str, Any]) -> bool:
        return (
            entry.get("manager") == self.name
            and entry.get("operation") == self.operation
            and entry.get("apiVersion") == self.api_version
            and (entry.get("subresource") or "") == self.subresource
        )

    def entry(self, fields: Iterable[Path], time: str) -> Obj:
        entry: Obj = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(fields),
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def track(new: Obj, old: Obj | None, manager: Manager, rules: MapRule, *, time: str, built_in: bool = True) -> None:
    """Write into *new* who owns what after *manager* turned *old* into it.

    A client clears the list by sending it empty or with one empty entry. Another good list that it sends is taken for
    what there was before: so kubectl moves the fields of its client-side apply to the server-side one.
    """
    sent = new["metadata"].pop("managedFields", None)
    if old is None:
        made = _held(leaves(new, rules, holders=True), built_in)
        if made:
            new["metadata"]["managedFields"] = [manager.entry(made, time)]
        return
    entries = list(old["metadata"].get("managedFields") or ())
    if sent is not None and (sent == [] or sent == [{}]) and entries:
        entries = []
    elif sent and all(_is_entry(entry) for entry in sent):
        entries = list(sent)
    after = _held(leaves(new, rules, holders=True), built_in)
    before = _held(leaves(old, rules, holders=True), built_in)
    changed = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    touched = changed.union(path for path in before if path not in after)
    if not touched:
        if entries:
            new["metadata"]["managedFields"] = entries
        return
    kept: list[Obj] = []
    own: Fields = frozenset()
    for entry in entries:
        fields = decode(entry.get("fieldsV1"))
        if manager.owns(entry):
            own = fields - touched
        elif fields.isdisjoint(touched):
            kept.append(entry)
        elif left := fields - touched:
            kept.append({**entry, "fieldsV1": encode(left)})
    if own or changed:
        kept.append(manager.entry(own | changed, time))
    if kept:
        new["metadata"]["managedFields"] = sorted(kept, key=order_of_entries)


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in ("Apply", "Update")
        and isinstance(entry.get("manager"), str)
        and isinstance(entry.get("apiVersion"), str)
        and entry.get("fieldsType") == "FieldsV1"
        and isinstance(entry.get("fieldsV1"), dict)
    )


def _held(fields: dict[Path, Any], built_in: bool) -> dict[Path, Any]:
    """Without the holders that nobody made."""
    return {
        path: value
        for path, value in fields.items()
        if value is not HOLDS or not (path == ("f:metadata",) or (built_in and path in _ALWAYS_THERE))
    }


def order_of_entries(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(entry.get(member) or "") for member in ("operation", "time", "manager", "apiVersion", "subresource")
    )
