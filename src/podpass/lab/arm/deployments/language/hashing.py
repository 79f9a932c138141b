"""Names made of other names, the same every time: guid() and uniqueString().

Both join their arguments by hyphens. guid() is a name-based UUID, version 5. uniqueString() is 64 bits of a hash of
the Murmur family, written with thirteen characters of base 32; its words were worked out from published values.
"""

import uuid
from collections.abc import Sequence

_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_MASK = 0xFFFF_FFFF
_ONE, _TWO = 0x239B_961B, 0xAB0E_9789


def guid(parts: Sequence[str]) -> str:
    return str(uuid.uuid5(_NAMESPACE, "-".join(parts)))


def unique_string(parts: Sequence[str]) -> str:
    number = _hash("-".join(parts).encode())
    return "".join(_LETTERS[(number << 5 * place & 0xFFFF_FFFF_FFFF_FFFF) >> 59] for place in range(13))


def _hash(data: bytes) -> int:
    low = high = 0
    whole = len(data) - len(data) % 8
    for start in range(0, whole, 8):
        low ^= _mixed(data[start : start + 4], _ONE, 15, _TWO)
        low = _word(_word(_turned(low, 19) + high) * 5 + 0x561C_CD1B)
        high ^= _mixed(data[start + 4 : start + 8], _TWO, 17, _ONE)
        high = _word(_word(_turned(high, 13) + low) * 5 + 0x0BCA_A747)
    low ^= _mixed(data[whole : whole + 4], _ONE, 15, _TWO)
    high ^= _mixed(data[whole + 4 :], _TWO, 17, _ONE)
    low, high = low ^ len(data), high ^ len(data)
    low = _word(low + high)
    high = _word(high + low)
    low, high = _finished(low), _finished(high)
    low = _word(low + high)
    return _word(high + low) << 32 | low


def _mixed(chunk: bytes, first: int, turn: int, second: int) -> int:
    return _word(_turned(_word(int.from_bytes(chunk, "little") * first), turn) * second)


def _finished(word: int) -> int:
    word ^= word >> 16
    word = _word(word * 0x85EB_CA6B)
    word ^= word >> 13
    word = _word(word * 0xC2B2_AE35)
    return word ^ word >> 16


def _word(number: int) -> int:
    return number & _MASK


def _turned(word: int, by: int) -> int:
    return _word(word << by) | word >> 32 - by
