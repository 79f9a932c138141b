"""JSON Web Tokens: sign, decode, verify. Compact JWS only.

A token is bounded before it is parsed. The algorithm comes from an allow-list that the caller gives and must be the
key's own, so neither `none` nor an HMAC over a public key can pass. `kid` only looks a key up. RFC 7515, RFC 7519.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from podpass.tokens import claims as read
from podpass.tokens.encoding import from_base64url, to_base64url
from podpass.tokens.keys import JwkSet, SigningKey

RS256 = frozenset({"RS256"})
ASYMMETRIC = frozenset({"RS256", "ES256", "ES384", "ES512"})
"""Every algorithm podpass can verify."""

MAX_TOKEN_BYTES = 16 * 1024
MAX_CLAIMS = 200
"""Members of a claims set, nested ones counted."""
MAX_NESTING = 8
MAX_KID_LENGTH = 256

LEEWAY_SECONDS = 300


class InvalidToken(Exception):
    """A token that must not be believed."""


class Malformed(InvalidToken):
    """Not a JSON Web Token, or one beyond the bounds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AlgorithmNotAllowed(InvalidToken):
    """The header's `alg` is not in the allow-list, or is not the key's."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"algorithm {algorithm!r} is not allowed")
        self.algorithm = algorithm


class UnknownKey(InvalidToken):
    """The issuer publishes no key of this `kid`."""

    def __init__(self, kid: str) -> None:
        super().__init__(f"no key with kid {kid!r}" if kid else "the token's header names no key")
        self.kid = kid


class BadSignature(InvalidToken):
    """The signature is not the key's over this token."""

    def __init__(self, kid: str) -> None:
        super().__init__(f"the signature does not verify with key {kid!r}")
        self.kid = kid


@dataclass(frozen=True, slots=True)
class Token:
    """A decoded token. Its signature is in no repr."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes = field(repr=False, compare=False, default=b"")
    """What the signature is over: the first two parts, as sent."""
    signature: bytes = field(repr=False, compare=False, default=b"")

    @property
    def algorithm(self) -> str:
        return read.text(self.header, "alg")

    @property
    def kid(self) -> str:
        return read.text(self.header, "kid")


@dataclass(frozen=True, slots=True)
class TimeProblem:
    """Why a token is outside its time. Moments are seconds since the epoch; None where the claim is absent."""

    kind: Literal["expired", "not-yet-valid", "no-expiry"]
    now: float
    valid_from: float | None
    expires: float | None

    @property
    def off_by_seconds(self) -> float:
        """How far outside: seconds since the expiry, or until the start."""
        if self.kind == "expired" and self.expires is not None:
            return self.now - self.expires
        if self.kind == "not-yet-valid" and self.valid_from is not None:
            return self.valid_from - self.now
        return 0.0


def sign(claims: Mapping[str, Any], key: SigningKey, *, header: Mapping[str, Any] | None = None) -> str:
    """The compact token. Its header holds `alg`, `kid` and what *header* adds; no `typ` unless given."""
    return sign_with_header(encoded_header(key, header), claims, key)


def encoded_header(key: SigningKey, header: Mapping[str, Any] | None = None) -> bytes:
    """The header's part of a token, for issuers that sign many tokens under one header."""
    return to_base64url(_encode({"alg": key.algorithm, "kid": key.kid, **(header or {})})).encode()


def sign_with_header(header_part: bytes, claims: Mapping[str, Any], key: SigningKey) -> str:
    signed = b"%b.%b" % (header_part, to_base64url(_encode(claims)).encode())
    return f"{signed.decode()}.{to_base64url(key.sign(signed))}"


def decode(token: str, *, max_bytes: int = MAX_TOKEN_BYTES) -> Token:
    """Header and claims, **unverified**. Raises Malformed."""
    if len(token) > max_bytes:
        raise Malformed(f"the token is longer than {max_bytes} bytes")
    try:
        raw = token.encode("ascii")
    except UnicodeEncodeError as error:
        raise Malformed("the token holds characters outside ASCII") from error
    parts = raw.split(b".", 3)
    if len(parts) != 3:
        raise Malformed("a token has three parts, with dots between")
    header_part, claims_part, signature_part = parts
    header = _read_object(header_part, "header")
    claims = _read_object(claims_part, "claims set")
    try:
        signature = from_base64url(signature_part)
    except ValueError as error:
        raise Malformed("the signature is not base64url") from error
    _check_header(header)
    return Token(header, claims, raw[: len(header_part) + 1 + len(claims_part)], signature)


def verify_signature(token: str | Token, keys: JwkSet, *, algorithms: frozenset[str] = RS256) -> Token:
    """The token, once its signature is found to be that of one of *keys*.

    Claims are not looked at: times, issuer and audience are the caller's to check. Raises Malformed,
    AlgorithmNotAllowed, UnknownKey, BadSignature; ValueError for an *algorithms* that podpass would never accept.
    """
    if not algorithms <= ASYMMETRIC:
        raise ValueError(f"never accepted: {', '.join(sorted(algorithms - ASYMMETRIC))}")
    if isinstance(token, str):
        token = decode(token)
    algorithm, kid = token.algorithm, token.kid
    if algorithm not in algorithms:
        raise AlgorithmNotAllowed(algorithm)
    key = keys.get(kid)
    if key is None:
        raise UnknownKey(kid)
    if key.algorithm != algorithm:
        raise AlgorithmNotAllowed(algorithm)
    if not key.verifies(token.signed, token.signature):
        raise BadSignature(kid)
    return token


def check_times(claims: read.Claims, *, now: float, leeway_seconds: float = LEEWAY_SECONDS) -> TimeProblem | None:
    """None when *now* lies within the token's time, give or take the leeway.

    The start is the later of `nbf` and `iat`, as the Kubernetes API server and Entra read them; both are optional,
    `exp` is not.
    """
    expires = read.moment(claims, "exp")
    starts = [start for name in ("nbf", "iat") if (start := read.moment(claims, name)) is not None]
    valid_from = max(starts, default=None)
    if expires is None:
        return TimeProblem("no-expiry", now, valid_from, None)
    if now >= expires + leeway_seconds:
        return TimeProblem("expired", now, valid_from, expires)
    if valid_from is not None and now < valid_from - leeway_seconds:
        return TimeProblem("not-yet-valid", now, valid_from, expires)
    return None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def _read_object(part: bytes, what: str) -> dict[str, Any]:
    try:
        text = from_base64url(part)
    except ValueError as error:
        raise Malformed(f"the {what} is not base64url") from error
    # Counting characters is cheap and never counts too few; only a suspicious text is looked at closely.
    if text.count(b"{") + text.count(b"[") > MAX_NESTING and _nesting(text) > MAX_NESTING:
        raise Malformed(f"the {what} is nested more than {MAX_NESTING} levels deep")
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the {what} is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed(f"the {what} is not a JSON object")
    if text.count(b":") > MAX_CLAIMS and _members(value) > MAX_CLAIMS:
        raise Malformed(f"the {what} has more than {MAX_CLAIMS} members")
    return value


def _check_header(header: Mapping[str, Any]) -> None:
    if not read.text(header, "alg"):
        raise Malformed("the header names no algorithm")
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH:
        raise Malformed("the header's kid is not a short string")
    if "crit" in header:
        # RFC 7515, section 4.1.11: what must be understood and is not makes the token invalid.
        raise Malformed("the header asks for extensions that are not supported")


def _nesting(text: bytes) -> int:
    """The deepest level of a JSON text, which need not be valid."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _members(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_members(member) for member in value.values())
    if isinstance(value, list):
        return sum(_members(member) for member in value)
    return 0
