"""The authority's public documents: tenant metadata, keys, instance discovery.

Contract: azure workload identity, section 5.4; azure HTTP surface, section 2.2.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from podpass.lab.entra.access import v1_issuer, v2_issuer
from podpass.lab.entra.signing import PublishedKey

COMMON = ("common", "organizations")
"""Tenants that stand for any; their documents hold `{tenantid}` literally."""

PUBLIC_HOSTS = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")
API_VERSIONS = ("1.0", "1.1")

_CLAIMS = (
    *("sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host"),
    *("aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver"),
    *("at_hash", "c_hash", "email"),
)


def metadata_v2(base: str, authority: str, tenant: str) -> dict[str, Any]:
    """The v2.0 discovery document; *tenant* is a GUID, `common` or `organizations`."""
    named = "{tenantid}" if tenant in COMMON else tenant
    return {
        "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": v2_issuer(authority, named),
        "request_uri_parameter_supported": False,
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{base}/{tenant}/oauth2/v2.0/logout",
        "claims_supported": _CLAIMS,
        "kerberos_endpoint": f"{base}/{tenant}/kerberos",
        **_cloud(),
    }


def metadata_v1(base: str, tenant: str) -> dict[str, Any]:
    """The v1 discovery document."""
    named = "{tenantid}" if tenant in COMMON else tenant
    return {
        "token_endpoint": f"{base}/{tenant}/oauth2/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{base}/common/discovery/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "token id_token", "token"],
        "scopes_supported": ["openid"],
        "issuer": v1_issuer(named),
        "microsoft_multi_refresh_token": True,
        "authorization_endpoint": f"{base}/{tenant}/oauth2/authorize",
        "device_authorization_endpoint": f"{base}/{tenant}/oauth2/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{base}/{tenant}/oauth2/logout",
        "claims_supported": _CLAIMS,
        "check_session_iframe": f"{base}/{tenant}/oauth2/checksession",
        "userinfo_endpoint": f"{base}/{tenant}/openid/userinfo",
        "kerberos_endpoint": f"{base}/{tenant}/kerberos",
        **_cloud(),
    }


def keys_v2(published: Iterable[PublishedKey], authority: str, tenant: str) -> dict[str, Any]:
    named = "{tenantid}" if tenant in COMMON else tenant
    issuer = v2_issuer(authority, named)
    return {"keys": [{**key.to_jwk(), "issuer": issuer} for key in published]}


def keys_v1(published: Iterable[PublishedKey]) -> dict[str, Any]:
    return {"keys": [key.to_jwk() for key in published]}


def instance(authorization_endpoint: str, api_version: str, *, own_hosts: tuple[str, ...]) -> dict[str, Any] | None:
    """The instance that an authorization endpoint belongs to; None for a host that is no authority.

    *own_hosts* are the names by which the lab's authority is called besides the public cloud's.
    """
    try:
        parts = urlsplit(authorization_endpoint)
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    tenant = parts.path.strip("/").partition("/")[0]
    if parts.scheme != "https" or not tenant or host not in (*PUBLIC_HOSTS, *own_hosts):
        return None
    document: dict[str, Any] = {
        "tenant_discovery_endpoint": f"https://{parts.netloc}/{tenant}/v2.0/.well-known/openid-configuration"
    }
    if api_version == "1.0":
        return document
    public = {
        "preferred_network": "login.microsoftonline.com",
        "preferred_cache": "login.windows.net",
        "aliases": list(PUBLIC_HOSTS),
    }
    others = [
        {"preferred_network": own, "preferred_cache": own, "aliases": [own]}
        for own in own_hosts
        if own not in PUBLIC_HOSTS
    ]
    return {**document, "api-version": "1.1", "metadata": [public, *others]}


def _cloud() -> dict[str, Any]:
    return {
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    }
