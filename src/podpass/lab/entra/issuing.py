"""What a grant becomes: the claims of the access token, and the body that carries it.

Contract: azure workload identity, sections 5.2 and 5.3.
"""

import functools
import uuid
from typing import Any

from podpass.azure.resourceids import NotAResourceId, ResourceId
from podpass.lab.entra.access import v1_issuer, v2_issuer
from podpass.lab.entra.client_credentials import ClientSecret
from podpass.lab.entra.model import Grant
from podpass.oauth.responses import TokenResponse
from podpass.tokens.encoding import to_base64url

BACKDATED_SECONDS = 300
"""Access tokens are valid from this long before they are issued, against clocks that are behind."""


def access_claims(grant: Grant, *, authority: str, now: int, entropy: bytes) -> dict[str, Any]:
    """The claims of the access token. *entropy*, 40 random bytes, makes it unlike any other."""
    application, tenant_id = grant.application, grant.application.tenant_id
    start = max(now - BACKDATED_SECONDS, grant.not_before)
    v1 = grant.version == 1
    claims: dict[str, Any] = {
        "aud": grant.audience,
        "iss": v1_issuer(tenant_id) if v1 else v2_issuer(authority, tenant_id),
        "iat": start,
        "nbf": start,
        "exp": now + grant.expires_in + 1,
        "aio": to_base64url(entropy[:24]),
    }
    proof = "1" if isinstance(grant.credential, ClientSecret) else "2"
    if v1:
        claims |= {"appid": application.client_id, "appidacr": proof, "idp": v1_issuer(tenant_id)}
    else:
        claims |= {"azp": application.client_id, "azpacr": proof}
    claims |= {
        "idtyp": "app",
        "oid": application.object_id,
        "rh": _of_tenant(tenant_id),
        "sub": application.object_id,
        "tid": tenant_id,
        "uti": to_base64url(entropy[24:40]),
        "ver": "1.0" if v1 else "2.0",
    }
    if grant.asked.capabilities:
        claims["xms_cc"] = grant.asked.capabilities
    if application.resource_id:
        claims["xms_mirid"] = mirid(application.resource_id)
    return claims


def v2_body(grant: Grant, token: str) -> dict[str, Any]:
    """The v2.0 endpoint's answer."""
    body = TokenResponse(token, grant.expires_in, grant.refresh_in).to_dict()
    return {**body, "ext_expires_in": grant.expires_in}


def v1_body(grant: Grant, token: str, *, now: int) -> dict[str, str]:
    """The v1 endpoint's answer, in which every member is a string."""
    return {
        "token_type": "Bearer",
        "expires_in": str(grant.expires_in),
        "ext_expires_in": str(grant.expires_in),
        "expires_on": str(now + grant.expires_in + 1),
        "not_before": str(now - BACKDATED_SECONDS),
        "resource": grant.asked.scope,
        "access_token": token,
    }


@functools.lru_cache(maxsize=64)
def _of_tenant(tenant_id: str) -> str:
    """The claim `rh`, whose meaning is the vendor's own; here it depends on the tenant alone."""
    return f"1.{to_base64url(uuid.UUID(tenant_id).bytes)}."


@functools.lru_cache(maxsize=1024)
def mirid(resource_id: str) -> str:
    """A managed identity's id as its access tokens spell it, with `resourcegroups` in lower case."""
    try:
        parsed = ResourceId.parse(resource_id)
    except NotAResourceId:
        return resource_id
    return str(parsed).replace("/resourceGroups/", "/resourcegroups/", 1)
