"""Managed identities, machines and whatever else lies in a resource group."""

from dataclasses import dataclass, field
from typing import Annotated

from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.trust import FederatedCredentialEntry
from podpass.lab.scenario.fields import Between, Json, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEntry:
    """What lies in a resource group."""

    name: Annotated[str, spelling.RESOURCE_NAME, "its name"]
    resource_group: Annotated[str, Ref("resourceGroups", parent=True), "where it is"]
    location: Annotated[str, spelling.OPTIONAL_REGION, "the group's when absent"] = ""
    tags: Annotated[dict[str, str], "its tags"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityEntry(PlacedEntry):
    """A user-assigned managed identity."""

    name: Annotated[str, spelling.IDENTITY, "its name"]
    client_id: Annotated[str, spelling.GUID, "chosen and kept when absent"] = ""
    principal_id: Annotated[str, spelling.GUID, "chosen and kept when absent"] = ""
    directory_roles: Annotated[tuple[str, ...], "names of roles of the directory that it holds"] = ()
    federated_credentials: Annotated[tuple[FederatedCredentialEntry, ...], "whose tokens it trusts"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierEntry(PlacedEntry):
    """A resource that has identities."""

    system_assigned: Annotated[bool, "whether it has an identity of its own"] = False
    principal_id: Annotated[str, spelling.GUID, "of that identity; chosen and kept when absent"] = ""
    identities: Annotated[tuple[str, ...], Ref("identities"), "user-assigned ones"] = ()
    zones: Annotated[tuple[str, ...], "availability zones"] = ()
    properties: Annotated[Json, "as Resource Manager spells them"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMachineEntry(CarrierEntry):
    """A machine in Resource Manager; nothing runs on it."""

    name: Annotated[str, spelling.MACHINE, "its name"]
    host: Annotated[
        bool,
        "one machine at most: programs on this machine are on it, and get its identities from the metadata service at "
        "`$AZURE_POD_IDENTITY_AUTHORITY_HOST`",
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSetEntry(CarrierEntry):
    """A virtual machine scale set; nothing runs on its machines."""

    name: Annotated[str, spelling.MACHINE, "its name"]
    size: Annotated[str, "of its machines, which Azure calls the SKU"] = "Standard_D2s_v3"
    capacity: Annotated[int, Between(0, 1000), "how many machines it has"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEntry(CarrierEntry):
    """A resource of any other type that the lab has, written as Resource Manager takes it."""

    name: Annotated[str, spelling.RESOURCE_NAME, "its name; a child's follows its parent's after a slash"]
    type: Annotated[str, spelling.RESOURCE_TYPE, "such as `Microsoft.Cache/Redis`"]
    sku: Annotated[Json, "as Resource Manager spells it"] = field(default_factory=dict)
    kind: Annotated[str, "as Resource Manager spells it"] = ""
