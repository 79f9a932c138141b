"""A component's options as a table, and the one way to read them.

A flag wins over its variable, which wins over the file, which wins over the default. Whatever is wrong is reported at
once, each value by the name under which the user gave it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from podpass.problems import PodpassError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as a user may give it. An empty *variable* or *flag* means that this way is not open."""

    key: str
    variable: str
    default: str
    help: str
    flag: str = ""
    switch: bool = False


def flagged(key: str, default: str, text: str, *, variable: str = "", switch: bool = False) -> Option:
    """An option whose flag is its key."""
    return Option(key, variable, default, text, f"--{key}", switch=switch)


@dataclass(frozen=True, slots=True)
class BadValue:
    source: str
    """The flag, variable or file member as the user wrote it."""
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class SettingsError(PodpassError):
    """A component can't start with these settings; *bad* holds all of what is wrong."""

    def __init__(self, component: str, bad: tuple[BadValue, ...]) -> None:
        reason = "; ".join(map(str, bad))
        super().__init__(
            "PP401",
            f"{component} can't start with these settings: {reason}",
            component=component,
            reason=reason,
            first=bad[0].source,
        )
        self.bad = bad


class Reader:
    """Reads one component's options. *flags* is keyed by the options' keys; None is a flag that was not given.

    *file* is a YAML mapping with the same keys. Raises KeyError for a flag that is no option.
    """

    def __init__(
        self,
        component: str,
        options: Iterable[Option],
        environ: Mapping[str, str],
        flags: Mapping[str, str | bool | None],
        file: Path | None = None,
    ) -> None:
        self._component = component
        self._options = {option.key: option for option in options}
        self._bad: list[BadValue] = []
        self._environ, self._flags = environ, flags
        self._file_name = str(file) if file else ""
        self._file = self._load(file) if file else {}
        for key in flags:
            if key not in self._options:
                raise KeyError(key)

    def value(self, key: str, parse: Callable[[str], T]) -> T | None:
        """The option's value, or None after a complaint that names where the bad text came from.

        *parse* raises ValueError with the complaint.
        """
        try:
            return parse(self._text(key))
        except ValueError as error:
            self.complain(key, str(error))
            return None

    def complain(self, key: str, reason: str) -> None:
        self._bad.append(BadValue(self._source(key), reason))

    def check(self) -> None:
        """Raises SettingsError when there was a complaint."""
        if self._bad:
            raise SettingsError(self._component, tuple(self._bad))

    def _text(self, key: str) -> str:
        option = self._options[key]
        flag = self._flags.get(key)
        if flag is not None:
            return str(flag).lower() if isinstance(flag, bool) else flag
        if option.variable and self._environ.get(option.variable):
            return self._environ[option.variable]
        if key in self._file:
            return self._file[key]
        return option.default

    def _source(self, key: str) -> str:
        option = self._options[key]
        if self._flags.get(key) is not None:
            return option.flag or key
        if key in self._file and not self._environ.get(option.variable):
            return f"{self._file_name}: {key}"
        return option.variable or option.flag

    def _load(self, file: Path) -> dict[str, str]:
        try:
            document: Any = yaml.safe_load(file.read_bytes()) or {}
        except OSError as error:
            self._bad.append(BadValue(str(file), str(error.strerror)))
            return {}
        except yaml.YAMLError:
            self._bad.append(BadValue(str(file), "is not a YAML document"))
            return {}
        if not isinstance(document, dict):
            self._bad.append(BadValue(str(file), "is not a mapping"))
            return {}
        values: dict[str, str] = {}
        for key, value in document.items():
            if key not in self._options:
                self._bad.append(BadValue(f"{file}: {key}", f"is not a setting of {self._component}"))
            elif not isinstance(value, str | int | float):
                self._bad.append(BadValue(f"{file}: {key}", "is not a text, a number or a truth value"))
            else:
                values[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return values
