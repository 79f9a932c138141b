"""Durations as policies write them: years, months, days and less, by the calendar.

Contract: ISO 8601, section 5.5.2.2, without weeks and fractions.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FORM = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,7})D)?(?:T(?=.)(?:(\d{1,8})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?"
)
_DAYS_OF_MONTH, _DAYS_OF_YEAR = 30, 365
_LONGEST_DAYS = 100 * 366


class NotADuration(ValueError):
    """A text that spells no duration that a policy may have."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time whose months and years are as long as the calendar makes them."""

    months: int
    seconds: int

    @property
    def days(self) -> float:
        """About how long it is, with months of 30 and years of 365 days."""
        years, months = divmod(self.months, 12)
        return years * _DAYS_OF_YEAR + months * _DAYS_OF_MONTH + self.seconds / 86_400

    def after(self, moment: float) -> float:
        """In seconds since the epoch."""
        return months_later(datetime.fromtimestamp(moment, UTC), self.months).timestamp() + self.seconds

    def before(self, moment: float) -> float:
        """In seconds since the epoch."""
        return months_later(datetime.fromtimestamp(moment, UTC), -self.months).timestamp() - self.seconds


def parse(text: str) -> Duration:
    """Raises NotADuration."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise NotADuration(f"'{text[:32]}' is no duration of ISO 8601")
    years, months, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    lasts = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    duration = Duration(years * 12 + months, int(lasts.total_seconds()))
    if duration.days > _LONGEST_DAYS:
        raise NotADuration(f"'{text[:32]}' is longer than a hundred years")
    return duration


def months_later(start: datetime, months: int) -> datetime:
    """The same day of another month; the 31st of a month that has none is the last day it has."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    for day in range(start.day, start.day - 4, -1):
        try:
            return start.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    raise NotADuration("it leads out of the calendar")
