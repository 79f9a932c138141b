"""What a key can do: the algorithms by name, over values.

Contract: secrets store, section 3.4; RFC 7518 for the algorithms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from podpass.lab.keyvault.key_material import PrivateKey


class CanNot(ValueError):
    """The key, the algorithm and the value do not go together; the text says why, for the caller."""


@dataclass(frozen=True, slots=True)
class _Rsa:
    """A signature algorithm of RSA keys."""

    hash: hashes.HashAlgorithm
    probabilistic: bool

    def padding(self) -> padding.PKCS1v15 | padding.PSS:
        # RFC 7518, section 3.5: the salt is as long as the hash.
        if self.probabilistic:
            return padding.PSS(padding.MGF1(self.hash), self.hash.digest_size)
        return padding.PKCS1v15()


@dataclass(frozen=True, slots=True)
class _Curve:
    """A signature algorithm of keys on one curve."""

    hash: hashes.HashAlgorithm
    curve: type[ec.EllipticCurve]


_SIGNATURES: Mapping[str, _Rsa | _Curve] = {
    "RS256": _Rsa(hashes.SHA256(), False),
    "RS384": _Rsa(hashes.SHA384(), False),
    "RS512": _Rsa(hashes.SHA512(), False),
    "PS256": _Rsa(hashes.SHA256(), True),
    "PS384": _Rsa(hashes.SHA384(), True),
    "PS512": _Rsa(hashes.SHA512(), True),
    "ES256": _Curve(hashes.SHA256(), ec.SECP256R1),
    "ES256K": _Curve(hashes.SHA256(), ec.SECP256K1),
    "ES384": _Curve(hashes.SHA384(), ec.SECP384R1),
    "ES512": _Curve(hashes.SHA512(), ec.SECP521R1),
}
_ENCRYPTIONS: Mapping[str, Callable[[], padding.AsymmetricPadding]] = {
    "RSA1_5": padding.PKCS1v15,
    "RSA-OAEP": lambda: padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),  # noqa: S303 - RFC 7518, 4.3
    "RSA-OAEP-256": lambda: padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
}


def sign(key: PrivateKey, algorithm: str, digest: bytes) -> bytes:
    """The signature of *digest*; of an elliptic curve the two numbers one after the other. Raises CanNot."""
    how = _signature(key, algorithm, digest)
    if isinstance(how, _Rsa):
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.sign(digest, how.padding(), Prehashed(how.hash))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(how.hash))))
    return r.to_bytes(size) + s.to_bytes(size)


def verify(key: PrivateKey, algorithm: str, digest: bytes, signature: bytes) -> bool:
    """Whether *signature* is the key's for *digest*. Raises CanNot."""
    how = _signature(key, algorithm, digest)
    try:
        if isinstance(how, _Rsa):
            assert isinstance(key, rsa.RSAPrivateKey)
            key.public_key().verify(signature, digest, how.padding(), Prehashed(how.hash))
            return True
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        size = (key.curve.key_size + 7) // 8
        if len(signature) != 2 * size:
            return False
        pair = encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
        key.public_key().verify(pair, digest, ec.ECDSA(Prehashed(how.hash)))
    except InvalidSignature:
        return False
    return True


def encrypt(key: PrivateKey, algorithm: str, plaintext: bytes) -> bytes:
    """Raises CanNot."""
    rsa_key, how = _encryption(key, algorithm)
    try:
        return rsa_key.public_key().encrypt(plaintext, how)
    except ValueError as error:
        raise CanNot(f"A value of {len(plaintext)} bytes is too long for {algorithm}") from error


def decrypt(key: PrivateKey, algorithm: str, ciphertext: bytes) -> bytes:
    """Raises CanNot."""
    rsa_key, how = _encryption(key, algorithm)
    try:
        return rsa_key.decrypt(ciphertext, how)
    except ValueError as error:
        raise CanNot("The value can't be decrypted with this key and algorithm") from error


def _signature(key: PrivateKey, algorithm: str, digest: bytes) -> _Rsa | _Curve:
    how = _SIGNATURES.get(algorithm)
    fits = (
        isinstance(key, rsa.RSAPrivateKey)
        if isinstance(how, _Rsa)
        else how is not None and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, how.curve)
    )
    if how is None or not fits:
        raise CanNot(f"The algorithm {algorithm[:32]} is not supported by this key")
    if len(digest) != how.hash.digest_size:
        raise CanNot(f"The digest has {len(digest)} bytes; {algorithm} takes {how.hash.digest_size}")
    return how


def _encryption(key: PrivateKey, algorithm: str) -> tuple[rsa.RSAPrivateKey, padding.AsymmetricPadding]:
    how = _ENCRYPTIONS.get(algorithm)
    if how is None or not isinstance(key, rsa.RSAPrivateKey):
        raise CanNot(f"The algorithm {algorithm[:32]} is not supported by this key")
    return key, how()
