"""ARM paths: which resource, collection or action a URL names.

An id alternates keywords and names: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}…`,
and any id can be followed by another `/providers/{namespace}/…`, which names an extension of it (a role assignment
of a vault). Letter case never matters for finding, and is kept for answering.
Contract: Azure HTTP surface, sections 1 and 4.
"""

from dataclasses import dataclass

SUBSCRIPTION_TYPE = "Microsoft.Resources/subscriptions"
GROUP_TYPE = "Microsoft.Resources/subscriptions/resourceGroups"

_MAX_SEGMENTS = 40
_MAX_SEGMENT_LENGTH = 260


class NotAPath(ValueError):
    """The text is no ARM path; the message says what is wrong with it."""


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


@dataclass(frozen=True, slots=True)
class ResourceId:
    """The id of a resource, a group, a subscription, or (without parts) of the tenant's root."""

    parts: tuple[Part, ...] = ()

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
        return ResourceId((*self.parts, Part(namespace, ((kind, name),))))


@dataclass(frozen=True, slots=True)
class Address:
    """A path: an id, and what may follow it without a name of its own.

    `…/vaults/kv` has neither namespace nor tail; `…/vaults` has both; `…/vaults/kv/providers/X` has the namespace;
    `…/vaults/kv/accessPolicies` and `…/managedClusters/c/listClusterUserCredential` have the tail only.
    """

    id: ResourceId
    namespace: str = ""
    tail: str = ""

    @property
    def type(self) -> str:
        """The resource type it names or lists, or the type's name with an action behind it."""
        if not self.tail:
            return self.namespace or self.id.type
        if self.namespace:
            return f"{self.namespace}/{self.tail}"
        return f"{self.id.type}/{self.tail}" if self.id.parts else f"Microsoft.Resources/{self.tail}"

    def __str__(self) -> str:
        text = str(self.id)
        if self.namespace:
            text += f"/providers/{self.namespace}"
        return text + (f"/{self.tail}" if self.tail else "") or "/"


def parse(path: str) -> Address:
    """The address that *path* names. Doubled and trailing slashes are tolerated. Raises NotAPath."""
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) > _MAX_SEGMENTS or any(len(segment) > _MAX_SEGMENT_LENGTH for segment in segments):
        raise NotAPath("the path is too long")
    parts: list[Part] = []
    position = 0
    if segments and segments[0].lower() == "subscriptions":
        pairs: list[tuple[str, str]] = []
        for keyword in ("subscriptions", "resourcegroups"):
            if position >= len(segments) or segments[position].lower() != keyword:
                break
            if position + 1 == len(segments):
                return Address(_id(parts, "", pairs), tail=segments[position])
            pairs.append((_KEYWORDS[keyword], segments[position + 1]))
            position += 2
        parts.append(Part("", tuple(pairs)))
    while position < len(segments):
        if segments[position].lower() != "providers":
            if position + 1 == len(segments):
                return Address(ResourceId(tuple(parts)), tail=segments[position])
            raise NotAPath(f"'{segments[position]}' is no part of a resource id")
        if position + 1 == len(segments):
            return Address(ResourceId(tuple(parts)), tail=segments[position])
        namespace = segments[position + 1]
        position += 2
        pairs = []
        while position < len(segments) and segments[position].lower() != "providers":
            if position + 1 == len(segments):
                if pairs:
                    return Address(_id(parts, namespace, pairs), tail=segments[position])
                return Address(ResourceId(tuple(parts)), namespace, segments[position])
            pairs.append((segments[position], segments[position + 1]))
            position += 2
        if not pairs:
            if position == len(segments):
                return Address(ResourceId(tuple(parts)), namespace)
            raise NotAPath(f"no resource type follows '{namespace}'")
        parts.append(Part(namespace, tuple(pairs)))
    return Address(ResourceId(tuple(parts)))


def resource_id(text: str) -> ResourceId:
    """The id that *text* is. Raises NotAPath when it is a collection, an action or no path at all."""
    address = parse(text)
    if address.namespace or address.tail or not text.startswith("/"):
        raise NotAPath(f"'{text[:200]}' is not a resource id")
    return address.id


_KEYWORDS = {"subscriptions": "subscriptions", "resourcegroups": "resourceGroups"}


def _id(parts: list[Part], namespace: str, pairs: list[tuple[str, str]]) -> ResourceId:
    return ResourceId((*parts, Part(namespace, tuple(pairs)))) if pairs else ResourceId(tuple(parts))
