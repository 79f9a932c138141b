"""Kubernetes quantities: `500m`, `1Gi`, `2`, `1e3`."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
_SUFFIXES = {
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "": Decimal(1),
    **{letter: Decimal(1000) ** power for power, letter in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
MAX_CHARACTERS = 64


def parse_quantity(text: str | int | float) -> Decimal:
    """The quantity's value. Raises ValueError for anything else."""
    written = str(text).strip()
    found = _QUANTITY.fullmatch(written) if len(written) <= MAX_CHARACTERS else None
    if found is None:
        raise ValueError(f"{written[:MAX_CHARACTERS]!r} is not a quantity")
    number, exponent, suffix = found.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent))
    return Decimal(number) * _SUFFIXES[suffix or ""]
