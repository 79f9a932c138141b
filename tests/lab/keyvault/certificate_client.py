"""Run as a program: uses the stock CertificateClient, and prints what it saw as JSON.

Reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the clients is replaced.
"""

import asyncio
import base64
import json
import sys

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.certificates import (
    ApiVersion,
    CertificateClient,
    CertificateContentType,
    CertificatePolicy,
    WellKnownIssuerNames,
)
from azure.keyvault.certificates.aio import CertificateClient as AsyncCertificateClient
from azure.keyvault.keys import KeyClient
from azure.keyvault.secrets import SecretClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from secret_client import AsyncCredential, Credential, seen

SHOP = CertificatePolicy(
    issuer_name=WellKnownIssuerNames.self,
    subject="CN=shop.example, O=Shop",
    san_dns_names=["shop.example", "www.shop.example"],
    validity_in_months=3,
    key_type="EC",
    key_curve_name="P-256",
)


def run_sync(url: str) -> None:
    credential = Credential()
    secrets, keys = SecretClient(url, credential), KeyClient(url, credential)
    with CertificateClient(url, credential, api_version=ApiVersion.V7_4) as client:
        made = client.begin_create_certificate("shop", SHOP, tags={"a": "b"}).result()
        leaf = x509.load_der_x509_certificate(bytes(made.cer))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        seen["made"] = [leaf.subject.rfc4514_string(), names.get_values_for_type(x509.DNSName)]
        seen["lifetime agrees"] = [
            made.properties.not_before == leaf.not_valid_before_utc,
            made.properties.expires_on == leaf.not_valid_after_utc,
        ]
        seen["thumbprint agrees"] = made.properties.x509_thumbprint == leaf.fingerprint(hashes.SHA1())
        seen["policy"] = [made.policy.issuer_name, made.policy.key_curve_name, made.policy.validity_in_months]
        version = made.properties.version
        seen["a version"] = client.get_certificate_version("shop", version).id == made.id
        seen["a version marked"] = client.update_certificate_properties(
            "shop", version, tags={"c": "d"}
        ).properties.tags
        seen["operation"] = client.get_certificate_operation("shop").status

        secret = secrets.get_secret("shop")
        found, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret.value or ""), None)
        assert found is not None
        assert certificate is not None
        seen["secret"] = [
            secret.properties.content_type,
            certificate == leaf,
            secret.properties.version == made.properties.version,
            found.public_key() == leaf.public_key(),
        ]
        seen["key"] = keys.get_key("shop").id == made.key_id
        for what in (lambda: secrets.begin_delete_secret("shop"), lambda: keys.begin_delete_key("shop")):
            try:
                what()
            except HttpResponseError as error:
                seen.setdefault("managed", []).append(error.status_code)

        own = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name.from_rfc4514_string("CN=mine.example")
        signed = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(leaf.not_valid_before_utc)
            .not_valid_after(leaf.not_valid_after_utc)
            .sign(own, hashes.SHA256())
        )
        protected = serialization.BestAvailableEncryption(b"open sesame")
        data = pkcs12.serialize_key_and_certificates(b"mine", own, signed, None, protected)
        try:
            client.import_certificate("mine", data, password="wrong")
        except HttpResponseError as error:
            seen["wrong password"] = error.error.code if error.error else ""
        imported = client.import_certificate("mine", data, password="open sesame")
        seen["imported"] = bytes(imported.cer) == signed.public_bytes(serialization.Encoding.DER)

        outside = CertificatePolicy(
            issuer_name=WellKnownIssuerNames.unknown,
            subject="CN=outside.example",
            content_type=CertificateContentType.pem,
        )
        pending = client.begin_create_certificate("outside", outside).result()
        csr = x509.load_der_x509_csr(pending.csr)
        seen["pending"] = [pending.status, csr.is_signature_valid, csr.subject.rfc4514_string()]
        issued = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(name)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(leaf.not_valid_before_utc)
            .not_valid_after(leaf.not_valid_after_utc)
            .sign(own, hashes.SHA256())
        )
        merged = client.merge_certificate("outside", [issued.public_bytes(serialization.Encoding.DER)])
        pem = secrets.get_secret("outside").value or ""
        seen["merged"] = [merged.policy.issuer_name, pem.count("BEGIN CERTIFICATE"), pem.count("BEGIN PRIVATE KEY")]

        client.begin_create_certificate("shop", SHOP).result()
        seen["versions"] = len(list(client.list_properties_of_certificate_versions("shop")))
        seen["listed"] = sorted(one.name for one in client.list_properties_of_certificates())
        changed = client.update_certificate_properties("shop", enabled=False)
        seen["disabled"] = [changed.properties.enabled, keys.get_key("shop").properties.enabled]
        backup = client.backup_certificate("mine")
        client.begin_delete_certificate("mine").wait()
        try:
            client.begin_create_certificate("mine", SHOP)
        except ResourceExistsError as error:
            seen["reused"] = error.error.innererror["code"] if error.error and error.error.innererror else ""
        try:
            secrets.get_secret("mine")
        except ResourceNotFoundError as error:
            seen["secret went along"] = error.error.code if error.error else ""
        client.begin_recover_deleted_certificate("mine").wait()
        seen["recovered"] = bool(secrets.get_secret("mine").value)
        client.begin_delete_certificate("mine").wait()
        client.purge_deleted_certificate("mine")
        seen["restored"] = client.restore_certificate_backup(backup).name
        seen["restored key"] = keys.get_key("mine").name


async def run_async(url: str) -> None:
    async with AsyncCertificateClient(url, AsyncCredential()) as client:
        made = await client.create_certificate("shop", SHOP)
        seen["made"] = made.name
        policy = await client.get_certificate_policy("shop")
        seen["policy"] = policy.subject


if __name__ == "__main__":
    mode, vault_url = sys.argv[1:]
    run_sync(vault_url) if mode == "sync" else asyncio.run(run_async(vault_url))
    print(json.dumps(seen))
