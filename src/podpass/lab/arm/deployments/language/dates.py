"""Date functions, and times in .NET's custom formats. Contract: the reference's page on them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.registry import Group, integer, text

DATES = Group()
DEFAULT_FORMAT = "yyyyMMddTHHmmssZ"
_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_FORMAT = re.compile(
    r"'[^']*'|\\.|yyyy|yy|y|MMMM|MMM|MM|M|dddd|ddd|dd|d|HH|H|hh|h|mm|m|ss|s|f{1,7}|tt|K|zzz|.", re.DOTALL
)
_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "t": "HH:mm",
    "T": "HH:mm:ss",
}


def shown(moment: datetime, form: str) -> str:
    """*moment* in a .NET format, a standard one of one letter or a custom one."""
    pattern = _STANDARD.get(form, form)
    return "".join(_part(moment, match[0]) for match in _FORMAT.finditer(pattern))


def _part(moment: datetime, part: str) -> str:
    direct = {"yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "dddd": "%A", "ddd": "%a", "dd": "%d"}
    direct |= {"HH": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "tt": "%p"}
    if part in direct:
        return moment.strftime(direct[part])
    match part:
        case "y" | "M" | "d" | "H" | "m" | "s":
            return str(
                getattr(moment, {"y": "year", "M": "month", "d": "day", "H": "hour", "m": "minute"}.get(part, "second"))
            )
        case "h":
            return str(moment.hour % 12 or 12)
        case "K":
            return "Z"
        case "zzz":
            return "+00:00"
    if part.startswith("f"):
        return f"{moment.microsecond:06d}0"[: len(part)]
    return part[1:-1] if part.startswith("'") else part[-1]


@DATES.add("dateTimeAdd", 2, 3)
def _date_time_add(base: Any, duration: Any, form: Any = "") -> str:
    match = _DURATION.fullmatch(text("dateTimeAdd", duration))
    if match is None or not any(value for name, value in match.groupdict().items() if name != "sign"):
        raise ExpressionError(
            f"The template language function 'dateTimeAdd' expects an ISO 8601 duration: '{duration}'."
        )
    amounts = {name: int(value) for name, value in match.groupdict().items() if name != "sign" and value}
    days = amounts.pop("years", 0) * 365 + amounts.pop("months", 0) * 30
    amounts["days"] = amounts.get("days", 0) + days
    try:
        span = timedelta(**amounts)
        moment = _read(text("dateTimeAdd", base)) + (-span if match["sign"] else span)
    except OverflowError as error:
        raise ExpressionError("The template language function 'dateTimeAdd' leaves the years there are.") from error
    return shown(moment, text("dateTimeAdd", form) or "yyyy-MM-ddTHH:mm:ssZ")


@DATES.add("dateTimeFromEpoch", 1)
def _date_time_from_epoch(seconds: Any) -> str:
    try:
        return shown(datetime.fromtimestamp(integer("dateTimeFromEpoch", seconds), UTC), "yyyy-MM-ddTHH:mm:ssZ")
    except (OverflowError, ValueError, OSError) as error:
        raise ExpressionError("The template language function 'dateTimeFromEpoch' expects a time.") from error


@DATES.add("dateTimeToEpoch", 1)
def _date_time_to_epoch(moment: Any) -> int:
    return int(_read(text("dateTimeToEpoch", moment)).timestamp())


def _read(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise ExpressionError(f"The text '{given[:64]}' is no time.") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
