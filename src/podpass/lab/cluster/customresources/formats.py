"""The formats of strings that a schema can ask for; any other is ignored, as the API server ignores it.

Contract: Kubernetes API surface, section 5. Names are compared without their hyphens.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from email.utils import parseaddr
from urllib.parse import urlsplit

from podpass.kube import names

MAX_EMAIL_CHARACTERS = 1024

_UUID = "(?i:[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{0}-?{1}-?[0-9a-f]{{12}})"
_ANY, _VARIANT = "[0-9a-f]{4}", "[89ab][0-9a-f]{3}"
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt](\d\d):(\d\d):(\d\d)([.]\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"([+-]?([0-9]*([.][0-9]*)?(ns|us|µs|μs|ms|s|m|h))+|0)", re.ASCII)
_WORDY_DURATION = re.compile(
    r"\d+(\.\d+)? *(ns|nano|nanosecond|us|µs|micro|microsecond|ms|milli|millisecond|s|sec|second|m|min|minute|h|hr|hour"
    r"|d|day|w|wk|week)s?"
)
_HOST_LABEL = re.compile(r"[^\W_]([^\W_-]|-(?!$))*")
_LAST_LABEL = re.compile(r"[^\W\d_]{2,63}")
_MAC = re.compile(
    r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}([:-][0-9a-fA-F]{2}){0,14}|[0-9a-fA-F]{4}([.][0-9a-fA-F]{4}){2,3}"
)
_RGB = re.compile(r"rgb\( *([0-9]{1,3}) *, *([0-9]{1,3}) *, *([0-9]{1,3}) *\)", re.ASCII)
_BASE64 = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")


def known(name: str) -> bool:
    """Whether strings are checked for the format."""
    return name.replace("-", "") in _FORMATS


def checker(name: str) -> Callable[[str], bool] | None:
    """Whether a string has the format; None for one that is not checked."""
    return _FORMATS.get(name.replace("-", ""))


def _matching(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _uuid(version: str, variant: str = _ANY) -> Callable[[str], bool]:
    return _matching(_UUID.format(version, variant))


def _date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _duration(text: str) -> bool:
    return bool(_DURATION.fullmatch(text) or _WORDY_DURATION.fullmatch(text)) and any(map(str.isdigit, text))


def _uri(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    if any(character <= " " or character == "\x7f" for character in text):
        return False
    return bool(found.scheme) or text.startswith("/")


def _hostname(text: str) -> bool:
    *labels, last = text.split(".")
    if labels and not _LAST_LABEL.fullmatch(last):
        return False
    return len(text) <= 255 and all(len(label) <= 63 and _HOST_LABEL.fullmatch(label) for label in (*labels, last))


def _ipv4(text: str) -> bool:
    parts = text.split(".")
    # Leading zeros are read as they stand.
    return len(parts) == 4 and all(part.isascii() and part.isdecimal() and int(part[-9:]) < 256 for part in parts)


def _ipv6(text: str) -> bool:
    try:
        return "%" not in text and ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _rgb(text: str) -> bool:
    found = _RGB.fullmatch(text)
    return found is not None and all(int(each) < 256 for each in found.groups())


def _cidr(text: str) -> bool:
    _, slash, length = text.partition("/")
    try:
        return bool(slash) and length.isdecimal() and bool(ipaddress.ip_interface(text))
    except ValueError:
        return False


def _email(text: str) -> bool:
    _, address = parseaddr(text) if len(text) <= MAX_EMAIL_CHARACTERS else ("", "")
    name, at, host = address.rpartition("@")
    return bool(at and name and host) and " " not in address


def _byte(text: str) -> bool:
    if _BASE64.fullmatch(text) is None:
        return False
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _isbn(*lengths: int) -> Callable[[str], bool]:
    def is_isbn(text: str) -> bool:
        digits = text.replace("-", "").replace(" ", "")
        if 10 in lengths and re.fullmatch(r"[0-9]{9}[0-9X]", digits):
            return sum((10 - at) * (10 if each == "X" else int(each)) for at, each in enumerate(digits)) % 11 == 0
        if 13 in lengths and re.fullmatch(r"[0-9]{13}", digits):
            return sum(int(each) * (3 if at % 2 else 1) for at, each in enumerate(digits)) % 10 == 0
        return False

    return is_isbn


def _credit_card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [int(each) * (2 if at % 2 else 1) for at, each in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


_FORMATS: dict[str, Callable[[str], bool]] = {
    "datetime": _date_time,
    "date": _date,
    "duration": _duration,
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "uuid": _uuid(_ANY),
    "uuid3": _uuid("3[0-9a-f]{3}"),
    "uuid4": _uuid("4[0-9a-f]{3}", _VARIANT),
    "uuid5": _uuid("5[0-9a-f]{3}", _VARIANT),
    "isbn": _isbn(10, 13),
    "isbn10": _isbn(10),
    "isbn13": _isbn(13),
    "creditcard": _credit_card,
    "ssn": _matching(r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}"),
    "hexcolor": _matching(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _rgb,
    "byte": _byte,
    "password": lambda _: True,
    "bsonobjectid": _matching("[0-9a-fA-F]{24}"),
    "k8sshortname": lambda text: not names.label_fault(text),
    "k8slongname": lambda text: not names.subdomain_fault(text),
}
