"""A client's id and secret in the Authorization header.

RFC 6749, section 2.3.1: each is escaped as in a form before both are joined and encoded.
"""

import base64
import binascii
from urllib.parse import unquote_plus

MAX_LENGTH = 4096


def client_of_header(value: str) -> tuple[str, str] | None:
    """Client id and secret of a Basic header; None for any other header, and for one that can't be read."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_LENGTH:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
        client_id, colon, secret = text.partition(":")
        found = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return found if colon and all(found) else None
