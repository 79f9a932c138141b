"""What those work with who say what is in a lab's clouds: how everything is called, and what they can't say."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm.estate import DELETING, parsed_id
from podpass.lab.arm.model import Resource
from podpass.lab.filling.clouds import Clouds
from podpass.lab.scenario.entries.access import ScopeEntry
from podpass.lab.scenario.references import Index, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that is there: by which name others refer to it, and the entry that would make it."""

    path: Path
    entry: Callable[[], Any]
    """Called once everything has its name."""
    id: str = ""
    principal_id: str = ""
    kubelet_id: str = ""
    issuer: str = ""


@dataclass(slots=True, kw_only=True)
class Finding:
    """One look at everything there is."""

    clouds: Clouds
    with_secret_values: bool = False
    notes: dict[str, list[str]] = field(default_factory=dict)
    """What can't be said, by the section where it would stand."""
    _by_type: dict[str, list[Resource]] | None = None
    _groups: dict[str, Resource | None] = field(default_factory=dict)
    _names: Index[Found] = field(default_factory=Index)
    _by_id: dict[tuple[str, str], Found] = field(default_factory=dict)
    _principals: dict[str, tuple[str, str, Found]] = field(default_factory=dict)
    _issuers: dict[str, tuple[str, Found]] = field(default_factory=dict)

    def keep(self, section: str, found: Found, *, principal: str = "") -> None:
        """Remember how *found* is called; *principal* is the member by which a role assignment names it."""
        self._names.add(section, found.path, found)
        if found.id:
            self._by_id[section, found.id.lower()] = found
        if found.principal_id and principal:
            self._principals[found.principal_id.lower()] = (principal, section, found)
        if found.kubelet_id:
            self._principals[found.kubelet_id.lower()] = ("kubelet", section, found)
        if found.issuer:
            self._issuers[found.issuer] = (section, found)

    def note(self, section: str, text: str, count: int = 1) -> None:
        """Say above *section* what it leaves out; nothing when *count* is 0."""
        if count:
            self.notes.setdefault(section, []).append(text)

    @staticmethod
    def free_name(wanted: str, taken: set[str]) -> str:
        """*wanted* as an entry's name that is not yet *taken*, in whatever letter case; now it is."""
        name = re.sub(r"[/\x00-\x1f\x7f]", "-", wanted)[:200] or "unnamed"
        number, chosen = 1, name
        while chosen.lower() in taken:
            number += 1
            chosen = f"{name}-{number}"
        taken.add(chosen.lower())
        return chosen

    def path(self, section: str, identifier: str) -> Path:
        return self._by_id[section, identifier.lower()].path

    def reference(self, section: str, identifier: str) -> str:
        """How entries refer to what has this id."""
        return self._called(section, self.path(section, identifier))

    def _called(self, section: str, path: Path) -> str:
        return self._names.reference(path, section, *(_CLUSTERS if section in _CLUSTERS else ()))

    def knows(self, section: str, identifier: str) -> bool:
        return (section, identifier.lower()) in self._by_id

    def principal(self, object_id: str) -> Mapping[str, Any]:
        """The member that names somebody."""
        if object_id.lower() == self.clouds.operator_object_id:
            return {"operator": True}
        if object_id.lower() in self._principals:
            attribute, section, found = self._principals[object_id.lower()]
            return {attribute: self._called(section, found.path)}
        return {"object_id": object_id.lower()}

    def is_somebody(self, object_id: str) -> bool:
        return "object_id" not in self.principal(object_id)

    def scope(self, identifier: str) -> ScopeEntry:
        for section, attribute in _SCOPES.items():
            if self.knows(section, identifier):
                return ScopeEntry(**{attribute: self.reference(section, identifier)})
        return ScopeEntry(id=identifier or "/")

    def trusted(self, issuer: str) -> Mapping[str, str]:
        """The member that names an issuer."""
        if issuer in self._issuers:
            section, found = self._issuers[issuer]
            return {"cluster": self._called(section, found.path)}
        return {"issuer": issuer}

    # Resources

    def resources(self, *types: str) -> Iterator[Resource]:
        """The resources of these types that are there to stay and that no other resource made."""
        if self._by_type is None:
            self._by_type = {}
            for subscription in self.clouds.arm.estate.subscriptions():
                for resource in self.clouds.arm.estate.below(parsed_id(f"/subscriptions/{subscription.id}")):
                    self._by_type.setdefault(resource.type, []).append(resource)
        for kind in types:
            for resource in self._by_type.get(kind, ()):
                if resource.busy != DELETING and not self.is_made_by_another(resource.id):
                    yield resource

    def is_made_by_another(self, identifier: str) -> bool:
        """Whether it is a group that a cluster keeps for its nodes, or lies in one."""
        group = self._group(parsed_id(identifier).group_id) if identifier else None
        return group is not None and bool(group.extra.get("managedBy"))

    def _group(self, wanted: ResourceId) -> Resource | None:
        if wanted.key not in self._groups:
            self._groups[wanted.key] = self.clouds.arm.estate.get(wanted) if wanted.group else None
        return self._groups[wanted.key]

    def placed(self, resource: Resource) -> dict[str, Any]:
        """The members that every entry in a group has."""
        wanted = parsed_id(resource.id)
        group = self._group(wanted.group_id)
        assert group is not None
        same = not resource.location or resource.location == group.location
        return {
            "name": "/".join(name for _, name in wanted.parts[-1].pairs),
            "resource_group": self.reference("resourceGroups", group.id),
            "location": "" if same else resource.location,
            "tags": dict(resource.tags or {}),
        }

    def place(self, resource: Resource) -> Path:
        wanted = parsed_id(resource.id)
        name = "/".join(name for _, name in wanted.parts[-1].pairs)
        return (*self.path("resourceGroups", str(wanted.group_id)), name)


_CLUSTERS = ("clusters", "managedClusters")
"""What `cluster: shop` may mean either of."""
_SCOPES = {
    "vaults": "vault",
    "resourceGroups": "resource_group",
    "subscriptions": "subscription",
    "identities": "identity",
    "virtualMachines": "virtual_machine",
    "virtualMachineScaleSets": "scale_set",
    "managedClusters": "managed_cluster",
}
"""The member of a scope by the section it refers to."""
