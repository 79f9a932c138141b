"""User-assigned identities and their federated credentials.

An identity is an application of the tenant's directory, and its credentials are kept there: the login service reads
what is written here.
Contract: workload identity, sections 6.1, 6.2 and 6.4.
"""

import re

import msgspec

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES, ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Body, Draft, NameRule, Resource, ResourceType, Shaped
from podpass.lab.arm.paths import resource_id
from podpass.lab.entra.directory import Application
from podpass.lab.entra.federated_credentials import MAX_CREDENTIALS, NAME, Fault, Wanted, credential_of
from podpass.lab.entra.flexible import GivenExpression, shown
from podpass.tokens import expressions
from podpass.tokens.federation import FederatedCredential

IDENTITY = USER_ASSIGNED_IDENTITIES
CREDENTIAL = f"{IDENTITY}/federatedIdentityCredentials"
CLAIMS = "claimsMatchingExpression"
_EXPRESSIONS_SINCE = "2025-01-31-preview"


class _CredentialProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    issuer: str | None = None
    audiences: list[str] | None = None
    subject: str | None = None
    claims_matching_expression: GivenExpression | None = None


class _CredentialBody(Body, frozen=True, kw_only=True, rename="camel"):
    properties: _CredentialProperties


def _shape_identity(estate: Estate, draft: Draft) -> Shaped:
    del estate
    if draft.existing is not None:
        return Shaped(properties=draft.existing.properties)
    return Shaped(
        properties={
            "tenantId": draft.subscription.tenant_id,
            "principalId": draft.guid("principalId"),
            "clientId": draft.guid("clientId"),
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
    estate.people.forget(resource.properties["principalId"])


def _shape_credential(estate: Estate, draft: Draft) -> Shaped:
    given: _CredentialProperties = draft.body.properties
    # What an api-version does not know it does not read.
    expression = given.claims_matching_expression if draft.api_version >= _EXPRESSIONS_SINCE else None
    if given.issuer is None or given.audiences is None or (given.subject is None and expression is None):
        raise _invalid(
            "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and "
            "'audience'.",
            "properties",
        )
    identity = estate.require(draft.id.parent).properties
    siblings = estate.directory.credentials(identity["tenantId"], identity["clientId"])
    made = credential_of(
        Wanted(draft.id.name, given.issuer, tuple(given.audiences), given.subject, expression),
        [one for one in siblings if one.name.lower() != draft.id.name.lower()],
        holder="managed-identity",
        tenant=estate.directory.tenant(identity["tenantId"]),
        is_new=draft.existing is None,
    )
    if isinstance(made, Fault):
        raise _refusal(made, draft.id.parent.name)
    trusted = {"subject": made.subject} if made.expression is None else {CLAIMS: shown(made.expression)}
    return Shaped(properties={"issuer": given.issuer, **trusted, "audiences": given.audiences})


def _enter_credential(estate: Estate, resource: Resource, before: Resource | None) -> None:
    del before
    identity = estate.require(resource_id(resource.id).parent)
    estate.directory.put_credential(
        identity.properties["tenantId"],
        identity.properties["clientId"],
        credential_in(resource),
    )


def credential_in(resource: Resource) -> FederatedCredential:
    """The trust that a stored federated credential stands for."""
    properties, expression = resource.properties, None
    if CLAIMS in properties:
        parsed = expressions.parse(properties[CLAIMS]["value"])
        assert isinstance(parsed, expressions.Expression), "only what was parsed is kept"
        expression = parsed
    return FederatedCredential(
        resource.name, properties["issuer"], properties.get("subject", ""), tuple(properties["audiences"]), expression
    )


def _leave_credential(estate: Estate, resource: Resource) -> None:
    identity = estate.require(resource_id(resource.id).parent)
    estate.directory.delete_credential(identity.properties["tenantId"], identity.properties["clientId"], resource.name)


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


def _written_meanwhile(wanted: ResourceId) -> ArmError:
    return ArmError(
        409,
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        "Too many Federated Identity Credentials are written concurrently for the managed identity "
        f"'{wanted.parent}'. Concurrent Federated Identity Credentials writes under the same managed identity are not "
        "supported.",
    )


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
    api_versions=("2025-05-31-preview", "2025-01-31-preview", "2024-11-30", "2023-01-31", "2022-01-31-preview"),
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
    writes_alone=_written_meanwhile,
)
