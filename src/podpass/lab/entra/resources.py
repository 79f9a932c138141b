"""The resources that tokens can be asked for: Azure's own services, and applications with an Application ID URI.

Contract: azure workload identity, sections 5.3 and 5.6 (500011).
"""

import functools

from podpass.azure.scopes import resource_for_scope

_SERVICES = (
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://vault.azure.net",
    "https://managedhsm.azure.net",
    "https://storage.azure.com",
    "https://graph.microsoft.com",
    "https://graph.windows.net",
    "https://database.windows.net",
    "https://ossrdbms-aad.database.windows.net",
    "https://servicebus.azure.net",
    "https://eventhubs.azure.net",
    "https://cognitiveservices.azure.com",
    "https://redis.azure.com",
    "https://containerregistry.azure.net",
    "https://monitor.azure.com",
    "https://azconfig.io",
    "https://batch.core.windows.net",
    "00000003-0000-0000-c000-000000000000",  # Microsoft Graph by its application id
    "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",  # Key Vault by its application id
)


EXCHANGE, EXCHANGE_ID = "api://AzureADTokenExchange", "fb60f99c-7a34-4190-8149-302f77469936"
"""The exchange of tokens, as federated credentials call it, and its client id, which tokens for it carry."""

_V2_AUDIENCES = {EXCHANGE.lower(): EXCHANGE_ID, EXCHANGE_ID: EXCHANGE_ID}

_ABOUT_SIGN_IN = frozenset({"openid", "profile", "email", "offline_access"})


def known_resources(extra: tuple[str, ...] = ()) -> frozenset[str]:
    """Every resource of the lab that belongs to no application of a tenant, in the form is_known compares."""
    return frozenset(_comparable(resource) for resource in (*_SERVICES, *extra))


def is_known(resource: str, known: frozenset[str]) -> bool:
    return _comparable(resource) in known


def v2_audience(resource: str) -> str | None:
    """The client id of one of Azure's services that takes tokens of version 2; None for any other resource."""
    return _V2_AUDIENCES.get(_comparable(resource))


def _comparable(resource: str) -> str:
    # One trailing slash is part of how some clients spell a resource; more are a mistake.
    return resource.removesuffix("/").lower()


# Few scopes are asked for, each many times; bounded, because the asker chooses them.
@functools.lru_cache(maxsize=64)
def resource_of_scope(scope: str) -> str | tuple[int, str]:
    """The one resource that *scope* asks for; else the code and the reason for which it asks for none.

    Several scopes of one resource are fine, several resources are not. The scopes of OpenID Connect count for nothing:
    without a user there is nothing to tell, yet MSAL for Go adds them to every request.
    """
    asked = scope.split()
    parts = [part for part in asked if part.lower() not in _ABOUT_SIGN_IN]
    resources = {resource for part in parts if (resource := resource_for_scope(part)) is not None}
    if not asked or len(scope) > 2048:
        return 70011, "is not well-formed"
    if not resources:
        return 1002012, "lacks /.default"
    if len(resources) > 1:
        return 70011, "asks for more than one resource"
    (resource,) = resources
    if any(not part.startswith(resource + "/") for part in parts):
        return 70011, "asks for more than one resource"
    return resource
