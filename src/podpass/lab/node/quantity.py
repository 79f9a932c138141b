"""How many of one quantity are in another, as resourceFieldRef gives it."""

import math
from decimal import Decimal

from podpass.kube.quantity import parse_quantity


def divided(quantity: str | int | float, divisor: str | int | float = "1") -> int:
    """How many *divisor* are in *quantity*, rounded up, as resourceFieldRef gives it."""
    by = parse_quantity(divisor) or Decimal(1)
    return math.ceil(parse_quantity(quantity) / by)
