"""Where the lab's ARM is reached, and how it takes access tokens.

Under its own names it is a part of Azure's public cloud; a program that reaches it under any other sees a cloud of
its own, whose planes are all where ARM is.

Contract: Azure HTTP surface, section 1.1.
"""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from podpass.azure import clouds
from podpass.lab.arm.errors import ArmError
from podpass.lab.entra.access import Refusal

OWN_CLOUD = "Podpass"
"""What the lab calls its cloud towards clients that do not take it for Azure's."""
_HOSTS = frozenset(("management.azure.com", "management.core.windows.net"))

AUDIENCES = (
    "https://management.azure.com/",
    "https://management.azure.com",
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    # The client id of ARM itself, which v2 tokens carry.
    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where ARM and its login service are reached, and which audiences count."""

    authority: str = clouds.PUBLIC.authority
    cloud: str = "AzureCloud"
    audiences: tuple[str, ...] = AUDIENCES
    graph: str = clouds.PUBLIC.graph.rstrip("/")
    vault_suffix: str = clouds.PUBLIC.key_vault_suffix

    def seen_from(self, origin: str) -> "Endpoint":
        """The cloud as it is to a client that reaches ARM at *origin*, scheme, host and port."""
        if urlsplit(origin).hostname in _HOSTS:
            return self
        return replace(
            self,
            authority=origin,
            cloud=OWN_CLOUD,
            audiences=(*self.audiences, f"{origin}/", origin),
            graph=origin,
            vault_suffix=f"vault.{urlsplit(origin).netloc}",
        )


PUBLIC = Endpoint()


def refused(refusal: Refusal, endpoint: Endpoint, *, tenant_id: str | None, now: str) -> ArmError:
    """How ARM words that a token does not count. *tenant_id* is the subscription's, *now* the time as text."""
    authority = endpoint.authority
    match refusal.code:
        case "missing":
            code, message = "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            description = "The authentication failed because of missing 'Authorization' header."
        case "expired":
            code = "ExpiredAuthenticationToken"
            message = f"{refusal.message} The current UTC time is '{now}'."
            description = "The access token expired."
        case "issuer":
            code = "InvalidAuthenticationTokenTenant"
            message = (
                f"The access token is from the wrong issuer '{refusal.found}'. It must match the tenant "
                f"'https://sts.windows.net/{tenant_id}/' associated with this subscription. Please use the "
                f"authority (URL) '{authority}/{tenant_id}' to get the token. Note, if the subscription is "
                "transferred to another tenant there is no impact to the services, but information about new "
                "tenant could take time to propagate (up to an hour). If you just transferred your "
                "subscription and see this error message, please try back later."
            )
            description = "The access token is from the wrong issuer. It must match the tenant of the subscription."
        case "audience":
            allowed = ",".join(f"'{audience}'" for audience in endpoint.audiences)
            code = "InvalidAuthenticationToken"
            message = (
                f"The access token has been obtained for wrong audience or resource '{refusal.found}'. It should "
                f"exactly match with one of the allowed audiences {allowed}."
            )
            description = "The access token has been obtained for wrong audience or resource."
        case "revoked":
            code, message = "InvalidAuthenticationToken", refusal.message
            challenge = f'Bearer authorization_uri="{authority}/common/oauth2/authorize"{refusal.challenge}'
            return ArmError(401, code, message, headers=(("WWW-Authenticate", challenge),))
        case _:
            code, message = "InvalidAuthenticationToken", "The access token is invalid."
            description = "The access token is invalid."
    challenge = (
        f'Bearer authorization_uri="{authority}/{tenant_id or "common"}", error="invalid_token", '
        f'error_description="{description}"'
    )
    return ArmError(401, code, message, headers=(("WWW-Authenticate", challenge),))
