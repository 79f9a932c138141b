"""Numeric, comparison and logical functions, and conversions. Contract: the reference's pages on them."""

from typing import Any, NoReturn

from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.registry import MANY, Group, boolean, integer, not_one_of, text
from podpass.lab.arm.deployments.language.values import equal, text_of

NUMBERS = Group()
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def _bounded(function: str, number: int) -> int:
    if not _SMALLEST <= number <= _LARGEST:
        raise ExpressionError(f"The result of the template language function '{function}' does not fit 64 bits.")
    return number


@NUMBERS.add("add", 2)
def _add(one: Any, other: Any) -> int:
    return _bounded("add", integer("add", one) + integer("add", other))


@NUMBERS.add("sub", 2)
def _sub(one: Any, other: Any) -> int:
    return _bounded("sub", integer("sub", one) - integer("sub", other))


@NUMBERS.add("mul", 2)
def _mul(one: Any, other: Any) -> int:
    return _bounded("mul", integer("mul", one) * integer("mul", other))


@NUMBERS.add("div", 2)
def _div(one: Any, other: Any) -> int:
    dividend, divisor = integer("div", one), _divisor("div", other)
    whole = abs(dividend) // abs(divisor)
    return whole if (dividend < 0) is (divisor < 0) else -whole


@NUMBERS.add("mod", 2)
def _mod(one: Any, other: Any) -> int:
    dividend, divisor = integer("mod", one), _divisor("mod", other)
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def _divisor(function: str, value: Any) -> int:
    divisor = integer(function, value)
    if divisor == 0:
        raise ExpressionError(f"The template language function '{function}' can't divide by zero.")
    return divisor


@NUMBERS.add("int", 1)
def _int(value: Any) -> int:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return _bounded("int", int(value))
        except ValueError as error:
            raise ExpressionError(
                "The template language function 'int' parameter is not valid. The provided value "
                f"'{value}' cannot be converted to the target type."
            ) from error
    raise not_one_of("int", "String, Integer", value)


@NUMBERS.add("float", 1)
def _float(value: Any) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError as error:
            raise ExpressionError("The template language function 'float' parameter is not valid.") from error
    raise not_one_of("float", "String, Integer", value)


@NUMBERS.add("min", 1, MANY)
def _min(*values: Any) -> int:
    return min(_numbers("min", values))


@NUMBERS.add("max", 1, MANY)
def _max(*values: Any) -> int:
    return max(_numbers("max", values))


def _numbers(function: str, values: tuple[Any, ...]) -> list[int]:
    given = values[0] if len(values) == 1 and isinstance(values[0], list) and values[0] else values
    return [integer(function, value) for value in given]


@NUMBERS.add("coalesce", 1, MANY)
def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@NUMBERS.add("equals", 2)
def _equals(one: Any, other: Any) -> bool:
    return equal(one, other)


@NUMBERS.add("less", 2)
def _less(one: Any, other: Any) -> bool:
    return _compared("less", one, other) < 0


@NUMBERS.add("lessOrEquals", 2)
def _less_or_equals(one: Any, other: Any) -> bool:
    return _compared("lessOrEquals", one, other) <= 0


@NUMBERS.add("greater", 2)
def _greater(one: Any, other: Any) -> bool:
    return _compared("greater", one, other) > 0


@NUMBERS.add("greaterOrEquals", 2)
def _greater_or_equals(one: Any, other: Any) -> bool:
    return _compared("greaterOrEquals", one, other) >= 0


def _compared(function: str, one: Any, other: Any) -> int:
    if isinstance(one, str):
        text(function, other)
    else:
        integer(function, one)
        integer(function, other)
    return int(one > other) - int(one < other)


@NUMBERS.add("bool", 1)
def _bool(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "1", "false", "0"):
        return value.lower() in ("true", "1")
    if isinstance(value, int):
        return bool(value)
    raise not_one_of("bool", "String, Integer", value)


@NUMBERS.add("not", 1)
def _not(value: Any) -> bool:
    return not boolean("not", value)


@NUMBERS.add("true", 0)
def _true() -> bool:
    return True


@NUMBERS.add("false", 0)
def _false() -> bool:
    return False


@NUMBERS.add("fail", 1)
def _fail(reason: Any) -> NoReturn:
    raise ExpressionError(text_of(reason) or "The template was made to fail.")
