"""Who is given which role where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.fields import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalEntry:
    """Somebody who is allowed something: exactly one of these."""

    identity: Annotated[str, Ref("identities"), "a managed identity"] = ""
    application: Annotated[str, Ref("applications"), "an application's service principal"] = ""
    virtual_machine: Annotated[str, Ref("virtualMachines"), "a machine's own identity"] = ""
    scale_set: Annotated[str, Ref("virtualMachineScaleSets"), "a scale set's own identity"] = ""
    operator: Annotated[bool, "whoever acts for the lab's owner"] = False
    object_id: Annotated[str, spelling.GUID, "anybody, by the id that the directory has for them"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        given = [name for name in PRINCIPALS if getattr(self, name)]
        if len(given) != 1:
            yield "", f"needs exactly one of {', '.join(WHO)}"


PRINCIPALS = ("identity", "application", "virtual_machine", "scale_set", "operator", "object_id")
"""The attributes of which an entry has one."""
WHO = ("identity", "application", "virtualMachine", "scaleSet", "operator", "objectId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeEntry:
    """Where something counts: exactly one of these, and for everything below it."""

    vault: Annotated[str, Ref("vaults"), "a vault"] = ""
    resource_group: Annotated[str, Ref("resourceGroups"), "a group"] = ""
    subscription: Annotated[str, Ref("subscriptions"), "a subscription"] = ""
    identity: Annotated[str, Ref("identities"), "a managed identity"] = ""
    virtual_machine: Annotated[str, Ref("virtualMachines"), "a machine"] = ""
    scale_set: Annotated[str, Ref("virtualMachineScaleSets"), "a scale set"] = ""
    id: Annotated[str, spelling.ARM_ID, "anything, by its id; `/` is everything"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        if sum(bool(getattr(self, name)) for name in SCOPES) != 1:
            names = "vault, resourceGroup, subscription, identity, virtualMachine, scaleSet, id"
            yield "", f"needs exactly one of {names}"


SCOPES = ("vault", "resource_group", "subscription", "identity", "virtual_machine", "scale_set", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignmentEntry(PrincipalEntry):
    """A role, given to somebody somewhere."""

    role: Annotated[str, "by name or id"]
    scope: Annotated[ScopeEntry, "where"]
    id: Annotated[str, spelling.GUID, "the assignment's own name; follows from the other members when absent"] = ""
    description: Annotated[str, "for people"] = ""
