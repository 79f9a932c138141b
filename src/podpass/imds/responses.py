"""What the metadata service answers a token request with.

Contract: pod identity, section 4.1.
"""

from dataclasses import dataclass, field

from podpass.imds.requests import TokenRequest


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token of an identity. Times are seconds since the epoch."""

    access_token: str = field(repr=False)
    client_id: str
    not_before: int
    expires_on: int


def token_response(token: IssuedToken, request: TokenRequest, *, now: int) -> dict[str, str]:
    """The body of a token answer. Every number is a decimal string; expires_in counts from *now*.

    What the identity was named by is said again, as the real service does.
    """
    expires_in = str(max(token.expires_on - now, 0))
    body = {
        "access_token": token.access_token,
        "client_id": token.client_id,
        "expires_in": expires_in,
        "expires_on": str(token.expires_on),
        "ext_expires_in": expires_in,
        "not_before": str(token.not_before),
        "resource": request.resource,
        "token_type": "Bearer",
    }
    if request.object_id:
        body["object_id"] = request.object_id
    if request.resource_id:
        body["msi_res_id"] = request.resource_id
    return body
