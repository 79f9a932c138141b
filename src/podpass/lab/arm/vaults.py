"""Key vaults as ARM manages them: names, access policies, soft delete. Their contents are the lab's keyvault package.

Contract: secrets store, section 4.2; Azure HTTP surface, section 4.1.
"""

import ipaddress
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from podpass.lab.arm import access_policies, deleted_vaults, errors
from podpass.lab.arm.access_policies import AccessPolicy, PolicyBody
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import SERVICE, Estate
from podpass.lab.arm.model import (
    Answer,
    Body,
    Call,
    Draft,
    NameRule,
    Operation,
    Resource,
    ResourceType,
    Shaped,
)

TYPE = "Microsoft.KeyVault/vaults"
DNS_SUFFIX = "vault.azure.net"
RBAC_DEFAULT_SINCE = "2026-02-01"


_NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9]|-(?!-)){1,22}[a-zA-Z0-9]")


class _Sku(msgspec.Struct, frozen=True):
    name: str
    family: str = "A"


class _Value(msgspec.Struct, frozen=True):
    value: str


class _NetworkRules(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    bypass: Literal["AzureServices", "None"] = "AzureServices"
    default_action: Literal["Allow", "Deny"] = "Allow"
    ip_rules: list[_Value] | None = None
    virtual_network_rules: list[dict[str, Any]] | None = None


class _Properties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    tenant_id: str
    sku: _Sku
    access_policies: list[PolicyBody] | None = None
    enabled_for_deployment: bool | None = None
    enabled_for_disk_encryption: bool | None = None
    enabled_for_template_deployment: bool | None = None
    enable_soft_delete: bool | None = None
    soft_delete_retention_in_days: int | None = None
    enable_rbac_authorization: bool | None = None
    enable_purge_protection: bool | None = None
    network_acls: _NetworkRules | None = None
    public_network_access: str | None = None
    create_mode: str | None = None


class _VaultBody(Body, frozen=True, kw_only=True, rename="camel"):
    properties: _Properties


class _NameQuery(msgspec.Struct, frozen=True):
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Vault:
    """What the data plane must know of a vault."""

    name: str
    id: str
    instance: str
    """Names this vault among all that ever had its name; its contents are kept under it."""
    tenant_id: str
    location: str
    is_rbac: bool
    policies: tuple[AccessPolicy, ...]
    retention_days: int
    purge_protected: bool
    is_public: bool
    allows_all_addresses: bool
    allowed_addresses: tuple[str, ...]


def vault(estate: Estate, name: str) -> Vault | None:
    """The vault of this name, whatever its subscription; None when there is none, or only a deleted one."""
    key = estate.store.get(SERVICE, "vault-name", name.lower())
    document = None if key is None else estate.store.get(SERVICE, "resource", key)
    return None if document is None else _vault(Resource(**document))


def _vault(resource: Resource) -> Vault:
    properties = resource.properties
    rules = properties.get("networkAcls") or {}
    return Vault(
        name=resource.name,
        id=resource.id,
        instance=resource.hidden["instance"],
        tenant_id=properties["tenantId"],
        location=resource.location,
        is_rbac=bool(properties["enableRbacAuthorization"]),
        policies=access_policies.read(properties["accessPolicies"]),
        retention_days=properties["softDeleteRetentionInDays"],
        purge_protected=bool(properties.get("enablePurgeProtection")),
        is_public=properties["publicNetworkAccess"].lower() != "disabled",
        allows_all_addresses=rules.get("defaultAction", "Allow") == "Allow",
        allowed_addresses=tuple(rule["value"] for rule in rules.get("ipRules", ())),
    )


def _shape(estate: Estate, draft: Draft) -> Shaped:
    given: _Properties = draft.body.properties
    before: Mapping[str, Any] = draft.existing.properties if draft.existing else {}
    hidden = dict(draft.existing.hidden) if draft.existing else {}
    policies = given.access_policies
    if draft.existing is None:
        hidden, restored = _claim_name(estate, draft, given.create_mode or "default")
        if restored is not None:
            return Shaped(properties=restored, hidden=hidden)
    if given.tenant_id.lower() != draft.subscription.tenant_id.lower():
        raise errors.bad_request(f"The tenant ID '{given.tenant_id}' is not the tenant of the subscription.")
    if given.sku.name.lower() not in ("standard", "premium"):
        raise errors.bad_request(f"The SKU name '{given.sku.name}' is invalid; it must be standard or premium.")
    retention = given.soft_delete_retention_in_days
    kept_retention = before.get("softDeleteRetentionInDays")
    if retention is not None and not 7 <= retention <= 90:
        raise errors.bad_request('The property "softDeleteRetentionInDays" must be between 7 and 90.')
    if kept_retention is not None and retention not in (None, kept_retention):
        raise errors.bad_request(
            'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.'
        )
    if given.enable_soft_delete is False:
        raise errors.bad_request(
            'The property "enableSoftDelete" can be set to false only for creating new vault; it is always on.'
        )
    if given.enable_purge_protection is False:
        raise errors.bad_request(
            'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is '
            "an irreversible action."
        )
    _check_network(given)
    rbac = given.enable_rbac_authorization
    if rbac is None:
        rbac = before.get("enableRbacAuthorization", draft.api_version[:10] >= RBAC_DEFAULT_SINCE)
    if policies is None and draft.existing is None and not rbac:
        raise errors.bad_request("The parameter accessPolicies is not specified.")
    shown = access_policies.checked(policies or [], draft.subscription.tenant_id)
    properties: dict[str, Any] = {
        "sku": {"family": "A", "name": given.sku.name.lower()},
        "tenantId": draft.subscription.tenant_id,
        "accessPolicies": shown,
        "enabledForDeployment": bool(given.enabled_for_deployment),
        "enabledForDiskEncryption": bool(given.enabled_for_disk_encryption),
        "enabledForTemplateDeployment": bool(given.enabled_for_template_deployment),
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": kept_retention or retention or 90,
        "enableRbacAuthorization": rbac,
        "vaultUri": f"https://{(draft.existing.name if draft.existing else draft.id.name).lower()}.{DNS_SUFFIX}/",
        "provisioningState": "Succeeded",
        "publicNetworkAccess": given.public_network_access or before.get("publicNetworkAccess", "Enabled"),
    }
    if given.enable_purge_protection or before.get("enablePurgeProtection"):
        properties["enablePurgeProtection"] = True
    if given.network_acls is not None:
        properties["networkAcls"] = {
            "bypass": given.network_acls.bypass,
            "defaultAction": given.network_acls.default_action,
            "ipRules": [{"value": rule.value} for rule in given.network_acls.ip_rules or ()],
            "virtualNetworkRules": given.network_acls.virtual_network_rules or [],
        }
    elif before.get("networkAcls"):
        properties["networkAcls"] = before["networkAcls"]
    return Shaped(properties=properties, hidden=hidden)


def _check_network(given: _Properties) -> None:
    access = given.public_network_access
    if access is not None and access.lower() not in ("enabled", "disabled"):
        raise errors.bad_request(f"The property \"publicNetworkAccess\" is '{access}'; it must be Enabled or Disabled.")
    for rule in (given.network_acls.ip_rules or ()) if given.network_acls else ():
        try:
            ipaddress.ip_network(rule.value, strict=False)
        except ValueError as error:
            raise errors.bad_request(f"The value '{rule.value}' of an IP rule is no address or range.") from error


def _claim_name(estate: Estate, draft: Draft, create_mode: str) -> tuple[dict[str, str], Mapping[str, Any] | None]:
    """The hidden members of a new vault and, when a deleted one is recovered, its properties."""
    name = draft.id.name
    deleted = deleted_vaults.deleted_key(estate, name)
    if estate.store.get(SERVICE, "vault-name", name.lower()) is not None and deleted is None:
        raise ArmError(
            409,
            "VaultAlreadyExists",
            f"The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the "
            "name is already taken.",
        )
    if deleted is None:
        if create_mode.lower() == "recover":
            raise ArmError(404, "ResourceNotFound", f"There is no deleted vault named '{name}' to recover.")
        return {"instance": uuid.uuid4().hex}, None
    if create_mode.lower() != "recover":
        raise ArmError(
            409,
            "ConflictError",
            "A vault with the same name already exists in deleted state. You need to either recover or purge existing "
            "key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft "
            "delete.",
        )
    resource = deleted_vaults.recover(estate, deleted)
    if resource.id.lower() != draft.id.key:
        raise errors.bad_request(f"The deleted vault '{name}' can only be recovered as {resource.id}.")
    return dict(resource.hidden), resource.properties


def _written(estate: Estate, resource: Resource, before: Resource | None) -> None:
    if before is None:
        estate.store.put(SERVICE, "vault-name", resource.name.lower(), resource.id.lower())


def _check_name(estate: Estate, call: Call) -> Answer:
    try:
        asked = msgspec.json.decode(call.body, type=_NameQuery)
    except msgspec.DecodeError as error:
        raise errors.invalid_content(str(error)) from error
    deleted_vaults.expire(estate)
    if _NAME.fullmatch(asked.name) is None:
        reason, message = "AccountNameInvalid", _INVALID_NAME.format(name=asked.name)
    elif estate.store.get(SERVICE, "vault-name", asked.name.lower()) is not None:
        reason, message = "AlreadyExists", f"The vault name '{asked.name}' is already in use."
    else:
        return Answer(200, {"nameAvailable": True})
    return Answer(200, {"nameAvailable": False, "reason": reason, "message": message})


_INVALID_NAME = (
    "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must "
    "begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more "
    "information: https://go.microsoft.com/fwlink/?linkid=2147742"
)

VAULT = ResourceType(
    name=TYPE,
    api_versions=(
        "2026-05-15",
        "2026-02-01",
        "2024-11-01",
        "2023-07-01",
        "2022-07-01",
        "2019-09-01",
        "2018-02-14",
        "2016-10-01",
    ),
    body=_VaultBody,
    shape=_shape,
    name_rule=NameRule(_NAME, "VaultNameNotValid", _INVALID_NAME),
    written=_written,
    removed=deleted_vaults.keep_deleted,
)

MANAGED_HSM = ResourceType(name="Microsoft.KeyVault/managedHSMs")
DELETED_MANAGED_HSM = ResourceType(name="Microsoft.KeyVault/deletedManagedHSMs")
"""Both are listed, because `az keyvault list` and `list-deleted` ask for them too; empty, and none can be made."""

OPERATIONS = (
    Operation(
        method="POST",
        path="Microsoft.KeyVault/checkNameAvailability",
        action="Microsoft.KeyVault/checkNameAvailability/read",
        run=_check_name,
    ),
)
