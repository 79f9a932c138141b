"""Whose token a token is.

Contract: pod identity, section 9 (7). The objects that users write hold no object ids; their identities' tokens do.
"""

import base64
import binascii
from typing import Any

import msgspec

MAX_TOKEN = 32_768


def object_id_of(access_token: str) -> str:
    """The object id of the token's holder, in lower case; empty when the token doesn't tell.

    Nothing is verified: the token came from its issuer a moment ago, and only tells apart identities that a pod has.
    """
    parts = access_token.split(".")
    if len(parts) != 3 or len(access_token) > MAX_TOKEN:
        return ""
    try:
        claims: Any = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return ""
    found = claims.get("oid") if isinstance(claims, dict) else None
    return found.lower() if isinstance(found, str) else ""
