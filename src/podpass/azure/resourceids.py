"""Azure Resource Manager ids.

An id compares without regard to letter case and keeps the case it was created with, except for the words of the path
itself, which `str` writes in their canonical form. Contract: azure HTTP surface, section 1.
"""

import re
from dataclasses import dataclass
from typing import Self

_SEGMENT = re.compile(r"[^/?#%\\\s\x00-\x1f]{1,260}")
MAX_LENGTH = 2048

USER_ASSIGNED_IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
VAULTS = "Microsoft.KeyVault/vaults"


class NotAResourceId(ValueError):
    """The text is not an Azure resource id."""


@dataclass(frozen=True, slots=True, eq=False)
class ResourceId:
    """A subscription, a resource group, or a resource in one. Equality and hash ignore letter case."""

    subscription: str
    group: str = ""
    provider: str = ""
    """The namespace, for example `Microsoft.ManagedIdentity`."""
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """One name for each type, outermost first."""

    def __post_init__(self) -> None:
        if len(self.types) != len(self.names) or bool(self.types) != bool(self.provider):
            raise NotAResourceId("a resource has a provider, and a name for each of its types")
        for segment in (self.subscription, *filter(None, (self.group, self.provider)), *self.types, *self.names):
            if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
                raise NotAResourceId(f"{segment[:80]!r} can't be part of a resource id")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id in any letter case. Raises NotAResourceId."""
        if len(text) > MAX_LENGTH:
            raise NotAResourceId("the id is too long")
        if not text.startswith("/"):
            raise NotAResourceId("a resource id starts with '/'")
        segments = text[1:].removesuffix("/").split("/")
        subscription = _take(segments, "subscriptions")
        group = _take(segments, "resourceGroups") if segments and segments[0].lower() == "resourcegroups" else ""
        if not segments:
            return cls(subscription, group)
        provider = _take(segments, "providers")
        if not segments or len(segments) % 2:
            raise NotAResourceId("a resource has a name for each of its types")
        return cls(subscription, group, provider, tuple(segments[::2]), tuple(segments[1::2]))

    def __str__(self) -> str:
        """The canonical form."""
        text = f"/subscriptions/{self.subscription}"
        if self.group:
            text += f"/resourceGroups/{self.group}"
        if self.provider:
            text += f"/providers/{self.provider}"
            text += "".join(f"/{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return text

    @property
    def key(self) -> str:
        """The form to look the id up by: canonical, in lower case."""
        return str(self).lower()

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, ResourceId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def type(self) -> str:
        """The full type, for example `Microsoft.ManagedIdentity/userAssignedIdentities`; empty for a group."""
        return "/".join((self.provider, *self.types)) if self.provider else ""

    @property
    def name(self) -> str:
        """The innermost name: of the resource, else of the group, else the subscription."""
        return self.names[-1] if self.names else self.group or self.subscription

    def is_type(self, full_type: str) -> bool:
        return self.type.lower() == full_type.lower()

    @property
    def parent(self) -> "ResourceId | None":
        """The resource, group or subscription around this one; None for a subscription."""
        if len(self.types) > 1:
            return ResourceId(self.subscription, self.group, self.provider, self.types[:-1], self.names[:-1])
        if self.types and self.group:
            return ResourceId(self.subscription, self.group)
        return ResourceId(self.subscription) if self.types or self.group else None

    def contains(self, other: "ResourceId") -> bool:
        """Whether *other* is this, or inside it."""
        return other.key == self.key or other.key.startswith(self.key + "/")


def user_assigned_identity(subscription: str, group: str, name: str) -> ResourceId:
    provider, _, kind = USER_ASSIGNED_IDENTITIES.partition("/")
    return ResourceId(subscription, group, provider, (kind,), (name,))


def same_resource_id(one: str, other: str) -> bool:
    """Whether two texts are one resource. Texts that are not resource ids are only equal to themselves."""
    try:
        return ResourceId.parse(one) == ResourceId.parse(other)
    except NotAResourceId:
        return one == other


def _take(segments: list[str], keyword: str) -> str:
    """The value after *keyword*, both removed from the front of *segments*."""
    if len(segments) < 2 or segments[0].lower() != keyword.lower():
        raise NotAResourceId(f"'{keyword}' and a name were expected")
    value = segments[1]
    del segments[:2]
    return value
