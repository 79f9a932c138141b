"""Applications, their service principals and credentials."""

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from podpass.lab.entra.directory import Application
from podpass.lab.filling import trust
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.graph.seeding import Wanted
from podpass.lab.scenario.entries.directory import ApplicationEntry, ClientCertificateEntry
from podpass.lab.scenario.sources import SourceMissing


def put_application(making: Making, entry: ApplicationEntry) -> Made:
    clouds = making.clouds
    tenant_id = making.find("tenants", entry.tenant).id
    # Names are no ids in a directory: what the lab chose for this entry is how it finds the application again.
    client_id = clouds.remembered.guid(f"application/{tenant_id}/{entry.name}".lower(), entry.client_id)
    api = {**entry.registration.get("api", {}), "requestedAccessTokenVersion": entry.token_version}
    members: dict[str, Any] = {
        **entry.registration,
        "displayName": entry.display_name or entry.name,
        "identifierUris": list(entry.identifier_uris),
        "api": api,
    }
    application = clouds.graph.seed.put_application(
        Wanted(
            tenant_id=tenant_id,
            client_id=client_id,
            registration_id=entry.object_id,
            principal_id=entry.service_principal_id,
            has_principal=entry.service_principal,
            enabled=entry.enabled,
            members=members,
        )
    )
    _put_credentials(making, entry, application)
    return Made(application.registration_id, application.object_id)


def _put_credentials(making: Making, entry: ApplicationEntry, application: Application) -> None:
    seed = making.clouds.graph.seed
    for secret in entry.secrets:
        text = None if secret.value_from is None else making.sources.text(secret.value_from)
        made = seed.put_secret(application, secret.name, text, days=secret.days)
        if made is not None and text is None:
            making.written[making.clouds.client_secrets / application.client_id / secret.name] = made
    for certificate in entry.certificates:
        seed.put_certificate(application, certificate.name, _der(making, certificate))
    for credential in entry.federated_credentials:
        seed.put_credential(application, trust.wanted(making, credential), credential.description)


def _der(making: Making, entry: ClientCertificateEntry) -> bytes:
    content = making.sources.content(entry.file) if entry.file else entry.pem.encode()
    if b"-----BEGIN" not in content:
        return content
    try:
        return x509.load_pem_x509_certificate(content).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise SourceMissing(f"{entry.file or 'the member pem'} holds no certificate in PEM") from error
