"""Reading claims sets. Claims stay plain dicts; a claim of the wrong type reads as absent."""

import math
from collections.abc import Mapping
from typing import Any

Claims = Mapping[str, Any]

KUBERNETES = "kubernetes.io"


def text(claims: Claims, name: str) -> str:
    """The claim when it is a string, else an empty one. White space is never trimmed."""
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def issuer(claims: Claims) -> str:
    return text(claims, "iss")


def subject(claims: Claims) -> str:
    return text(claims, "sub")


def audiences(claims: Claims) -> tuple[str, ...]:
    """The `aud` claim's values: it may be one string or a list of them."""
    value = claims.get("aud")
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(member for member in value if isinstance(member, str))
    return ()


def moment(claims: Claims, name: str) -> float | None:
    """A NumericDate in seconds since the epoch; None when absent, not a number, or not finite."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def lifetime_seconds(claims: Claims) -> float | None:
    """`exp` minus `iat` (or `nbf` without it)."""
    start, end = moment(claims, "iat"), moment(claims, "exp")
    if start is None:
        start = moment(claims, "nbf")
    return None if start is None or end is None else end - start


def kubernetes(claims: Claims) -> Claims:
    """The private claim of service-account tokens: namespace, serviceaccount, pod, node, secret, warnafter."""
    value = claims.get(KUBERNETES)
    return value if isinstance(value, dict) else {}
