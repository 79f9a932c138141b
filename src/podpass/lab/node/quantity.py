"""Kubernetes quantities: `500m`, `1Gi`, `2`, `1e3`."""

import math
import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIXES = {
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "": Decimal(1),
    **{letter: Decimal(1000) ** power for power, letter in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


def parse_quantity(text: str | int | float) -> Decimal:
    """The quantity's value. Raises ValueError for anything else."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, exponent, suffix = found.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent))
    return Decimal(number) * _SUFFIXES[suffix or ""]


def divided(quantity: str | int | float, divisor: str | int | float = "1") -> int:
    """How many *divisor* are in *quantity*, rounded up, as resourceFieldRef gives it."""
    by = parse_quantity(divisor) or Decimal(1)
    return math.ceil(parse_quantity(quantity) / by)
