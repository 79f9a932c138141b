"""Key vaults: their settings, access policies and contents."""

import secrets
from typing import Any

import msgspec

from podpass.lab.arm import vaults
from podpass.lab.arm.errors import ArmError
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.resources import put_placed
from podpass.lab.keyvault.certificate_making import Policy
from podpass.lab.keyvault.keys import CreateParameters
from podpass.lab.keyvault.model import Attributes, SetParameters
from podpass.lab.scenario.entries.vaults import CertificateEntry, KeyEntry, LimitedEntry, SecretEntry, VaultEntry


def put_vault(making: Making, entry: VaultEntry) -> Made:
    tenant_id = _tenant_of(making, entry)
    properties = {
        "tenantId": tenant_id,
        "sku": {"family": "A", "name": entry.sku},
        "enableRbacAuthorization": entry.authorization == "rbac",
        "softDeleteRetentionInDays": entry.retention_days,
        "publicNetworkAccess": "Enabled" if entry.public else "Disabled",
        "accessPolicies": _policies(making, entry, tenant_id),
        "networkAcls": _network(entry),
        **{f"enabledFor{word[:1].upper()}{word[1:]}": word in entry.enabled_for for word in _SERVICES},
        **({"enablePurgeProtection": True} if entry.purge_protection else {}),
    }
    try:
        made = put_placed(making, entry, vaults.TYPE, {"properties": properties}, {})
    except ArmError as error:
        if error.code != "ConflictError":
            raise
        # It was deleted since: it comes back, then it is made as the scenario says.
        put_placed(making, entry, vaults.TYPE, {"properties": {**properties, "createMode": "recover"}}, {})
        made = put_placed(making, entry, vaults.TYPE, {"properties": properties}, {})
    for secret in entry.secrets:
        _put_secret(making, entry.name, secret)
    for key in entry.keys:
        _put_key(making, entry.name, key)
    for certificate in entry.certificates:
        _put_certificate(making, entry.name, certificate)
    return Made(made.id)


_SERVICES = ("deployment", "diskEncryption", "templateDeployment")


def _tenant_of(making: Making, entry: VaultEntry) -> str:
    group = making.find("resourceGroups", entry.resource_group).id
    subscription = making.clouds.arm.estate.subscription(group.split("/")[2])
    return subscription.tenant_id if subscription is not None else ""


def _policies(making: Making, entry: VaultEntry, tenant_id: str) -> list[dict[str, Any]]:
    found = []
    for policy in entry.access_policies:
        words = {
            "secrets": policy.secrets,
            "keys": policy.keys,
            "certificates": policy.certificates,
            "storage": policy.storage,
        }
        shown: dict[str, Any] = {
            "tenantId": tenant_id,
            "objectId": making.principal(policy),
            "permissions": {kind: list(given) for kind, given in words.items() if given},
        }
        found.append({**shown, **({"applicationId": policy.client_id} if policy.client_id else {})})
    return found


def _network(entry: VaultEntry) -> dict[str, Any]:
    if entry.network is None:
        return {"defaultAction": "Allow", "bypass": "AzureServices", "ipRules": [], "virtualNetworkRules": []}
    return {
        "defaultAction": entry.network.default_action,
        "bypass": entry.network.bypass,
        "ipRules": [{"value": address} for address in entry.network.addresses],
        "virtualNetworkRules": [{"id": subnet} for subnet in entry.network.subnets],
    }


def _put_secret(making: Making, vault: str, entry: SecretEntry) -> None:
    value = entry.value if entry.value_from is None else making.sources.text(entry.value_from)
    wanted = SetParameters(
        value=secrets.token_urlsafe(24) if value is None else value,
        content_type=entry.content_type,
        tags=entry.tags or None,
        attributes=_attributes(entry),
    )
    making.clouds.keyvault.seed.put_secret(vault, entry.name, wanted, keep_value=value is None)


def _put_key(making: Making, vault: str, entry: KeyEntry) -> None:
    wanted = CreateParameters(
        kty=entry.type,
        key_size=entry.size if entry.type == "RSA" else None,
        crv=entry.curve if entry.type == "EC" else None,
        key_ops=list(entry.operations) or None,
        tags=entry.tags or None,
        attributes=_attributes(entry),
    )
    making.clouds.keyvault.seed.put_key(vault, entry.name, wanted)


def _put_certificate(making: Making, vault: str, entry: CertificateEntry) -> None:
    given = entry.policy or {
        "issuer": {"name": "Self"},
        "x509_props": {
            "subject": entry.subject,
            "validity_months": entry.validity_months,
            **({"sans": {"dns_names": list(entry.dns_names)}} if entry.dns_names else {}),
        },
    }
    try:
        policy = msgspec.convert(given, Policy)
    except msgspec.ValidationError as error:
        raise ArmError(400, "BadParameter", f"The policy of {entry.name} can't be read: {error}.") from error
    making.clouds.keyvault.seed.put_certificate(vault, entry.name, policy, entry.tags or None, enabled=entry.enabled)


def _attributes(entry: LimitedEntry) -> Attributes:
    return Attributes(enabled=entry.enabled, nbf=entry.not_before, exp=entry.expires)
