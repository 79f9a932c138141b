"""User-assigned identities and their federated credentials.

An identity is an application of the tenant's directory, and its credentials are kept there: the login service reads
what is written here.
Contract: workload identity, sections 6.1 and 6.2.
"""

import re
import uuid

import msgspec

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES
from podpass.lab.arm import errors
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Body, Draft, NameRule, Resource, ResourceType, Shaped
from podpass.lab.arm.paths import resource_id
from podpass.lab.entra.directory import Application
from podpass.lab.entra.federated_credentials import MAX_CREDENTIALS, NAME, Fault, fault_of
from podpass.tokens.federation import FederatedCredential

IDENTITY = USER_ASSIGNED_IDENTITIES
CREDENTIAL = f"{IDENTITY}/federatedIdentityCredentials"


class _CredentialProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    issuer: str
    audiences: list[str]
    subject: str | None = None
    claims_matching_expression: dict[str, object] | None = None


class _CredentialBody(Body, frozen=True, kw_only=True, rename="camel"):
    properties: _CredentialProperties


def _shape_identity(estate: Estate, draft: Draft) -> Shaped:
    del estate
    if draft.existing is not None:
        return Shaped(properties=draft.existing.properties)
    return Shaped(
        properties={
            "tenantId": draft.subscription.tenant_id,
            "principalId": str(uuid.uuid4()),
            "clientId": str(uuid.uuid4()),
        }
    )


def _enter_directory(estate: Estate, resource: Resource, before: Resource | None) -> None:
    if before is None:
        estate.directory.put_application(
            Application(
                tenant_id=resource.properties["tenantId"],
                client_id=resource.properties["clientId"],
                object_id=resource.properties["principalId"],
                display_name=resource.name,
                kind="managed-identity",
                resource_id=resource.id,
            )
        )


def _leave_directory(estate: Estate, resource: Resource) -> None:
    estate.directory.delete_application(resource.properties["tenantId"], resource.properties["clientId"])


def _shape_credential(estate: Estate, draft: Draft) -> Shaped:
    given: _CredentialProperties = draft.body.properties
    if given.claims_matching_expression is not None:
        raise _flexible_refused(given)
    made = FederatedCredential(draft.id.name, given.issuer, given.subject or "", tuple(given.audiences))
    siblings = [
        _credential(one)
        for one in estate.below(draft.id.parent, CREDENTIAL)
        if one.name.lower() != draft.id.name.lower()
    ]
    if (fault := fault_of(made, siblings, is_new=draft.existing is None)) is not None:
        raise _refusal(fault, draft.id.parent.name)
    return Shaped(properties={"issuer": given.issuer, "subject": made.subject, "audiences": given.audiences})


def _enter_credential(estate: Estate, resource: Resource, before: Resource | None) -> None:
    del before
    identity = estate.require(resource_id(resource.id).parent)
    estate.directory.put_credential(
        identity.properties["tenantId"],
        identity.properties["clientId"],
        _credential(resource),
    )


def _credential(resource: Resource) -> FederatedCredential:
    return FederatedCredential(
        name=resource.name,
        issuer=resource.properties["issuer"],
        subject=resource.properties["subject"],
        audiences=tuple(resource.properties["audiences"]),
    )


def _leave_credential(estate: Estate, resource: Resource) -> None:
    identity = estate.require(resource_id(resource.id).parent)
    estate.directory.delete_credential(identity.properties["tenantId"], identity.properties["clientId"], resource.name)


def _flexible_refused(given: _CredentialProperties) -> ArmError:
    if given.subject:
        return _invalid("Either subject or claimsMatchingExpression may be set, not both.", "properties.subject")
    return _invalid(
        f"The issuer '{given.issuer[:200]}' is not supported for a claims matching expression.",
        "properties.claimsMatchingExpression",
    )


def _refusal(fault: Fault, identity: str) -> ArmError:
    match fault.kind:
        case "full":
            text = f"Too many Federated Identity Credentials for user assigned identity '{identity}': the maximum is"
            return errors.invalid_request(f"{text} {MAX_CREDENTIALS}.", "BadRequest")
        case "taken":
            text = fault.message.replace("already exists:", "already exists for this Managed Identity.", 1)
            return errors.invalid_request(text.replace(". federated", ". Federated", 1), "BadRequest")
    return _invalid(fault.message, f"properties.{fault.member}")


def _invalid(message: str, target: str) -> ArmError:
    return errors.invalid_request(message, "BadRequest", target)


USER_ASSIGNED_IDENTITY = ResourceType(
    name=IDENTITY,
    api_versions=("2025-05-31-preview", "2024-11-30", "2023-01-31", "2018-11-30"),
    shape=_shape_identity,
    name_rule=NameRule(
        re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}"),
        "InvalidResourceName",
        "The user assigned identity name '{name}' is invalid: it must start with a letter or number, have 3 to 128 "
        "characters, and hold letters, numbers, hyphens and underscores only.",
    ),
    written=_enter_directory,
    removed=_leave_directory,
)

FEDERATED_CREDENTIAL = ResourceType(
    name=CREDENTIAL,
    api_versions=("2025-01-31-preview", "2024-11-30", "2023-01-31", "2022-01-31-preview"),
    body=_CredentialBody,
    shape=_shape_credential,
    located=False,
    name_rule=NameRule(
        NAME,
        "BadRequest",
        "The federated identity credential name '{name}' is invalid: it must match "
        "^[a-zA-Z0-9]{{1}}[a-zA-Z0-9-_]{{2,119}}$.",
    ),
    written=_enter_credential,
    removed=_leave_credential,
)
