"""Key pairs: made, read from a JSON Web Key, shown as one, kept as text.

Contract: secrets store, section 3.4; RFC 7517 and RFC 7518 for the members.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal, cast

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

RSA_SIZES = (2048, 3072, 4096)
CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-256K": ec.SECP256K1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_CURVE_NAMES: dict[str, str] = {str(curve.name): name for name, curve in CURVES.items()}
_MAX_EXPONENT = 1 << 32


class NotAKey(ValueError):
    """What was given makes no key; the text says why, for the caller."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new key pair is to be."""

    type: Literal["RSA", "EC"]
    size: int = 2048
    """Bits of an RSA key."""
    exponent: int = 65537
    curve: str = "P-256"

    def __post_init__(self) -> None:
        """Raises NotAKey."""
        if self.type == "RSA" and self.size not in RSA_SIZES:
            raise NotAKey(
                f"The key size {self.size} is not supported: it must be one of {', '.join(map(str, RSA_SIZES))}"
            )
        if self.type == "RSA" and self.exponent not in (3, 65537):
            raise NotAKey(f"The public exponent {self.exponent} is not supported: it must be 3 or 65537")
        if self.type == "EC" and self.curve not in CURVES:
            raise NotAKey(f"The curve {self.curve[:32]} is not supported: it must be one of {', '.join(CURVES)}")


class JsonWebKey(msgspec.Struct, frozen=True):
    """A key pair as clients import it. It shows nothing of itself."""

    kty: str
    n: str = ""
    e: str = ""
    d: str = ""
    p: str = ""
    q: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    key_ops: list[str] | None = None

    def __repr__(self) -> str:
        return f"JsonWebKey(kty={self.kty!r})"


def make(wanted: Wanted) -> PrivateKey:
    """A new key pair. An RSA key takes a tenth of a second and more."""
    if wanted.type == "EC":
        return ec.generate_private_key(CURVES[wanted.curve]())
    return rsa.generate_private_key(wanted.exponent, wanted.size)


def like(key: PrivateKey) -> Wanted:
    """What a new key pair of the same sort would be."""
    if isinstance(key, rsa.RSAPrivateKey):
        return Wanted("RSA", size=key.key_size, exponent=key.public_key().public_numbers().e)
    return Wanted("EC", curve=_CURVE_NAMES[key.curve.name])


def read(given: JsonWebKey) -> PrivateKey:
    """The key pair in *given*. Raises NotAKey."""
    try:
        if given.kty == "RSA":
            return _read_rsa(given)
        if given.kty == "EC":
            if given.crv not in CURVES:
                raise NotAKey(f"The curve {given.crv[:32]} is not supported: it must be one of {', '.join(CURVES)}")
            public = ec.EllipticCurvePublicNumbers(_number(given.x), _number(given.y), CURVES[given.crv]())
            return ec.EllipticCurvePrivateNumbers(_number(given.d), public).private_key()
    except NotAKey:
        raise
    except ValueError as error:
        raise NotAKey(f"The members of the key do not belong together: {error}") from error
    raise NotAKey(f"The key type {given.kty[:32]} is not supported: it must be RSA or EC")


def _read_rsa(given: JsonWebKey) -> rsa.RSAPrivateKey:
    n, e, d = _number(given.n), _number(given.e), _number(given.d)
    # Checked first: what follows takes time that grows with the size.
    if n.bit_length() not in RSA_SIZES or not 3 <= e < _MAX_EXPONENT or d >= n:
        raise NotAKey(
            f"The key size {n.bit_length()} is not supported: it must be one of {', '.join(map(str, RSA_SIZES))}"
        )
    p, q = (_number(given.p), _number(given.q)) if given.p and given.q else rsa.rsa_recover_prime_factors(n, e, d)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, n)
    )
    return numbers.private_key()


def public_members(key: PrivateKey) -> dict[str, str]:
    """The public half as members of a JSON Web Key."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}
    point, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    return {"kty": "EC", "crv": _CURVE_NAMES[key.curve.name], "x": _text(point.x, size), "y": _text(point.y, size)}


def kept(key: PrivateKey) -> str:
    """The key pair as text, for the store alone."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def opened(text: str) -> PrivateKey:
    """What `kept` gave."""
    # It was checked when it came in; the check takes longer than a signature.
    key = serialization.load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=True)
    return cast("PrivateKey", key)


def base64url_bytes(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def base64url_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _number(text: str) -> int:
    if not text:
        raise NotAKey("The key is not whole: its private members are needed too")
    try:
        return int.from_bytes(base64url_bytes(text))
    except ValueError as error:
        raise NotAKey("A member of the key is not base64url") from error


def _text(number: int, size: int = 0) -> str:
    return base64url_text(number.to_bytes(size or (number.bit_length() + 7) // 8))
