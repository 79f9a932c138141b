"""Keys that sign and verify tokens, and JWK Sets.

An RSA key signs RS256, an elliptic-curve key the ES algorithm of its curve; a key has one algorithm and is never
used for another. Private keys show only their `kid`. Contract: azure workload identity, section 4.2.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from podpass.tokens.encoding import integer_from_base64url, integer_to_base64url, to_base64url

RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_KEYS = 100
"""Keys read from one JWK Set; a longer list is refused."""

_PKCS1 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class _Curve:
    algorithm: str
    jwk_name: str
    curve: ec.EllipticCurve
    ecdsa: ec.ECDSA
    coordinate_bytes: int


_CURVES = (
    _Curve("ES256", "P-256", ec.SECP256R1(), ec.ECDSA(hashes.SHA256()), 32),
    _Curve("ES384", "P-384", ec.SECP384R1(), ec.ECDSA(hashes.SHA384()), 48),
    _Curve("ES512", "P-521", ec.SECP521R1(), ec.ECDSA(hashes.SHA512()), 66),
)
_BY_OPENSSL_NAME = {curve.curve.name: curve for curve in _CURVES}
_BY_JWK_NAME = {curve.jwk_name: curve for curve in _CURVES}
_BY_ALGORITHM = {curve.algorithm: curve for curve in _CURVES}


class UnusableKey(ValueError):
    """The key is malformed, or of a type, size or curve that podpass does not use."""


def kubernetes_kid(spki_der: bytes) -> str:
    """The `kid` Kubernetes gives a key: base64url of SHA-256 over its DER SubjectPublicKeyInfo."""
    return to_base64url(hashlib.sha256(spki_der).digest())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures of one algorithm."""

    kid: str
    algorithm: str
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey = field(repr=False)

    @classmethod
    def of(cls, key: object, *, kid: str | None = None) -> Self:
        """Wrap a key of the cryptography package; without *kid* it gets Kubernetes'. Raises UnusableKey."""
        if isinstance(key, rsa.RSAPublicKey):
            _check_rsa_size(key.key_size)
            algorithm = "RS256"
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if key.curve.name not in _BY_OPENSSL_NAME:
                raise UnusableKey(f"elliptic curve {key.curve.name} is not supported")
            algorithm = _BY_OPENSSL_NAME[key.curve.name].algorithm
        else:
            raise UnusableKey("only RSA and elliptic-curve keys are supported")
        return cls(kubernetes_kid(_spki(key)) if kid is None else kid, algorithm, key)

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str | None = None) -> Self:
        """The key in the first PEM block: a public key, a certificate's, or a private key's public half."""
        return cls.of(_public_of_block(pem), kid=kid)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Read one key of a JWK Set. Raises UnusableKey, also for a key that is not for signatures."""
        kid = jwk.get("kid")
        if not isinstance(kid, str) or not kid:
            raise UnusableKey("the key has no kid")
        if jwk.get("use", "sig") != "sig":
            raise UnusableKey("the key is not for signatures")
        try:
            key = _numbers_of_jwk(jwk).public_key()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UnusableKey("the key's numbers can't be read") from error
        public = cls.of(key, kid=kid)
        if jwk.get("alg", public.algorithm) != public.algorithm:
            raise UnusableKey(f"algorithm {jwk['alg']!r} does not go with this key")
        return public

    @property
    def spki(self) -> bytes:
        """The DER SubjectPublicKeyInfo."""
        return _spki(self.key)

    def to_pem(self) -> bytes:
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def to_jwk(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The key as a JWK with members in the order Kubernetes writes them, then *extra*."""
        if isinstance(self.key, rsa.RSAPublicKey):
            rsa_numbers = self.key.public_numbers()
            numbers = {"n": integer_to_base64url(rsa_numbers.n), "e": integer_to_base64url(rsa_numbers.e)}
            members = {"use": "sig", "kty": "RSA", "kid": self.kid, "alg": self.algorithm, **numbers}
        else:
            point, curve = self.key.public_numbers(), _BY_ALGORITHM[self.algorithm]
            members = {
                "use": "sig",
                "kty": "EC",
                "kid": self.kid,
                "crv": curve.jwk_name,
                "alg": self.algorithm,
                "x": integer_to_base64url(point.x, length=curve.coordinate_bytes),
                "y": integer_to_base64url(point.y, length=curve.coordinate_bytes),
            }
        return {**members, **(extra or {})}

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether *signature*, in the JOSE form, is this key's over *data*."""
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(signature, data, _PKCS1, _SHA256)
                return True
            curve = _BY_ALGORITHM[self.algorithm]
            half = curve.coordinate_bytes
            if len(signature) != 2 * half:
                return False
            r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            self.key.verify(encode_dss_signature(r, s), data, curve.ecdsa)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key that signs tokens. Its repr shows only the `kid`."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, kid: str | None = None) -> None:
        self._key = key
        self.public = PublicKey.of(key.public_key(), kid=kid)
        self.kid = self.public.kid
        self.algorithm = self.public.algorithm

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r})"

    @classmethod
    def generate(cls, kind: Literal["RSA", "EC"] = "RSA", *, curve: str = "P-256", kid: str | None = None) -> Self:
        """A new key: RSA-2048 (about 100 ms, so not inside an event loop), or EC on P-256, P-384 or P-521."""
        if kind == "RSA":
            return cls(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS), kid=kid)
        return cls(ec.generate_private_key(_BY_JWK_NAME[curve].curve), kid=kid)

    @classmethod
    def from_pem(cls, pem: bytes, *, kid: str | None = None, own: bool = False) -> Self:
        """Read an unencrypted private key, PKCS#1, SEC 1 or PKCS#8. Raises UnusableKey.

        One of our *own*, from a file that only we write, is not searched for a weakness, which takes as long as fifty
        signatures: one signature shows that it is whole.
        """
        try:
            key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=own)
        except (ValueError, TypeError) as error:
            raise UnusableKey("not a private key in PEM form") from error
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise UnusableKey("only RSA and elliptic-curve keys are supported")
        found = cls(key, kid=kid)
        if own and not found.public.verifies(b"whole", found.sign(b"whole")):
            raise UnusableKey("the parts of the key do not belong together")
        return found

    @property
    def private_key(self) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        """The cryptography package's key, for signing certificates with it."""
        return self._key

    def to_pem(self) -> bytes:
        """PKCS#8, unencrypted: for a file of mode 0600 only."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, data: bytes) -> bytes:
        """The signature over *data* in the JOSE form."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, _PKCS1, _SHA256)
        curve = _BY_ALGORITHM[self.algorithm]
        r, s = decode_dss_signature(self._key.sign(data, curve.ecdsa))
        return r.to_bytes(curve.coordinate_bytes, "big") + s.to_bytes(curve.coordinate_bytes, "big")


@dataclass(frozen=True)
class JwkSet:
    """An issuer's public keys, in order. Of two with one `kid` the first counts."""

    keys: tuple[PublicKey, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[PublicKey]) -> Self:
        """The set without repeated kids."""
        distinct: dict[str, PublicKey] = {}
        for key in keys:
            distinct.setdefault(key.kid, key)
        return cls(tuple(distinct.values()))

    @classmethod
    def from_dict(cls, document: object) -> Self:
        """Read a JWK Set; keys that can't be used are skipped.

        Raises UnusableKey when the document has no list `keys` or lists more than MAX_KEYS.
        """
        listed = document.get("keys") if isinstance(document, Mapping) else None
        if not isinstance(listed, list):
            raise UnusableKey("not a JWK Set: there is no list of keys")
        if len(listed) > MAX_KEYS:
            raise UnusableKey(f"the JWK Set lists more than {MAX_KEYS} keys")
        return cls.of(_usable(listed))

    def to_dict(self) -> dict[str, Any]:
        return {"keys": [key.to_jwk() for key in self.keys]}

    @cached_property
    def _by_kid(self) -> dict[str, PublicKey]:
        return {key.kid: key for key in reversed(self.keys)}

    def get(self, kid: str) -> PublicKey | None:
        return self._by_kid.get(kid)

    @property
    def kids(self) -> tuple[str, ...]:
        return tuple(key.kid for key in self.keys)


def public_keys_from_pem(pem: bytes) -> tuple[PublicKey, ...]:
    """The public key of every PEM block of a file. Raises UnusableKey when there is none, or one is unusable."""
    marker = b"-----BEGIN "
    blocks = [marker + block for block in pem.split(marker)[1:]]
    if not blocks:
        raise UnusableKey("no PEM block found")
    return tuple(PublicKey.from_pem(block) for block in blocks)


def _usable(listed: Iterable[object]) -> Iterable[PublicKey]:
    for jwk in listed:
        if isinstance(jwk, Mapping):
            try:
                yield PublicKey.from_jwk(jwk)
            except UnusableKey:
                continue


def _spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _check_rsa_size(bits: int) -> None:
    if not RSA_BITS <= bits <= MAX_RSA_BITS:
        raise UnusableKey(f"RSA keys have {RSA_BITS} to {MAX_RSA_BITS} bits here, this one has {bits}")


def _numbers_of_jwk(jwk: Mapping[str, Any]) -> rsa.RSAPublicNumbers | ec.EllipticCurvePublicNumbers:
    match jwk.get("kty"):
        case "RSA":
            n = integer_from_base64url(jwk["n"])
            # Checked before the numbers become a key: OpenSSL takes its time over absurd ones.
            _check_rsa_size(n.bit_length())
            return rsa.RSAPublicNumbers(e=integer_from_base64url(jwk["e"]), n=n)
        case "EC":
            curve = _BY_JWK_NAME[jwk["crv"]].curve
            return ec.EllipticCurvePublicNumbers(
                x=integer_from_base64url(jwk["x"]), y=integer_from_base64url(jwk["y"]), curve=curve
            )
        case other:
            raise UnusableKey(f"key type {other!r} is not supported")


def _public_of_block(pem: bytes) -> object:
    try:
        if b"-----BEGIN CERTIFICATE-----" in pem:
            return x509.load_pem_x509_certificate(pem).public_key()
        if b"PRIVATE KEY-----" in pem:
            return serialization.load_pem_private_key(pem, password=None).public_key()
        return serialization.load_pem_public_key(pem)
    except (ValueError, TypeError) as error:
        raise UnusableKey("not a public key, certificate or private key in PEM form") from error
