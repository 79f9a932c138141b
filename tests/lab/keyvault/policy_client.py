"""Run as a program: what the stock clients do with policies, issuers, contacts and operations; prints JSON.

Reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the clients is replaced.
"""

import asyncio
import json
import sys

from azure.core.exceptions import ResourceNotFoundError
from azure.keyvault.certificates import (
    AdministratorContact,
    CertificateClient,
    CertificateContact,
    CertificatePolicy,
    CertificatePolicyAction,
    LifetimeAction,
)
from azure.keyvault.certificates.aio import CertificateClient as AsyncCertificateClient
from azure.keyvault.keys import KeyClient, KeyRotationLifetimeAction, KeyRotationPolicy, KeyRotationPolicyAction
from azure.keyvault.keys.aio import KeyClient as AsyncKeyClient
from secret_client import AsyncCredential, Credential, seen

ROTATED = KeyRotationPolicy(
    expires_in="P90D",
    lifetime_actions=[KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P60D")],
)
OUTSIDE = CertificatePolicy(issuer_name="Unknown", subject="CN=outside.example", key_type="EC")
CONTACTS = [CertificateContact(email="ops@shop.example", name="Ops", phone="1")]
ADMIN = AdministratorContact(first_name="A", last_name="B", email="ab@shop.example", phone="2")


def rotation_of(policy: KeyRotationPolicy) -> list[object]:
    actions = [(one.action.value, one.time_after_create, one.time_before_expiry) for one in policy.lifetime_actions]
    return [policy.expires_in, sorted(map(list, actions)), bool(policy.created_on)]


def run_sync(url: str) -> None:
    with KeyClient(url, Credential()) as keys:
        keys.create_ec_key("signer")
        seen["unset rotation"] = rotation_of(keys.get_key_rotation_policy("signer"))
        seen["set rotation"] = rotation_of(keys.update_key_rotation_policy("signer", ROTATED))
        seen["kept rotation"] = rotation_of(keys.get_key_rotation_policy("signer"))
        expires = keys.rotate_key("signer").properties
        seen["expires after"] = (expires.expires_on - expires.created_on).days
    with CertificateClient(url, Credential()) as client:
        try:
            client.get_contacts()
        except ResourceNotFoundError as error:
            seen["no contacts"] = error.error.code if error.error else ""
        seen["set contacts"] = [one.email for one in client.set_contacts(CONTACTS)]
        seen["contacts"] = [[one.email, one.name, one.phone] for one in client.get_contacts()]
        seen["deleted contacts"] = len(client.delete_contacts())
        issuer = client.create_issuer(
            "ca", "DigiCert", account_id="7", password="hidden", organization_id="org", admin_contacts=[ADMIN]
        )
        seen["issuer"] = [issuer.provider, issuer.account_id, issuer.organization_id, issuer.password, issuer.enabled]
        changed = client.update_issuer("ca", enabled=False)
        seen["changed issuer"] = [changed.enabled, changed.account_id, changed.admin_contacts[0].email]
        seen["issuers"] = [[one.name, one.provider] for one in client.list_properties_of_issuers()]
        seen["deleted issuer"] = client.delete_issuer("ca").name
        try:
            client.get_issuer("ca")
        except ResourceNotFoundError as error:
            seen["no issuer"] = error.error.code if error.error else ""
        client.begin_create_certificate("outside", OUTSIDE).result()
        seen["cancelled"] = client.cancel_certificate_operation("outside").cancellation_requested
        seen["deleted operation"] = client.delete_certificate_operation("outside").name
        client.begin_create_certificate("shop", CertificatePolicy.get_default()).result()
        policy = client.get_certificate_policy("shop")
        seen["policy"] = [
            policy.key_size,
            policy.lifetime_actions[0].action,
            policy.lifetime_actions[0].lifetime_percentage,
        ]
        policy._lifetime_actions = [LifetimeAction(CertificatePolicyAction.email_contacts, days_before_expiry=20)]
        kept = client.update_certificate_policy("shop", policy)
        seen["changed policy"] = [
            kept.lifetime_actions[0].action,
            kept.lifetime_actions[0].days_before_expiry,
            kept.subject,
        ]


async def run_async(url: str) -> None:
    async with AsyncKeyClient(url, AsyncCredential()) as keys:
        await keys.create_ec_key("signer")
        await keys.update_key_rotation_policy("signer", ROTATED)
        seen["kept rotation"] = rotation_of(await keys.get_key_rotation_policy("signer"))
    async with AsyncCertificateClient(url, AsyncCredential()) as client:
        await client.set_contacts(CONTACTS)
        seen["contacts"] = [one.email for one in await client.get_contacts()]
        await client.create_issuer("ca", "DigiCert")
        seen["issuers"] = [one.name async for one in client.list_properties_of_issuers()]
        await client.create_certificate("shop", CertificatePolicy.get_default())
        backup = await client.backup_certificate("shop")
        await client.delete_certificate("shop")
        seen["deleted"] = [one.name async for one in client.list_deleted_certificates()]
        await client.purge_deleted_certificate("shop")
        seen["restored"] = (await client.restore_certificate_backup(backup)).name


if __name__ == "__main__":
    mode, vault_url = sys.argv[1:]
    run_sync(vault_url) if mode == "sync" else asyncio.run(run_async(vault_url))
    print(json.dumps(seen))
