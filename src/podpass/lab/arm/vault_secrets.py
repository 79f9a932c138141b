"""Secrets of a vault as Resource Manager manages them: made and described, never shown.

Their values are the Key Vault's business; this is what Resource Manager asks of it.
Contract: Microsoft.KeyVault/vaults/secrets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm import errors, vaults
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Answer, Call, Operation, decoded_json
from podpass.lab.arm.vaults import Vault

TYPE = "Microsoft.KeyVault/vaults/secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretWanted:
    """A secret to be made, or changed."""

    value: str | None
    """None: only what is said about it changes."""
    content_type: str | None
    enabled: bool | None
    not_before: int | None
    """In seconds since the epoch, as *expires*."""
    expires: int | None
    tags: Mapping[str, str] | None

    def __repr__(self) -> str:
        return "SecretWanted()"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretShown:
    """What is told of a secret: everything but its value."""

    name: str
    version: str
    content_type: str | None
    attributes: Mapping[str, Any]
    tags: Mapping[str, str]


class VaultSecrets(Protocol):
    """What Resource Manager asks of the Key Vault. Raises ArmError where the vault refuses."""

    def put(self, vault: Vault, name: str, wanted: SecretWanted) -> SecretShown: ...

    def get(self, vault: Vault, name: str) -> SecretShown | None: ...

    def list(self, vault: Vault) -> Sequence[SecretShown]: ...

    def value(self, vault: Vault, name: str, version: str) -> str | None: ...


class _Attributes(msgspec.Struct, frozen=True, kw_only=True):
    enabled: bool | None = None
    nbf: int | None = None
    exp: int | None = None


class _Properties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    value: str | None = None
    content_type: str | None = None
    attributes: _Attributes = _Attributes()

    def __repr__(self) -> str:
        return "_Properties()"


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    properties: _Properties
    tags: dict[str, str] | None = None


def _put(estate: Estate, call: Call) -> Answer:
    wanted = _named(call)
    try:
        body = msgspec.convert(decoded_json(call.body), _Body)
    except msgspec.ValidationError as error:
        raise errors.invalid_content(str(error)) from error
    vault, secrets = _vault(estate, wanted.parent)
    given = body.properties
    if given.value is None and call.method == "PUT":
        raise errors.bad_request("The property 'value' of the secret is required.")
    before = secrets.get(vault, wanted.name)
    if before is None and call.method == "PATCH":
        raise _absent(wanted)
    shown = secrets.put(
        vault,
        wanted.name,
        SecretWanted(
            value=given.value,
            content_type=given.content_type,
            enabled=given.attributes.enabled,
            not_before=given.attributes.nbf,
            expires=given.attributes.exp,
            tags=body.tags,
        ),
    )
    return Answer(201 if before is None else 200, _document(vault, shown))


def _get(estate: Estate, call: Call) -> Answer:
    vault, secrets = _vault(estate, call.address.id if call.address.tail else call.address.id.parent)
    if call.address.tail:
        return Answer(200, items=tuple(_document(vault, one) for one in secrets.list(vault)))
    shown = secrets.get(vault, call.address.id.name)
    if shown is None:
        raise _absent(call.address.id)
    return Answer(200, _document(vault, shown))


def _absent(wanted: ResourceId) -> errors.ArmError:
    return errors.resource_not_found(TYPE, f"{wanted.parent.name}/{wanted.name}", wanted.group)


def _named(call: Call) -> ResourceId:
    if call.address.tail:
        raise errors.method_not_allowed(call.method, TYPE)
    return call.address.id


def _vault(estate: Estate, wanted: ResourceId) -> tuple[Vault, VaultSecrets]:
    group = estate.get(wanted.group_id)
    if group is None:
        raise errors.group_not_found(wanted.group)
    found = vaults.vault(estate, wanted.name)
    if found is None or found.id.lower() != wanted.key:
        raise errors.parent_not_found(TYPE, wanted.name)
    if estate.vault_secrets is None:
        raise errors.not_emulated("secrets of vaults without a Key Vault")
    return found, estate.vault_secrets


def _document(vault: Vault, shown: SecretShown) -> dict[str, Any]:
    uri = f"https://{vault.name.lower()}.{vaults.DNS_SUFFIX}/secrets/{shown.name}"
    properties: dict[str, Any] = {
        "attributes": shown.attributes,
        "secretUri": uri,
        "secretUriWithVersion": f"{uri}/{shown.version}",
    }
    if shown.content_type is not None:
        properties["contentType"] = shown.content_type
    return {
        "id": f"{vault.id}/secrets/{shown.name}",
        "name": shown.name,
        "type": TYPE,
        "location": vault.location,
        "tags": shown.tags,
        "properties": properties,
    }


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_get),
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=_put),
    Operation(method="PATCH", path=TYPE, action=f"{TYPE}/write", run=_put),
)
