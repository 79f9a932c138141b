"""Passwords and certificates of applications and service principals.

A password is made here, shown once, and kept as a digest.
Contract: Azure HTTP surface, section 5.
"""

import base64
import binascii
import secrets
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from podpass.lab.clock import Clock
from podpass.lab.entra.client_credentials import (
    ClientCertificate,
    ClientSecret,
    Holder,
    certificate_of,
    digest_of,
    lifetime_of,
)
from podpass.lab.entra.directory import Application, Directory
from podpass.lab.graph import errors
from podpass.lab.graph.calls import Answer, Call, parameters
from podpass.lab.graph.operations import Operation

PASSWORD_DAYS = 730
MAX_CREDENTIALS = 100


class PasswordCredential(msgspec.Struct, frozen=True, rename="camel"):
    """What a request says of a new password."""

    display_name: str | None = None
    start_date_time: datetime | None = None
    end_date_time: datetime | None = None


class AddPassword(msgspec.Struct, frozen=True, rename="camel"):
    password_credential: PasswordCredential = PasswordCredential()


class RemovePassword(msgspec.Struct, frozen=True, rename="camel"):
    key_id: str


class KeyCredential(msgspec.Struct, frozen=True, rename="camel"):
    """What a request says of a certificate. Without *key* it names one that is there and stays."""

    key_id: str | None = None
    key: str | None = None
    type: str = "AsymmetricX509Cert"
    usage: str = "Verify"
    display_name: str | None = None
    start_date_time: datetime | None = None
    end_date_time: datetime | None = None


class Holders(Protocol):
    """The kind of object whose passwords these are."""

    name: str

    def find(self, tenant_id: str, name: str) -> Application: ...


def operations(holders: Holders, holder: Holder, directory: Directory, clock: Clock) -> tuple[Operation, ...]:
    """addPassword and removePassword of one kind of object."""
    action = f"microsoft.directory/{holders.name}/credentials/update"

    def added(call: Call) -> Answer:
        application = _changeable(holders.find(call.tenant_id, call.names[0]))
        return add_password(directory, clock, application, holder, parameters(call.body, AddPassword))

    def removed(call: Call) -> Answer:
        application = _changeable(holders.find(call.tenant_id, call.names[0]))
        remove_password(directory, application, holder, parameters(call.body, RemovePassword).key_id.lower())
        return Answer(None, 204)

    base = f"{holders.name}/{{}}"
    return (
        Operation(method="POST", path=f"{base}/addPassword", action=action, run=added),
        Operation(method="POST", path=f"{base}/removePassword", action=action, run=removed),
    )


def _changeable(application: Application) -> Application:
    if application.kind == "managed-identity":
        raise errors.bad_request("A managed identity has no passwords.")
    return application


def remove_password(directory: Directory, application: Application, holder: Holder, key_id: str) -> None:
    present = directory.secrets(application.tenant_id, application.client_id)
    kept = tuple(one for one in present if (one.key_id, one.holder) != (key_id, holder))
    if len(kept) == len(present):
        raise errors.bad_request(f"No password credential found with keyId '{key_id[:64]}'.")
    directory.put_secrets(application.tenant_id, application.client_id, kept)


def add_password(
    directory: Directory, clock: Clock, application: Application, holder: Holder, asked: AddPassword
) -> Answer:
    """Make a password; the answer shows it, this once."""
    given = asked.password_credential
    present = directory.secrets(application.tenant_id, application.client_id)
    if len(present) >= MAX_CREDENTIALS:
        raise errors.bad_request(f"An application can have at most {MAX_CREDENTIALS} passwords.")
    now = clock.now()
    starts = now if given.start_date_time is None else _seconds(given.start_date_time)
    ends = now + PASSWORD_DAYS * 86_400 if given.end_date_time is None else _seconds(given.end_date_time)
    if ends <= starts:
        raise errors.bad_request("The password credential's end date must be after its start date.")
    text = new_password()
    made = ClientSecret(
        key_id=str(uuid.uuid4()),
        digest=digest_of(text),
        hint=text[:3],
        display_name=given.display_name,
        starts=starts,
        ends=ends,
        holder=holder,
    )
    directory.put_secrets(application.tenant_id, application.client_id, (*present, made))
    return Answer({"@odata.context": "#microsoft.graph.passwordCredential", **_shown_secret(made), "secretText": text})


def new_password() -> str:
    """A random password in the shape of real ones, which tools that search for leaked secrets know."""
    return f"{secrets.token_urlsafe(3)[:3]}8Q~{secrets.token_urlsafe(26)[:34]}"


def replace_certificates(directory: Directory, application: Application, holder: Holder, given: Any) -> None:
    """Make the certificates of *holder* those that *given*, the member keyCredentials, names. Raises GraphError."""
    try:
        wanted = msgspec.convert(given, list[KeyCredential])
    except msgspec.ValidationError as error:
        raise errors.bad_body(str(error)) from error
    if len(wanted) > MAX_CREDENTIALS:
        raise errors.bad_request(f"An application can have at most {MAX_CREDENTIALS} certificates.")
    present = directory.certificates(application.tenant_id, application.client_id)
    known = {one.key_id: one for one in present if one.holder == holder}
    others = tuple(one for one in present if one.holder != holder)
    made = tuple(_certificate(one, known, holder) for one in wanted)
    directory.put_certificates(application.tenant_id, application.client_id, (*others, *made))


def _certificate(given: KeyCredential, known: dict[str, ClientCertificate], holder: Holder) -> ClientCertificate:
    key_id = (given.key_id or str(uuid.uuid4())).lower()
    if given.key is None:
        if key_id not in known:
            raise errors.bad_request("Key credential has no value, and there is none with its keyId.")
        return replace(known[key_id], display_name=given.display_name or known[key_id].display_name)
    if given.type != "AsymmetricX509Cert" or given.usage != "Verify":
        raise errors.not_emulated(f"key credentials of type {given.type[:32]} for {given.usage[:32]}")
    try:
        der = base64.b64decode("".join(given.key.split()), validate=True)
        starts, ends = lifetime_of(certificate_of(der))
    except (binascii.Error, ValueError) as error:
        raise errors.bad_request("Key credential's key is invalid base64 value or is no certificate.") from error
    return ClientCertificate(
        key_id=key_id,
        der=der,
        display_name=given.display_name,
        starts=starts if given.start_date_time is None else _seconds(given.start_date_time),
        ends=ends if given.end_date_time is None else _seconds(given.end_date_time),
        holder=holder,
    )


def forget(directory: Directory, application: Application, holder: Holder) -> None:
    """Drop every password and certificate of *holder*."""
    tenant_id, client_id = application.tenant_id, application.client_id
    directory.put_secrets(
        tenant_id, client_id, tuple(one for one in directory.secrets(tenant_id, client_id) if one.holder != holder)
    )
    certificates = directory.certificates(tenant_id, client_id)
    directory.put_certificates(tenant_id, client_id, tuple(one for one in certificates if one.holder != holder))


def shown_secrets(directory: Directory, application: Application, holder: Holder) -> list[dict[str, Any]]:
    found = directory.secrets(application.tenant_id, application.client_id)
    return [{**_shown_secret(one), "secretText": None} for one in found if one.holder == holder]


def shown_certificates(directory: Directory, application: Application, holder: Holder) -> list[dict[str, Any]]:
    found = directory.certificates(application.tenant_id, application.client_id)
    return [
        {
            "customKeyIdentifier": one.sha1.hex().upper(),
            "displayName": one.display_name,
            "endDateTime": _moment(one.ends),
            "key": None,
            "keyId": one.key_id,
            "startDateTime": _moment(one.starts),
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        }
        for one in found
        if one.holder == holder
    ]


def _shown_secret(one: ClientSecret) -> dict[str, Any]:
    return {
        "customKeyIdentifier": None,
        "displayName": one.display_name,
        "endDateTime": _moment(one.ends),
        "hint": one.hint,
        "keyId": one.key_id,
        "startDateTime": _moment(one.starts),
    }


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
