"""How the lab's Entra refuses: AADSTS codes, their texts, and the error body.

A text starts with the phrase that tools match on and names the values compared; the rest is in our own words.
Contract: azure workload identity, sections 5.5 and 5.6.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podpass.oauth.responses import NO_STORE, status_of
from podpass.serving.asgi import Response, json_response

MAX_VALUE_LENGTH = 600
"""Longer values are cut before they are quoted back."""

JSON_UTF8 = ("Content-Type", "application/json; charset=utf-8")


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What one code means on the wire. *text* holds `{names}`."""

    code: int
    error: str
    text: str
    documented: bool = True
    """Whether the vendor's look-up page knows the code, so that `error_uri` points there."""


_NO_MATCH = "No matching federated identity record found for presented assertion"

_KINDS = (
    ErrorKind(
        900561,
        "invalid_request",
        "The endpoint only accepts POST requests. Received a {method} request.",
    ),
    ErrorKind(90002, "invalid_request", "Tenant '{tenant}' not found. Check that it is the tenant id you mean."),
    ErrorKind(
        900023,
        "invalid_request",
        "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.",
    ),
    ErrorKind(900021, "invalid_request", "Requested tenant identifier '{tenant}' is not valid."),
    ErrorKind(
        900191,
        "invalid_request",
        "The 'client_credentials' grant type requires a tenant to be specified. '{tenant}' is none.",
    ),
    ErrorKind(900144, "invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    ErrorKind(90013, "invalid_request", "Invalid input received from the user. {reason}"),
    ErrorKind(70003, "unsupported_grant_type", "The app requested an unsupported grant type '{grant}'."),
    ErrorKind(901002, "invalid_request", "The 'resource' request parameter is not supported."),
    ErrorKind(
        1002012,
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with"
        " /.default suffixed to the resource identifier (application ID URI).",
    ),
    ErrorKind(
        70011,
        "invalid_scope",
        "The provided value for the input parameter 'scope' is not valid. The scope {scope} {reason}.",
    ),
    ErrorKind(
        500011,
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. The application that"
        " offers it has no service principal there, or the address is misspelt.",
    ),
    ErrorKind(700038, "unauthorized_client", "{client_id} is not a valid application identifier."),
    ErrorKind(
        700016,
        "unauthorized_client",
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. The client id belongs"
        " to no application or managed identity of this tenant.",
    ),
    ErrorKind(7000112, "unauthorized_client", "Application '{client_id}'({name}) is disabled."),
    ErrorKind(
        7000216,
        "invalid_client",
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    ),
    ErrorKind(
        7000218,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    ErrorKind(
        7000215,
        "invalid_client",
        "Invalid client secret provided. It is none of those of application '{client_id}'({name}); what is wanted is a"
        " secret's value, not its key id.",
    ),
    ErrorKind(
        7000222,
        "invalid_client",
        "The provided client secret keys for app '{client_id}'({name}) are expired.",
    ),
    ErrorKind(
        7000229,
        "unauthorized_client",
        "The client application {client_id} is missing service principal in the tenant {tenant}.",
    ),
    ErrorKind(
        700021,
        "invalid_client",
        "Client assertion application identifier doesn't match 'client_id' parameter.",
    ),
    ErrorKind(
        700023,
        "invalid_client",
        "Client assertion audience claim does not match Realm issuer: it must be the address of this token endpoint.",
    ),
    ErrorKind(50027, "invalid_request", "JWT token is invalid or malformed. {reason}."),
    ErrorKind(
        5002730,
        "invalid_request",
        "Invalid JWT token. The algorithm {algorithm} is not supported for client assertions.",
    ),
    ErrorKind(
        70025,
        "invalid_client",
        "The client '{client_id}'({name}) has no configured federated identity credentials.",
    ),
    ErrorKind(
        700211,
        "invalid_client",
        _NO_MATCH + " issuer '{issuer}'. None of the application's federated credentials names this issuer.",
    ),
    ErrorKind(
        700212,
        "invalid_client",
        _NO_MATCH + " audience '{audience}'. A federated credential of this issuer exists with another audience.",
    ),
    ErrorKind(
        700213,
        "invalid_client",
        _NO_MATCH + " subject '{subject}'. A federated credential of this issuer and audience exists with another"
        " subject.",
    ),
    ErrorKind(
        7002138,
        "invalid_client",
        _NO_MATCH + " subject '{subject}'. A case-insensitive comparison would match a federated credential; the"
        " comparison is case-sensitive and does not.",
    ),
    ErrorKind(
        7002131,
        "invalid_client",
        _NO_MATCH + " subject '{subject}' or no federated identity credential expression matched. A flexible federated"
        " credential of this issuer and audience exists; its expression does not accept the token's claims.",
    ),
    ErrorKind(
        70022,
        "invalid_client",
        "Federated Identity Credential issuer must use HTTPS scheme, must not be loopback address, and must have"
        " neither query nor fragment. The issuer '{issuer}' {reason}.",
    ),
    ErrorKind(
        50166,
        "invalid_request",
        "Request to External OIDC endpoint failed. The {step} document of issuer '{issuer}' could not be used:"
        " {reason}.",
        documented=False,
    ),
    ErrorKind(
        70024,
        "invalid_request",
        "OIDC Provider Metadata missing required field '{field}'. The issuer is '{issuer}'.",
        documented=False,
    ),
    ErrorKind(
        7000272,
        "invalid_client",
        "The certificate with identifier {kid} used to sign the federated credential could not be found in the"
        " metadata of identity provider {issuer}.",
    ),
    ErrorKind(
        700027,
        "invalid_client",
        "Client assertion failed signature validation. {reason}.",
    ),
    ErrorKind(
        700024,
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {current_time}, assertion valid from"
        " {valid_from}, expiry time of assertion {expires}.",
    ),
    ErrorKind(
        70023,
        "invalid_request",
        "External OIDC Provider token must have a lifetime of less than or equal to {maximum}.",
        documented=False,
    ),
    ErrorKind(
        700222,
        "invalid_client",
        "AAD-issued tokens may not be used for federated identity flows.",
    ),
    ErrorKind(
        700229,
        "invalid_client",
        "Only app-only tokens may be used for federated identity flows. The assertion is about a user.",
    ),
    ErrorKind(
        7000226,
        "invalid_client",
        "No federated identity credential policy found on application ({client_id}). The assertion is the token of a"
        " managed identity, and nothing tells the application to trust one.",
    ),
    ErrorKind(
        7000227,
        "invalid_client",
        _NO_MATCH + ". The assertion is the token of a managed identity; a federated credential for one has the issuer"
        " '{issuer}' and the audience 'api://AzureADTokenExchange', for which the token must be.",
    ),
    ErrorKind(
        7002137,
        "invalid_client",
        _NO_MATCH + " subject '{subject}'. The subject of a federated credential for a managed identity is the"
        " identity's object id.",
    ),
    ErrorKind(
        90033,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again. The lab was told that its authority is not available.",
    ),
    ErrorKind(
        90055,
        "temporarily_unavailable",
        "The tenant is throttled because of too many requests. Try again in {seconds} seconds.",
    ),
    ErrorKind(
        9000411,
        "invalid_request",
        "The request is not properly formatted. The parameter '{parameter}' is duplicated.",
    ),
    ErrorKind(
        50049,
        "invalid_instance",
        "Unknown or invalid instance '{host}'.",
    ),
    ErrorKind(9002313, "invalid_request", "Invalid request. Request is malformed or invalid. {reason}"),
)

KINDS = {kind.code: kind for kind in _KINDS}


def wire_code(code: int) -> str:
    return f"AADSTS{code}"


def error_text(code: int, values: Mapping[str, str]) -> str:
    """The sentence of an error, without code and ids."""
    cut = {
        name: value if len(value) <= MAX_VALUE_LENGTH else value[:MAX_VALUE_LENGTH] for name, value in values.items()
    }
    return KINDS[code].text.format_map(cut)


def error_body(
    code: int,
    values: Mapping[str, str],
    *,
    authority: str,
    now: float,
    trace_id: str,
    correlation_id: str,
    error: str = "",
) -> dict[str, Any]:
    """All members of an error. *error* replaces the code's own where an endpoint names it differently."""
    kind = KINDS[code]
    timestamp = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    body: dict[str, Any] = {
        "error": error or kind.error,
        "error_description": f"{wire_code(code)}: {error_text(code, values)} Trace ID: {trace_id}"
        f" Correlation ID: {correlation_id} Timestamp: {timestamp}",
        "error_codes": [code],
        "timestamp": timestamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
    }
    if kind.documented:
        body["error_uri"] = f"{authority}/error?code={code}"
    return body


def error_response(
    code: int,
    values: Mapping[str, str],
    *,
    authority: str,
    now: float,
    correlation_id: str,
    headers: tuple[tuple[str, str], ...] = (),
    error: str = "",
    status: int | None = None,
) -> Response:
    trace_id = str(uuid.uuid4())
    body = error_body(
        code, values, authority=authority, now=now, trace_id=trace_id, correlation_id=correlation_id, error=error
    )
    return json_response(
        status or status_of(body["error"]), body, (JSON_UTF8, *NO_STORE, ("x-ms-request-id", trace_id), *headers)
    )
