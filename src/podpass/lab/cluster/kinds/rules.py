"""Rules that several kinds share: names, keys, paths, numbers and quantities, each giving causes with upstream's text.

Contract: Kubernetes API surface, section 2.2.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from podpass.kube import names
from podpass.kube.status import Cause, duplicate, forbidden_field, invalid, not_supported, required, too_long

QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(m|u|n|k|Ki|Mi|Gi|Ti|Pi|Ei|M|G|T|P|E|[eE][+-]?[0-9]{1,3}|)")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
MAX_DATA_BYTES = 1024 * 1024
"""What a Secret or ConfigMap may hold in all."""

ENV_NAME_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
IMMUTABLE = "field is immutable"

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(1 << 10),
    "Mi": Decimal(1 << 20),
    "Gi": Decimal(1 << 30),
    "Ti": Decimal(1 << 40),
    "Pi": Decimal(1 << 50),
    "Ei": Decimal(1 << 60),
}


def label(path: str, value: str) -> Iterator[Cause]:
    """What keeps *value* from being a DNS label of at most 63 characters."""
    if fault := names.label_fault(value):
        yield invalid(path, value, fault)


def required_label(path: str, value: str) -> Iterator[Cause]:
    if not value:
        yield required(path)
    else:
        yield from label(path, value)


def subdomain(path: str, value: str) -> Iterator[Cause]:
    """What keeps *value* from being a DNS subdomain of at most 253 characters."""
    if fault := names.subdomain_fault(value):
        yield invalid(path, value, fault)


def config_key(path: str, key: str) -> Iterator[Cause]:
    """What keeps *key* from being the key of a Secret or ConfigMap."""
    if fault := names.data_key_fault(key):
        yield invalid(path, key, fault)


def env_name(path: str, name: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
    elif not all(" " <= character <= "~" and character != "=" for character in name):
        yield invalid(path, name, ENV_NAME_TEXT)


def one_of(path: str, value: object, supported: Iterable[str]) -> Iterator[Cause]:
    """A cause where *value* is set to something else than one of *supported*."""
    words = tuple(supported)
    if value and value not in words:
        yield not_supported(path, value, sorted(words))


def local_path(path: str, value: str) -> Iterator[Cause]:
    """What keeps *value* from being a relative path that stays below its root."""
    if value.startswith("/"):
        yield invalid(path, value, "must be a relative path")
    if ".." in value.split("/"):
        yield invalid(path, value, "must not contain '..'")


def unreserved_path(path: str, value: str) -> Iterator[Cause]:
    """As local_path, where names that begin with two dots belong to whoever writes the files."""
    yield from local_path(path, value)
    if value.startswith("..") and ".." not in value.split("/"):
        yield invalid(path, value, "must not start with '..'")


def port(path: str, value: object) -> Iterator[Cause]:
    if not isinstance(value, int) or not 1 <= value <= 65_535:
        yield invalid(path, value, "must be between 1 and 65535, inclusive")


def port_name_faults(name: str) -> Iterator[str]:
    """What keeps *name* from being a port's."""
    if len(name) > 15:
        yield "must be no more than 15 characters"
    if not _PORT_NAME.fullmatch(name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not any("a" <= character <= "z" for character in name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name[:1] == "-" or name[-1:] == "-":
        yield "must not begin or end with a hyphen"


def at_least(path: str, value: object, least: int) -> Iterator[Cause]:
    """A cause where a number is set and smaller than *least*, which is 0 or 1."""
    if isinstance(value, int) and value < least:
        text = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
        yield invalid(path, value, text)


def file_mode(path: str, value: object) -> Iterator[Cause]:
    if isinstance(value, int) and not 0 <= value <= 0o777:
        yield invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive")


def quantity(value: object) -> Decimal | None:
    """The number that a quantity such as `100m` or `1Gi` stands for; None for something else."""
    found = QUANTITY.fullmatch(str(value))
    if found is None:
        return None
    number, suffix = found.groups()
    try:
        if suffix[:1] in ("e", "E") and suffix not in ("E", "Ei"):
            return Decimal(number + suffix)
        return Decimal(number) * _SUFFIXES[suffix]
    except (InvalidOperation, KeyError):
        return None


def data_size(data: Mapping[str, Any], *, encoded: bool) -> int:
    """The bytes that a data map holds; *encoded* when its values are base64."""
    return sum(decoded_length(value) if encoded else len(str(value).encode()) for value in data.values())


def decoded_length(value: object) -> int:
    try:
        return len(base64.b64decode("".join(str(value).split()), validate=True))
    except (binascii.Error, ValueError):
        return 0


def data_too_large(path: str, size: int) -> Iterator[Cause]:
    if size > MAX_DATA_BYTES:
        yield too_long(path, MAX_DATA_BYTES)


def duplicates(path: str, found: Iterable[str], *, member: str = "name") -> Iterator[Cause]:
    """A cause for each name that came before in the list at *path*."""
    seen: set[str] = set()
    for index, name in enumerate(found):
        if name and name in seen:
            yield duplicate(f"{path}[{index}].{member}", name)
        seen.add(name)


def exactly_one(path: str, value: Mapping[str, Any], choices: Iterable[str], *, missing: str, many: str) -> list[Cause]:
    """Causes unless exactly one of *choices* is a member of *value*."""
    found = [choice for choice in choices if value.get(choice) is not None]
    if not found:
        return [required(path, missing)]
    return [forbidden_field(f"{path}.{choice}", many) for choice in found[1:]]


def immutable(path: str, new: Any, old: Any, text: str = IMMUTABLE) -> Iterator[Cause]:
    if new != old:
        yield invalid(path, new, text)
