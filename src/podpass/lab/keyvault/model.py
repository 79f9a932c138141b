"""What a vault keeps and what is asked of it, and the rules of who may do what with it.

Contract: secrets store, sections 3.2 to 3.4 and 4.1.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from podpass.lab.arm import Allowed, Denied, Vault
from podpass.lab.keyvault.operations import ObjectType, Operation
from podpass.telemetry.redaction import fingerprint

MAX_VALUE_BYTES = 25 * 1024
MAX_TAGS = 15
MAX_TAG_LENGTH = 256
PAGE_SIZE = 25

_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret's value. It shows only its fingerprint; `text` is for the answer to whoever may read it."""

    text: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.text)

    def __str__(self) -> str:
        return f"[{self.fingerprint}]"


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of when an object may be used; times are seconds since the epoch."""

    enabled: bool | None = None
    nbf: int | None = None
    exp: int | None = None


class SetParameters(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a request to set a secret."""

    value: str
    content_type: str | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()

    def __repr__(self) -> str:
        return f"SetParameters(value=[{fingerprint(self.value)}])"


class UpdateParameters(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a request to update a version; what is absent stays."""

    content_type: str | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()


class RestoreParameters(msgspec.Struct, frozen=True):
    """The body of a request to restore a backup."""

    value: str


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def value_fault(value: str) -> str:
    """What is wrong with the value of a secret; empty when nothing is."""
    if len(value.encode()) > MAX_VALUE_BYTES:
        return f"The value of the secret is too large: at most {MAX_VALUE_BYTES} bytes are allowed."
    return ""


def metadata_fault(object_type: ObjectType, tags: Mapping[str, str] | None, attributes: Attributes) -> str:
    """What is wrong with what a request says of an object beside its value; empty when nothing is."""
    if tags is not None:
        if len(tags) > MAX_TAGS:
            return f"A {object_type.singular} can have at most {MAX_TAGS} tags."
        if any(len(text) > MAX_TAG_LENGTH for pair in tags.items() for text in pair):
            return f"The names and values of tags can have at most {MAX_TAG_LENGTH} characters."
    if attributes.nbf is not None and attributes.exp is not None and attributes.nbf >= attributes.exp:
        return "The property 'nbf' must be earlier than the property 'exp'."
    if any(moment is not None and not 0 <= moment < 1 << 40 for moment in (attributes.nbf, attributes.exp)):
        return "The properties 'nbf' and 'exp' must be seconds since 1970-01-01T00:00:00Z."
    return ""


def recovery_level(vault: Vault) -> str:
    level = "Recoverable" if vault.retention_days == 90 else "CustomizedRecoverable"
    return level if vault.purge_protected else f"{level}+Purgeable"


# Who may


@dataclass(frozen=True, slots=True)
class AllowedByPolicy:
    """An access policy holds the permission."""

    object_id: str
    permission: str
    kind: str = "secret"
    """The type of object that the permission is for."""

    @property
    def why(self) -> str:
        return f"the access policy of {self.object_id} holds the {self.kind} permission {self.permission}"

    def to_dict(self) -> dict[str, Any]:
        return {"policy": self.object_id, "permission": self.permission}


@dataclass(frozen=True, slots=True)
class DeniedByPolicy:
    """No access policy holds the permission; *held* are the permissions on that type that the caller has."""

    object_id: str
    permission: str
    has_policy: bool
    held: tuple[str, ...]
    other_client: bool = False
    """A policy for the object exists, but only together with another application."""
    kind: str = "secret"
    """The type of object that the permission is for."""

    @property
    def why(self) -> str:
        if self.other_client:
            return f"the only policy of {self.object_id} is for another application acting for it"
        if not self.has_policy:
            return f"none is for the object id {self.object_id}"
        held = ", ".join(self.held) or "none"
        return f"the policy of {self.object_id} lacks the {self.kind} permission {self.permission} (held: {held})"

    def to_dict(self) -> dict[str, Any]:
        return {"permission": self.permission, "has_policy": self.has_policy, "held": list(self.held)}


Decision = Allowed | Denied | AllowedByPolicy | DeniedByPolicy


def decide_by_policy(
    vault: Vault, *, object_id: str, client_id: str, operation: Operation
) -> AllowedByPolicy | DeniedByPolicy:
    """What the access policies of *vault* say. `all` is every permission but purge.

    A policy that names an application counts only for tokens of that application.
    """
    named = [policy for policy in vault.policies if policy.object_id.lower() == object_id.lower()]
    counting = [policy for policy in named if policy.application_id in ("", client_id.lower())]
    held: set[str] = set()
    for policy in counting:
        held |= policy.permissions.get(operation.object_type.plural, frozenset())
    wanted, kind = operation.permission, operation.object_type.singular
    if wanted.lower() in held or ("all" in held and wanted != "purge"):
        return AllowedByPolicy(object_id, wanted, kind)
    return DeniedByPolicy(object_id, wanted, bool(counting), tuple(sorted(held)), bool(named) and not counting, kind)


def network_refusal(vault: Vault, address: str) -> str:
    """The inner code of a refusal by the vault's network rules; empty when *address* may come in."""
    if not vault.is_public:
        return "ForbiddenByConnection"
    if vault.allows_all_addresses:
        return ""
    try:
        caller = ipaddress.ip_address(address)
        if any(caller in ipaddress.ip_network(rule, strict=False) for rule in vault.allowed_addresses):
            return ""
    except ValueError:
        # A caller without an address, or a rule that is none, lets nobody in.
        return "ForbiddenByFirewall"
    return "ForbiddenByFirewall"
