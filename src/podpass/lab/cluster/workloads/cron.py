"""Cron schedules: five fields or a word, and when they are next due.

The texts of faults are those of the parser that Kubernetes uses.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

MAX_SCHEDULE_CHARACTERS = 1024
_DAYS_AHEAD = 5 * 366
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_WEEKDAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"h": 3600, "m": 60, "s": 1}


class CronSyntax(ValueError):
    """The text is no schedule; str() says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days, months and weekdays at which something is due; or every so many seconds."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False
    """Both kinds of day are restricted: then one of them is enough."""
    every_seconds: int = 0

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        """The first time after *after* (seconds since the epoch) that is due; None when there is none in five years."""
        if self.every_seconds:
            return float(int(after) + self.every_seconds)
        moment = datetime.fromtimestamp(int(after) // 60 * 60 + 60, zone)
        limit = moment + timedelta(days=_DAYS_AHEAD)
        while moment < limit:
            if moment.month not in self.months or not self._day(moment):
                moment = _midnight_after(moment)
            elif moment.hour not in self.hours:
                moment = _later(moment, 3600 - moment.minute * 60)
            elif moment.minute not in self.minutes:
                moment = _later(moment, 60)
            else:
                return moment.timestamp()
        return None

    def _day(self, moment: datetime) -> bool:
        by_date, by_weekday = moment.day in self.days, (moment.weekday() + 1) % 7 in self.weekdays
        return by_date or by_weekday if self.either_day else by_date and by_weekday


def _later(moment: datetime, seconds: int) -> datetime:
    # By way of the epoch, so that no hour is skipped or repeated when clocks change.
    return datetime.fromtimestamp(moment.timestamp() + seconds, moment.tzinfo)


def _midnight_after(moment: datetime) -> datetime:
    day = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return datetime.fromtimestamp(day.timestamp(), moment.tzinfo)


def parse(text: str) -> Schedule:
    """Raises CronSyntax."""
    if len(text) > MAX_SCHEDULE_CHARACTERS:
        raise CronSyntax(f"schedule is longer than {MAX_SCHEDULE_CHARACTERS} characters")
    if not text:
        raise CronSyntax("empty spec string")
    if text.startswith("@every "):
        return Schedule(every_seconds=_duration(text.removeprefix("@every ")))
    if text.startswith("@"):
        if text not in _WORDS:
            raise CronSyntax(f"unrecognized descriptor: {text}")
        text = _WORDS[text]
    fields = text.split()
    if len(fields) != 5:
        raise CronSyntax(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (
        _field(field, low, high, names)
        for field, (low, high, names) in zip(
            fields, ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _WEEKDAYS)), strict=True
        )
    )
    open_days = any(fields[place].startswith(("*", "?")) for place in (2, 4))
    return Schedule(minutes, hours, days, months, weekdays, either_day=not open_days)


def zone(name: str | None) -> tzinfo:
    """The time zone of that name, UTC for none. Raises CronSyntax."""
    if not name:
        return UTC
    # Most schedules have no zone.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CronSyntax(f"unknown time zone {name}") from error


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found |= _range(part, low, high, names)
    return frozenset(found)


def _range(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    extent, *steps = text.split("/")
    ends = extent.split("-")
    if len(steps) > 1:
        raise CronSyntax(f"too many slashes: {text}")
    if len(ends) > 2:
        raise CronSyntax(f"too many hyphens: {text}")
    if ends[0] in ("*", "?"):
        first, last = low, high
    else:
        first = _number(ends[0], names)
        last = _number(ends[1], names) if len(ends) == 2 else first
        if steps and len(ends) == 1:
            last = high
    step = _number(steps[0], {}) if steps else 1
    if first < low:
        raise CronSyntax(f"beginning of range ({first}) below minimum ({low}): {text}")
    if last > high:
        raise CronSyntax(f"end of range ({last}) above maximum ({high}): {text}")
    if first > last:
        raise CronSyntax(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise CronSyntax(f"step of range should be a positive number: {text}")
    return set(range(first, last + 1, step))


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise CronSyntax(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if text.startswith("-"):
        raise CronSyntax(f"negative number ({text}) not allowed: {text}")
    return int(text)


def _duration(text: str) -> int:
    """A Go duration in whole seconds, at least one."""
    seconds, number = 0, ""
    for character in text:
        if character.isascii() and character.isdecimal() and len(number) < 9:
            number += character
        elif character in _UNITS and number:
            seconds, number = seconds + int(number) * _UNITS[character], ""
        else:
            raise CronSyntax(f'failed to parse duration @every {text}: time: invalid duration "{text}"')
    if number or not text:
        raise CronSyntax(f'failed to parse duration @every {text}: time: invalid duration "{text}"')
    return max(seconds, 1)
