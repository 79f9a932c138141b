"""Key vaults: their settings, access policies and contents."""

import secrets
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import msgspec

from podpass.lab.arm import vaults
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import SERVICE
from podpass.lab.arm.model import Resource
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.filling.resources import put_placed
from podpass.lab.keyvault import key_material
from podpass.lab.keyvault.certificate_making import SELF, Issuer, Policy
from podpass.lab.keyvault.certificates import CertificateVersion
from podpass.lab.keyvault.keys import DEFAULT_OPERATIONS, CreateParameters, KeyVersion
from podpass.lab.keyvault.model import Attributes, SetParameters
from podpass.lab.keyvault.secrets import SecretVersion
from podpass.lab.scenario.entries.vaults import (
    AccessPolicyEntry,
    CertificateEntry,
    KeyEntry,
    LimitedEntry,
    NetworkRulesEntry,
    SecretEntry,
    VaultEntry,
)

_SERVICES = ("deployment", "diskEncryption", "templateDeployment")
_OPEN = {"defaultAction": "Allow", "bypass": "AzureServices", "ipRules": [], "virtualNetworkRules": []}


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
        **{_enabled_for(word): word in entry.enabled_for for word in _SERVICES},
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
    return Made(id=made.id)


def _enabled_for(word: str) -> str:
    return f"enabledFor{word[:1].upper()}{word[1:]}"


def _tenant_of(making: Making, entry: VaultEntry) -> str:
    group = making.find(entry.resource_group, "resourceGroups").id
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
        return _OPEN
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
    if entry.rotation:
        making.clouds.keyvault.seed.put_rotation_policy(vault, entry.name, entry.rotation)


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


def vaults_there(finding: Finding) -> Iterator[Found]:
    for vault in finding.resources(vaults.TYPE):
        yield Found(path=finding.place(vault), id=vault.id, entry=partial(_vault, finding, vault))
    deleted = finding.clouds.arm.estate.store.items(SERVICE, "deleted-vault")
    finding.note("vaults", f"{len(deleted)} deleted vaults are not said.", len(deleted))


def _vault(finding: Finding, vault: Resource) -> VaultEntry:
    properties, contents = vault.properties, finding.clouds.keyvault.seed.contents(vault.name)
    for kind, count in contents.older.items():
        finding.note("vaults", f"{vault.name}: {count} older versions of {kind}s are not said.", count)
    for kind, count in contents.deleted.items():
        finding.note("vaults", f"{vault.name}: {count} deleted {kind}s are not said.", count)
    for kind, count in contents.others.items():
        finding.note("vaults", f"{vault.name}: {count} {kind}s are not said.", count)
    finding.note("vaults", f"{vault.name}: keys are made anew.", len(contents.keys) + len(contents.certificates))
    is_rbac = bool(properties["enableRbacAuthorization"])
    idle = len(properties["accessPolicies"]) if is_rbac else 0
    finding.note("vaults", f"{vault.name}: {idle} access policies without effect are not said.", idle)
    return VaultEntry(
        **finding.placed(vault),
        authorization="rbac" if is_rbac else "accessPolicies",
        sku=properties["sku"]["name"],
        retention_days=properties["softDeleteRetentionInDays"],
        purge_protection=bool(properties.get("enablePurgeProtection")),
        public=properties["publicNetworkAccess"].lower() != "disabled",
        enabled_for=tuple(word for word in _SERVICES if properties[_enabled_for(word)]),
        network=_network_entry(properties.get("networkAcls") or {}),
        secrets=tuple(_secret(finding, vault.name, one) for one in contents.secrets),
        keys=tuple(_key(finding, vault.name, one) for one in contents.keys),
        certificates=tuple(_certificate(finding, vault.name, *one) for one in contents.certificates),
        access_policies=() if is_rbac else tuple(_policy(finding, one) for one in properties["accessPolicies"]),
    )


def _network_entry(rules: Mapping[str, Any]) -> NetworkRulesEntry | None:
    if not rules or rules == _OPEN:
        return None
    return NetworkRulesEntry(
        default_action=rules["defaultAction"],
        bypass=rules["bypass"],
        addresses=tuple(rule["value"] for rule in rules["ipRules"]),
        subnets=tuple(rule["id"] for rule in rules["virtualNetworkRules"]),
    )


def _policy(finding: Finding, policy: Mapping[str, Any]) -> AccessPolicyEntry:
    words = {kind: tuple(given) for kind, given in policy["permissions"].items()}
    said: dict[str, Any] = {**finding.principal(policy["objectId"]), **words}
    return AccessPolicyEntry(**said, client_id=policy.get("applicationId", ""))


def _secret(finding: Finding, vault: str, one: SecretVersion) -> SecretEntry:
    if not finding.with_secret_values:
        finding.note("vaults", f"{vault}: the value of {one.name} is made anew.")
    return SecretEntry(
        **_limited(one),
        value=one.value.text if finding.with_secret_values else None,
        content_type=one.body.content_type,
    )


def _key(finding: Finding, vault: str, one: KeyVersion) -> KeyEntry:
    sort = key_material.like(key_material.opened(one.value.text))
    operations = one.body.operations
    return KeyEntry(
        **_limited(one),
        type=sort.type,
        size=sort.size if sort.type == "RSA" else 2048,
        curve=cast("Any", sort.curve) if sort.type == "EC" else "P-256",
        operations=() if operations == DEFAULT_OPERATIONS[sort.type] else operations,
        rotation=finding.clouds.keyvault.seed.rotation_policy(vault, one.name),
    )


def _certificate(finding: Finding, vault: str, one: CertificateVersion, policy: Policy) -> CertificateEntry:
    if policy.issuer.name.lower() != SELF:
        finding.note("vaults", f"{vault}: the certificate {one.name}, signed by others, becomes a self-signed one.")
        policy = msgspec.structs.replace(policy, issuer=Issuer())
    return CertificateEntry(
        name=one.name, enabled=one.body.enabled, tags=one.body.tags or {}, policy=msgspec.to_builtins(policy)
    )


def _limited(one: SecretVersion | KeyVersion) -> dict[str, Any]:
    return {
        "name": one.name,
        "enabled": one.body.enabled,
        "tags": one.body.tags or {},
        "not_before": one.body.not_before,
        "expires": one.body.expires,
    }
