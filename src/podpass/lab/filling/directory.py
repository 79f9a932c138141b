"""Applications, their service principals and credentials."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from podpass.lab.entra.directory import Application
from podpass.lab.filling import people, trust
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.graph.seeding import Wanted
from podpass.lab.scenario.entries.directory import ApplicationEntry, ClientCertificateEntry, ClientSecretEntry
from podpass.lab.scenario.sources import SourceMissing

_DAY_SECONDS = 86_400
_MOST_DAYS = 36_500


def put_application(making: Making, entry: ApplicationEntry) -> Made:
    clouds = making.clouds
    tenant_id = making.find(entry.tenant, "tenants").id
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
    if entry.directory_roles:
        people.give_roles(making, tenant_id, application.object_id, entry.directory_roles)
    return Made(id=client_id, principal_id=application.object_id)


def _put_credentials(making: Making, entry: ApplicationEntry, application: Application) -> None:
    seed = making.clouds.graph.seed
    for secret in entry.secrets:
        text = None if secret.value_from is None else making.sources.text(secret.value_from)
        made = seed.put_secret(application, secret.name, text, days=secret.days)
        if made is not None and text is None:
            making.written[making.clouds.client_secrets / application.client_id / secret.name] = made
    for certificate in entry.certificates:
        seed.put_certificate(application, certificate.name, _der(making, certificate))


def put_trust(making: Making, entry: ApplicationEntry) -> Made:
    """Whose tokens an application trusts: put once there are clusters, whose issuers it may name."""
    made = making.find(f"{entry.tenant}/{entry.name}", "applications")
    application = making.clouds.directory.application(making.find(entry.tenant, "tenants").id, made.id)
    assert application is not None
    for credential in entry.federated_credentials:
        making.clouds.graph.seed.put_credential(application, trust.wanted(making, credential), credential.description)
    return made


def _der(making: Making, entry: ClientCertificateEntry) -> bytes:
    content = making.sources.content(entry.file) if entry.file else entry.pem.encode()
    if b"-----BEGIN" not in content:
        return content
    try:
        return x509.load_pem_x509_certificate(content).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise SourceMissing(f"{entry.file or 'the member pem'} holds no certificate in PEM") from error


def applications_there(finding: Finding) -> Iterator[Found]:
    for tenant in finding.clouds.directory.tenants():
        holder = finding.path("tenants", tenant.tenant_id)
        taken: set[str] = set()
        for application in finding.clouds.directory.applications(tenant.tenant_id):
            if application.registration_id and application.client_id != finding.clouds.operator_client_id:
                name = finding.free_name(application.display_name, taken)
                yield Found(
                    path=(*holder, name),
                    id=application.client_id,
                    principal_id=application.object_id,
                    entry=partial(_application, finding, application, name),
                )


def _application(finding: Finding, application: Application, name: str) -> ApplicationEntry:
    seed, directory = finding.clouds.graph.seed, finding.clouds.directory
    tenant_id, client_id = application.tenant_id, application.client_id
    descriptions = seed.descriptions(application)
    belonging = finding.clouds.arm.estate.people.belonging
    owners = len(belonging("owner", application.registration_id) + belonging("owner", application.object_id))
    finding.note("applications", f"{name}: {owners} owners are not said.", owners)
    credentials = directory.credentials(tenant_id, client_id)
    return ApplicationEntry(
        name=name,
        tenant=finding.reference("tenants", tenant_id),
        display_name="" if application.display_name == name else application.display_name,
        client_id=client_id,
        object_id=application.registration_id,
        identifier_uris=application.identifier_uris,
        token_version=application.token_version,
        service_principal=bool(application.object_id),
        service_principal_id=application.object_id,
        enabled=application.enabled or not application.object_id,
        directory_roles=people.roles_of(finding, tenant_id, application.object_id),
        secrets=_secrets(finding, application),
        certificates=_certificates(finding, application),
        federated_credentials=tuple(
            trust.entry_of(finding, one, descriptions.get(one.name.lower()) or "") for one in credentials
        ),
        registration=seed.members(application),
    )


def _secrets(finding: Finding, application: Application) -> tuple[ClientSecretEntry, ...]:
    found = finding.clouds.directory.secrets(application.tenant_id, application.client_id)
    names = _names((one.display_name for one in found), "secret", finding)
    finding.note("applications", f"{application.display_name}: the values of its secrets are made anew.", len(found))
    _note_holders(finding, application, [one.holder for one in found])
    return tuple(
        ClientSecretEntry(name=name, days=min(max(round((one.ends - one.starts) / _DAY_SECONDS), 1), _MOST_DAYS))
        for name, one in zip(names, found, strict=True)
    )


def _certificates(finding: Finding, application: Application) -> tuple[ClientCertificateEntry, ...]:
    found = finding.clouds.directory.certificates(application.tenant_id, application.client_id)
    names = _names((one.display_name for one in found), "certificate", finding)
    _note_holders(finding, application, [one.holder for one in found])
    return tuple(ClientCertificateEntry(name=name, pem=_pem(one.der)) for name, one in zip(names, found, strict=True))


def _note_holders(
    finding: Finding, application: Application, holders: list[Literal["application", "servicePrincipal"]]
) -> None:
    count = holders.count("servicePrincipal")
    text = f"{application.display_name}: {count} credentials of its service principal become the application's."
    finding.note("applications", text, count)


def _names(given: Iterable[str | None], otherwise: str, finding: Finding) -> Iterator[str]:
    """A name for each, spelt as a scenario spells them, and different from the others."""
    taken: set[str] = set()
    for one in given:
        wanted = re.sub(r"[^0-9A-Za-z-]", "-", one or "").strip("-")[:100] or otherwise
        yield finding.free_name(wanted, taken)


def _pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
