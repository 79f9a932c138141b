"""The functions of CEL about quantities."""

from decimal import Decimal
from typing import Any

from podpass.kube.quantity import parse_quantity
from podpass.lab.cluster.expressions.function import INT64, MAP, Function, makes, part


def _quantity(text: str) -> dict[str, Any]:
    return {"quantity": str(parse_quantity(text).normalize())}


def _amount(value: dict[str, Any]) -> Decimal:
    return Decimal(part(value, "quantity"))


def _made(amount: Decimal) -> dict[str, Any]:
    return {"quantity": str(amount.normalize())}


def _is_integer(value: dict[str, Any]) -> bool:
    amount = _amount(value)
    return amount == amount.to_integral_value() and int(amount) in INT64


def _as_integer(value: dict[str, Any]) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_amount(value))


QUANTITIES = (
    Function("quantity", ("string",), MAP, _quantity),
    Function("isQuantity", ("string",), "bool", makes(parse_quantity)),
    Function("isInteger", (MAP,), "bool", _is_integer, member=True),
    Function("asInteger", (MAP,), "int", _as_integer, member=True),
    Function("asApproximateFloat", (MAP,), "double", lambda q: float(_amount(q)), member=True),
    Function("sign", (MAP,), "int", lambda q: int(_amount(q).compare(Decimal(0))), member=True),
    Function("add", (MAP, MAP), MAP, lambda q, other: _made(_amount(q) + _amount(other)), member=True),
    Function("add", (MAP, "int"), MAP, lambda q, other: _made(_amount(q) + other), member=True),
    Function("sub", (MAP, MAP), MAP, lambda q, other: _made(_amount(q) - _amount(other)), member=True),
    Function("sub", (MAP, "int"), MAP, lambda q, other: _made(_amount(q) - other), member=True),
    Function("compareTo", (MAP, MAP), "int", lambda q, other: int(_amount(q).compare(_amount(other))), member=True),
    Function("isGreaterThan", (MAP, MAP), "bool", lambda q, other: _amount(q) > _amount(other), member=True),
    Function("isLessThan", (MAP, MAP), "bool", lambda q, other: _amount(q) < _amount(other), member=True),
)
