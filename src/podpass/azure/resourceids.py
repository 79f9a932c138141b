"""Azure Resource Manager ids.

An id alternates keywords and names: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}…`,
and any id can be followed by another `/providers/{namespace}/…`, which names an extension of it (a role assignment
of a vault). It compares without regard to letter case and keeps the case it was created with, except for the words of
the path itself, which `str` writes in their canonical form. Contract: Azure HTTP surface, section 1.
"""

import re
from dataclasses import dataclass
from typing import Self

SUBSCRIPTIONS = "subscriptions"
RESOURCE_GROUPS = "resourceGroups"
SUBSCRIPTION_TYPE = "Microsoft.Resources/subscriptions"
GROUP_TYPE = "Microsoft.Resources/subscriptions/resourceGroups"
USER_ASSIGNED_IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
MAX_LENGTH = 2048

_SEGMENT = re.compile(r"[^/?#%\\\s\x00-\x1f]{1,260}")


class NotAResourceId(ValueError):
    """The text is not an Azure resource id."""


@dataclass(frozen=True, slots=True)
class Part:
    """One `/providers/{namespace}/{type}/{name}…` of an id; the subscription and the group have no namespace."""

    namespace: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def type(self) -> str:
        """`Microsoft.KeyVault/vaults`, or `subscriptions/resourceGroups` for the part without a namespace."""
        names = "/".join(kind for kind, _ in self.pairs)
        return f"{self.namespace}/{names}" if self.namespace else names


@dataclass(frozen=True, slots=True, eq=False)
class ResourceId:
    """The id of a resource, a group, a subscription, or (without parts) of the tenant's root.

    Equality and hash ignore letter case.
    """

    parts: tuple[Part, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the id of a subscription, or of something in one, in any letter case. Raises NotAResourceId."""
        if len(text) > MAX_LENGTH:
            raise NotAResourceId("the id is too long")
        if not text.startswith("/"):
            raise NotAResourceId("a resource id starts with '/'")
        segments = text[1:].removesuffix("/").split("/")
        for segment in segments:
            if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
                raise NotAResourceId(f"{segment[:80]!r} can't be part of a resource id")
        base = [(SUBSCRIPTIONS, _take(segments, SUBSCRIPTIONS))]
        if segments and segments[0].lower() == RESOURCE_GROUPS.lower():
            base.append((RESOURCE_GROUPS, _take(segments, RESOURCE_GROUPS)))
        parts = [Part("", tuple(base))]
        while segments:
            namespace = _take(segments, "providers")
            pairs: list[tuple[str, str]] = []
            while segments and segments[0].lower() != "providers":
                pairs.append((segments[0], _take(segments, segments[0])))
            if not pairs:
                raise NotAResourceId(f"no resource type follows '{namespace}'")
            parts.append(Part(namespace, tuple(pairs)))
        return cls(tuple(parts))

    def __str__(self) -> str:
        text = ""
        for part in self.parts:
            if part.namespace:
                text += f"/providers/{part.namespace}"
            text += "".join(f"/{kind}/{name}" for kind, name in part.pairs)
        return text

    @property
    def key(self) -> str:
        """The id by which it is found: lower case."""
        return str(self).lower()

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, ResourceId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def subscription(self) -> str:
        return self._base_name(0)

    @property
    def group(self) -> str:
        return self._base_name(1)

    def _base_name(self, position: int) -> str:
        if not self.parts or self.parts[0].namespace or len(self.parts[0].pairs) <= position:
            return ""
        return self.parts[0].pairs[position][1]

    @property
    def name(self) -> str:
        return self.parts[-1].pairs[-1][1] if self.parts else ""

    @property
    def type(self) -> str:
        """The full resource type; empty for the root."""
        if not self.parts:
            return ""
        last = self.parts[-1]
        return last.type if last.namespace else f"Microsoft.Resources/{last.type}"

    @property
    def parent(self) -> "ResourceId":
        """What holds it: the resource a child belongs to, the group, the subscription, the root."""
        if not self.parts:
            return self
        *before, last = self.parts
        if len(last.pairs) > 1:
            return ResourceId((*before, Part(last.namespace, last.pairs[:-1])))
        return ResourceId(tuple(before))

    @property
    def group_id(self) -> "ResourceId":
        """The resource group it lies in, or the subscription when it lies in none."""
        return ResourceId((Part("", self.parts[0].pairs),)) if self.subscription else ResourceId()

    @property
    def subscription_id(self) -> "ResourceId":
        return ResourceId((Part("", self.parts[0].pairs[:1]),)) if self.subscription else ResourceId()

    def child(self, kind: str, name: str) -> "ResourceId":
        """The id of a child of this resource: `…/federatedIdentityCredentials/orders`."""
        *before, last = self.parts
        return ResourceId((*before, Part(last.namespace, (*last.pairs, (kind, name)))))

    def extension(self, namespace: str, kind: str, name: str) -> "ResourceId":
        """The id of a resource in this group, or of one that says something of this resource."""
        return ResourceId((*self.parts, Part(namespace, ((kind, name),))))

    def contains(self, other: "ResourceId") -> bool:
        """Whether *other* is this, or inside it."""
        return other.key == self.key or other.key.startswith(self.key + "/")


def resource_group(subscription: str, name: str) -> ResourceId:
    return ResourceId((Part("", ((SUBSCRIPTIONS, subscription), (RESOURCE_GROUPS, name))),))


def user_assigned_identity(subscription: str, group: str, name: str) -> ResourceId:
    namespace, _, kind = USER_ASSIGNED_IDENTITIES.partition("/")
    return resource_group(subscription, group).extension(namespace, kind, name)


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
