"""What the lab's ARM keeps, and what it must know of a resource type to keep it.

A resource type is one `ResourceType` value; a call that is no plain create, read, change or delete is one `Operation`.
The catalogue is the list of them, and everything else in this package is generic over it.
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from podpass.azure.resourceids import GROUP_TYPE, ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.paths import Address
from podpass.serving.depth import is_deeper_than

if TYPE_CHECKING:
    from podpass.lab.arm.estate import Estate

MAX_DEPTH = 100
"""How deep a request's content may be nested."""

LOCATIONS: Mapping[str, str] = {
    "eastus": "East US",
    "eastus2": "East US 2",
    "centralus": "Central US",
    "northcentralus": "North Central US",
    "southcentralus": "South Central US",
    "westcentralus": "West Central US",
    "westus": "West US",
    "westus2": "West US 2",
    "westus3": "West US 3",
    "canadacentral": "Canada Central",
    "brazilsouth": "Brazil South",
    "northeurope": "North Europe",
    "westeurope": "West Europe",
    "uksouth": "UK South",
    "francecentral": "France Central",
    "germanywestcentral": "Germany West Central",
    "switzerlandnorth": "Switzerland North",
    "swedencentral": "Sweden Central",
    "norwayeast": "Norway East",
    "southafricanorth": "South Africa North",
    "uaenorth": "UAE North",
    "centralindia": "Central India",
    "southeastasia": "Southeast Asia",
    "eastasia": "East Asia",
    "japaneast": "Japan East",
    "koreacentral": "Korea Central",
    "australiaeast": "Australia East",
}


def location_name(text: str) -> str:
    """`East US` and `eastus` are the same place; the short form is kept."""
    return text.replace(" ", "").lower()


def timestamp(seconds: float) -> str:
    """*seconds* since the epoch as ARM writes times, seven digits of fraction."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def decoded_json(body: bytes) -> Any:
    """The JSON that *body* holds. Raises ArmError when it is none, or nested beyond reason."""
    if not body:
        raise errors.invalid_content("the request has no content")
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.invalid_content(str(error)) from error
    if is_deeper_than(MAX_DEPTH, content):
        raise errors.invalid_content(f"The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")
    return content


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change, as `systemData` and role assignments record it."""

    id: str
    kind: Literal["Application", "ManagedIdentity"] = "Application"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of a tenant."""

    id: str
    tenant_id: str
    name: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{self.id}",
            "subscriptionId": self.id,
            "tenantId": self.tenant_id,
            "displayName": self.name,
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "PayAsYouGo_2014-09-01",
                "spendingLimit": "Off",
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A stored resource. The id keeps the letter case of its creation."""

    id: str
    name: str
    type: str
    location: str = ""
    tags: Mapping[str, str] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    system_data: Mapping[str, str] | None = None
    hidden: Mapping[str, Any] = field(default_factory=dict)
    """What the service remembers and never shows."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Members beside the usual ones: identity, sku, zones."""
    busy: str = ""
    """The provisioning state of the latest change: Creating, Updating, Deleting."""
    busy_until: float | None = 0.0
    """When that change ends, in seconds since the epoch; None: when whoever does the work says so."""
    failure: Mapping[str, str] | None = None
    """Why that change failed, as `code` and `message`; it shows once the change has ended."""

    def is_busy(self, now: float) -> bool:
        """Whether a change goes on at *now*, in seconds since the epoch."""
        return bool(self.busy) and (self.busy_until is None or now < self.busy_until)

    def provisioning_state(self, now: float) -> str:
        """How far the latest change has come at *now*, in seconds since the epoch."""
        if self.is_busy(now):
            return self.busy
        return "Succeeded" if self.failure is None else "Failed"

    def to_dict(self) -> dict[str, Any]:
        # A group is answered with a shorter type than the one its actions and scopes are named by.
        shown = "Microsoft.Resources/resourceGroups" if self.type == GROUP_TYPE else self.type
        document: dict[str, Any] = {"id": self.id, "name": self.name, "type": shown}
        if self.location:
            document["location"] = self.location
        if self.tags is not None:
            document["tags"] = self.tags
        if self.system_data is not None:
            document["systemData"] = self.system_data
        return {**document, **self.extra, "properties": self.properties}


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every resource's PUT body may hold; each type adds its `properties`."""

    location: str | None = None
    tags: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A PUT on its way to become a resource."""

    id: ResourceId
    body: Any
    """The type's own `Body`."""
    existing: Resource | None
    subscription: Subscription
    api_version: str
    actor: Actor
    principal_id: str = ""
    """Who writes, where that is a caller; the lab's own filling may do everything."""
    stated: Mapping[str, str] = field(default_factory=dict)
    """GUIDs that the lab's filling wants a new resource to have, by the members that show them."""

    def guid(self, member: str) -> str:
        """The GUID that the resource shows as a member of its properties: for life, as stated, or a new one."""
        kept = self.existing.properties.get(member) if self.existing else None
        return str(kept or self.stated.get(member) or uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """What a type makes of a draft."""

    properties: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    failure: Mapping[str, str] | None = None
    """What keeps the change from succeeding, though it was accepted."""


@dataclass(frozen=True, slots=True)
class NameRule:
    """What names of a type look like, and the error for others."""

    pattern: re.Pattern[str]
    code: str
    message: str
    """`{name}` stands for the name that was refused."""


def _unchanged(estate: "Estate", resource: Resource, before: Resource | None) -> None:
    del estate, resource, before


def _nothing(estate: "Estate", resource: Resource) -> None:
    del estate, resource


def _as_kept(resource: Resource, *, busy: bool) -> Mapping[str, Any]:
    del busy
    return resource.properties


def _nothing_more(resource: Resource, what: str) -> Mapping[str, Any]:
    del resource, what
    return {}


def _as_given(present: Resource, content: Mapping[str, Any]) -> Mapping[str, Any]:
    del present, content
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """One kind of resource: how it is named, checked, filled in and shown."""

    name: str
    """`Microsoft.KeyVault/vaults`, in canonical letter case."""
    api_versions: tuple[str, ...] = ()
    """Those that clients were seen to send, the newest first. Any other is taken as well."""
    body: type[Body] = Body
    shape: "Callable[[Estate, Draft], Shaped] | None" = None
    """Validates a draft and gives the properties to keep. Raises ArmError. None: the type can't be created here."""
    name_rule: NameRule | None = None
    located: bool = True
    """Whether it needs a location; children live where their parent does."""
    system_data: bool = True
    patched: Callable[[Resource, Mapping[str, Any]], Mapping[str, Any]] = _as_given
    """Members that a PATCH merges in a way of their own, from the stored resource and the request."""
    seconds: float = 0.0
    """How long a write or delete takes, in the lab's time; 0: it has ended when it is answered."""
    writing: "Callable[[Estate, Resource], float | None] | None" = None
    """How long the write takes that left this resource, where that is not always *seconds*; None: until somebody
    calls `long_running.end`."""
    deleting: "Callable[[Estate, Resource], float | None] | None" = None
    """The same for a delete, which is begun by this."""
    tagged: bool = False
    """Whether it has an entity tag, and heeds the conditions of a write."""
    shown: "Callable[..., Mapping[str, Any]]" = _as_kept
    """The properties to show of a resource, told by `busy` whether a change goes on."""
    expanded: Callable[[Resource, str], Mapping[str, Any]] = _nothing_more
    """Further properties that a GET shows, by what its `$expand` asks for."""
    written: "Callable[[Estate, Resource, Resource | None], None]" = _unchanged
    """Carries a write to where else it counts, within the same transaction."""
    removed: "Callable[[Estate, Resource], None]" = _nothing
    """The same for a delete, before the resource goes."""
    delete_absent_status: int = 204
    hides_unreadable: bool = False
    """Whether a list at a scope that the caller may not read is empty instead of forbidden."""
    not_found: "Callable[[ResourceId], Exception] | None" = None
    writes_alone: "Callable[[ResourceId], errors.ArmError] | None" = None
    """How a write is refused while another to one of the same parent goes on; None: they don't mind each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An authenticated and authorised request."""

    method: str
    address: Address
    query: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    api_version: str
    actor: Actor
    subscription: Subscription | None
    tenant_id: str
    principal_id: str
    client_id: str = ""
    if_match: str = ""
    if_none_match: str = ""


@dataclass(frozen=True, slots=True)
class Keyed:
    """The members of a list by their keys, in order. Each is shown when its page is; None: it is gone since."""

    keys: Sequence[str]
    show: Callable[[str], Mapping[str, Any] | None]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers."""

    status: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    items: tuple[Mapping[str, Any], ...] | Keyed | None = None
    """The members of a list, to be paged; takes the place of a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call beside the plain ones: its method, the type path it is found at, and the action it needs."""

    method: str
    path: str
    """As `Address` names it: `Microsoft.KeyVault/deletedVaults`, `Microsoft.KeyVault/vaults/accessPolicies`."""
    action: str
    """The action to be authorised; empty when every caller may."""
    list_action: str | None = None
    """The action of the list, where it differs."""
    run: "Callable[[Estate, Call], Answer]"
