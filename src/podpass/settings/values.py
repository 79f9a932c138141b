"""Texts of settings read into values. Each raises ValueError with the complaint for a text that it can't take."""

import ipaddress
import re
from dataclasses import dataclass

LOG_LEVELS = ("", "info", "debug", "trace", "all")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    """Empty: every interface."""
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def text(given: str) -> str:
    return given.strip()


def switch(given: str) -> bool:
    lowered = given.strip().lower()
    if lowered in ("true", "1", "t"):
        return True
    if lowered in ("false", "0", "f"):
        return False
    raise ValueError(f"{given!r} is neither true nor false")


def count(given: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", given.strip()):
        raise ValueError(f"{given!r} is not a number")
    return int(given)


def port(given: str) -> int:
    found = count(given)
    if not 0 < found < 65536:
        raise ValueError(f"{given!r} is not a port")
    return found


def seconds(given: str) -> float:
    """Seconds as a number, or a duration as Go writes it: `1h`, `3m`, `1m30s`."""
    stated = given.strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d+)?", stated):
        return float(stated)
    found = _DURATION.fullmatch(stated)
    if not stated or found is None:
        raise ValueError(f"{given!r} is not a duration like 60s or 3m")
    hours, minutes, rest = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


def namespace(given: str) -> str:
    name = given.strip()
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise ValueError(f"{given!r} is not the name of a namespace")
    return name


def address(given: str) -> Address:
    """`:9443`, `127.0.0.1:9443` or `[::1]:9443`."""
    host, colon, number = given.strip().rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", number) or int(number) > 65535:
        raise ValueError(f"{given!r} is not an address like :9443")
    if host.startswith("["):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{given!r} holds no IPv6 address") from None
    return Address(host, int(number))


def log_level(given: str) -> str:
    level = given.strip().lower()
    if level not in LOG_LEVELS:
        raise ValueError(f"{given!r} is not one of info, debug, trace, all")
    return level


def header_text(text: str) -> str:
    """What may stand in a header of HTTP."""
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be of printable ASCII characters")
    return text.strip()
