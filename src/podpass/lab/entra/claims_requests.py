"""The `claims` parameter of a token request, and the challenge that makes a client send one.

A client that can be challenged says so with its requests: it has the capability CP1. Its tokens carry that, and a
service may then refuse a token that is older than a revocation, and say which claims a better one must have.
Contract: azure workload identity, section 5.1; OpenID Connect Core, section 5.5.
"""

import base64
import functools

import msgspec

CHALLENGED = "cp1"
"""The capability of a client that answers claims challenges, in lower case."""

MAX_CAPABILITIES = 16


class _Values(msgspec.Struct, frozen=True):
    values: list[str] = []


class _AccessToken(msgspec.Struct, frozen=True):
    xms_cc: _Values | None = None


class _Requested(msgspec.Struct, frozen=True):
    access_token: _AccessToken | None = None


# Clients send the same few texts over and over; bounded, because they choose them.
@functools.lru_cache(maxsize=64)
def capabilities(text: str) -> tuple[str, ...] | None:
    """The client capabilities that a `claims` parameter names; None when it can't be read.

    Other claims in it ask for nothing that every token does not have: one is never older than a revocation.
    """
    try:
        requested = msgspec.json.decode(text, type=_Requested)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if requested.access_token is None or requested.access_token.xms_cc is None:
        return ()
    named = tuple(requested.access_token.xms_cc.values)
    return named if len(named) <= MAX_CAPABILITIES else None


def challenge(since: int) -> str:
    """What a service's 401 asks for: a token from *since* on, in seconds since the epoch; as its header holds it."""
    wanted = {"access_token": {"nbf": {"essential": True, "value": str(since)}}}
    return base64.b64encode(msgspec.json.encode(wanted)).decode()
