"""base64url without padding, as RFC 7515 uses it."""

import binascii

# The standard alphabet's own characters, and padding, become one that no alphabet has.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", None, b"==", b"=")


def to_base64url(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_FROM_STANDARD).decode("ascii")


def from_base64url(text: str | bytes) -> bytes:
    """Decode strictly. Raises ValueError for padding, for a foreign character and for an impossible length."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    padding = _PADDING[len(raw) % 4]
    if padding is None:
        raise ValueError("not base64url")
    try:
        return binascii.a2b_base64(raw.translate(_TO_STANDARD) + padding, strict_mode=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def integer_to_base64url(value: int, *, length: int | None = None) -> str:
    """*value* as big-endian octets, in *length* octets or as few as hold it (RFC 7518, section 2)."""
    octets = length if length is not None else max(1, (value.bit_length() + 7) // 8)
    return to_base64url(value.to_bytes(octets, "big"))


def integer_from_base64url(text: str) -> int:
    return int.from_bytes(from_base64url(text), "big")
