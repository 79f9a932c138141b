"""Who is given which role where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.fields import Ref, camel, members


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalEntry:
    """Somebody who is allowed something: exactly one of these."""

    identity: Annotated[str, Ref("identities"), "a managed identity"] = ""
    application: Annotated[str, Ref("applications"), "an application's service principal"] = ""
    user: Annotated[str, Ref("users"), "a person"] = ""
    group: Annotated[str, Ref("groups"), "whoever is in a group"] = ""
    virtual_machine: Annotated[str, Ref("virtualMachines"), "a machine's own identity"] = ""
    scale_set: Annotated[str, Ref("virtualMachineScaleSets"), "a scale set's own identity"] = ""
    managed_cluster: Annotated[str, Ref("managedClusters", "clusters"), "a managed cluster's own identity"] = ""
    kubelet: Annotated[str, Ref("managedClusters", "clusters"), "the identity of a managed cluster's nodes"] = ""
    operator: Annotated[bool, "whoever acts for the lab's owner"] = False
    object_id: Annotated[str, spelling.GUID, "anybody, by the id that the directory has for them"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        given = [name for name in PRINCIPALS if getattr(self, name)]
        if len(given) != 1:
            yield "", f"needs exactly one of {', '.join(map(camel, PRINCIPALS))}"


PRINCIPALS = tuple(member.attribute for member in members(PrincipalEntry))
"""The attributes of which an entry has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeEntry:
    """Where something counts: exactly one of these, and for everything below it."""

    vault: Annotated[str, Ref("vaults"), "a vault"] = ""
    resource_group: Annotated[str, Ref("resourceGroups"), "a group"] = ""
    subscription: Annotated[str, Ref("subscriptions"), "a subscription"] = ""
    identity: Annotated[str, Ref("identities"), "a managed identity"] = ""
    virtual_machine: Annotated[str, Ref("virtualMachines"), "a machine"] = ""
    scale_set: Annotated[str, Ref("virtualMachineScaleSets"), "a scale set"] = ""
    managed_cluster: Annotated[str, Ref("managedClusters", "clusters"), "a managed cluster"] = ""
    id: Annotated[str, spelling.ARM_ID, "anything, by its id; `/` is everything"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        if sum(bool(getattr(self, name)) for name in SCOPES) != 1:
            yield "", f"needs exactly one of {', '.join(map(camel, SCOPES))}"


SCOPES = tuple(member.attribute for member in members(ScopeEntry))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignmentEntry(PrincipalEntry):
    """A role, given to somebody somewhere."""

    role: Annotated[str, "by name or id"]
    scope: Annotated[ScopeEntry, "where"]
    id: Annotated[str, spelling.GUID, "the assignment's own name; follows from the other members when absent"] = ""
    description: Annotated[str, "for people"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionEntry:
    """What a role allows, as patterns of actions."""

    actions: Annotated[tuple[str, ...], "in Resource Manager"] = ()
    not_actions: Annotated[tuple[str, ...], "of those, which not"] = ()
    data_actions: Annotated[tuple[str, ...], "on data, such as what is in a vault"] = ()
    not_data_actions: Annotated[tuple[str, ...], "of those, which not"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleEntry:
    """A custom role."""

    name: Annotated[str, spelling.TITLE, "what it is called"]
    tenant: Annotated[str, Ref("tenants", parent=True), "whose it is"]
    id: Annotated[str, spelling.GUID, "follows from the name when absent"] = ""
    description: Annotated[str, "for people"] = ""
    scopes: Annotated[tuple[ScopeEntry, ...], "where it can be assigned"]
    permissions: Annotated[tuple[PermissionEntry, ...], "what it allows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEntry:
    """A lock, which stands against changes whoever may make them otherwise."""

    name: Annotated[str, spelling.TITLE, "its name"]
    scope: Annotated[ScopeEntry, "what it is on"]
    level: Annotated[Literal["CanNotDelete", "ReadOnly"], "what it stands against"] = "CanNotDelete"
    notes: Annotated[str, "for people"] = ""
    owners: Annotated[tuple[str, ...], "client ids of applications"] = ()
