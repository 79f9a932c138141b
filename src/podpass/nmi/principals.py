"""What a service principal shows the login service: a client secret, or an assertion signed with its certificate.

Contract: pod identity, sections 1.1, 3.10 and 9 (21).
"""

import base64
import binascii
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.azure.clouds import PUBLIC
from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.oauth.grants import CLIENT_ASSERTION_JWT, CLIENT_CREDENTIALS
from podpass.podidentity.objects import IdentityType, PodIdentity

SECRET_KEY = "clientSecret"  # noqa: S105 - the name of a Secret's entry
CERTIFICATE_KEY, PASSWORD_KEY = "certificate", "password"
ASSERTION_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class TokenCall:
    """A POST to the login service."""

    endpoint: str
    form: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unusable:
    """The Secret does not hold what it should; its values are not told."""

    why: str


def token_calls(identity: PodIdentity, secret: Obj, resource: str, *, now: int) -> list[TokenCall] | Unusable:
    """The calls that bring the tokens of *identity* for *resource*: its own tenant's first, then the auxiliary ones."""
    data = _data(secret)
    if isinstance(data, Unusable):
        return data
    calls = []
    for tenant_id in (identity.tenant_id, *identity.auxiliary_tenant_ids):
        authority = (identity.authority or PUBLIC.authority_host).rstrip("/")
        token_url = f"{authority}/{tenant_id}/oauth2/token"
        shown = _client_secret(data) if identity.type is IdentityType.CLIENT_SECRET else None
        if shown is None:
            shown = _assertion(identity, data, token_url, now)
        if isinstance(shown, Unusable):
            return Unusable(f"Secret {objects.namespace(secret)}/{objects.name(secret)} {shown.why}")
        form = {
            "client_id": identity.client_id,
            "grant_type": CLIENT_CREDENTIALS,
            "resource": resource,
            **shown,
        }
        calls.append(TokenCall(f"{token_url}?api-version=1.0", form))
    return calls


def _client_secret(data: Mapping[str, bytes]) -> dict[str, str] | Unusable:
    found = data.get(SECRET_KEY)
    if found is None and len(data) == 1:
        found = next(iter(data.values()))
    if found is None:
        names = ", ".join(sorted(data)) or "none"
        return Unusable(f"needs an entry {SECRET_KEY}, or a single one; it has {names}")
    return {"client_secret": found.decode(errors="replace")}


def _assertion(identity: PodIdentity, data: Mapping[str, bytes], token_url: str, now: int) -> dict[str, str] | Unusable:
    # Certificates are rare here, and this costs memory that an agent on every node should not need.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    from podpass.tokens import jwt
    from podpass.tokens.encoding import to_base64url
    from podpass.tokens.keys import SigningKey

    if CERTIFICATE_KEY not in data:
        return Unusable(f"has no entry {CERTIFICATE_KEY}")
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(
            data[CERTIFICATE_KEY], data.get(PASSWORD_KEY, b"") or None
        )
    except ValueError:
        return Unusable(f"has an entry {CERTIFICATE_KEY} that {PASSWORD_KEY} does not open")
    if not isinstance(key, RSAPrivateKey) or certificate is None:
        return Unusable(f"has an entry {CERTIFICATE_KEY} without an RSA key and its certificate")
    der = certificate.public_bytes(Encoding.DER)
    header = {
        # Entra finds the certificate by this digest, whatever SHA-1 is still good for.
        "x5t": to_base64url(hashlib.sha1(der, usedforsecurity=False).digest()),
        "x5c": [base64.b64encode(der).decode()],
    }
    claims: dict[str, Any] = {
        "aud": token_url,
        "iss": identity.client_id,
        "sub": identity.client_id,
        "jti": str(uuid.uuid4()),
        "nbf": now,
        "exp": now + ASSERTION_SECONDS,
    }
    signed = jwt.sign(claims, SigningKey(key), header=header)
    return {"client_assertion_type": CLIENT_ASSERTION_JWT, "client_assertion": signed}


def _data(secret: Obj) -> dict[str, bytes] | Unusable:
    encoded = secret.get("data") or {}
    try:
        return {str(name): base64.b64decode(value, validate=True) for name, value in encoded.items()}
    except (binascii.Error, TypeError, ValueError):
        return Unusable("is not base64")
