"""What calls on all types of objects have in common: routes, what they run with, parameters, pages.

Contract: secrets store, sections 3.3 and 3.4.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.model import PAGE_SIZE
from podpass.lab.keyvault.operations import Operation
from podpass.lab.keyvault.shelves import Version

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks of the objects of one type."""

    operation: Operation
    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What a call runs with."""

    vault: Vault
    origin: str
    """`https://{host}` as the client called it; links and ids carry it."""
    query: Mapping[str, str]
    api_version: str
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """*document* is None for an answer without a body; *moved* is the version whose value was moved."""

    document: Any
    moved: Version[Any] | None = None
    status: int = 200


def parameters(body: bytes, wanted: type[_T]) -> _T:
    """The body of a request. Raises KeyVaultError."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.bad_parameter(f"The request body can't be read: {error}.") from error


def page_of(query: Mapping[str, str]) -> tuple[str, int]:
    """After which mark a page starts and how long it may be. Raises KeyVaultError."""
    size = query.get("maxresults", str(PAGE_SIZE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size[:6]) <= PAGE_SIZE):
        raise errors.bad_parameter(f"The parameter maxresults must be between 1 and {PAGE_SIZE}.")
    token = query.get("$skiptoken", "")
    try:
        after = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise errors.bad_parameter("The parameter $skiptoken is invalid.") from error
    return after, int(size)


def paged(
    items: Sequence[Mapping[str, Any]], marks: Sequence[str], path: str, size: int, given: Input
) -> dict[str, Any]:
    """One page of *items*, which hold one more than fits when there is another page."""
    if len(items) <= size:
        return {"value": items, "nextLink": None}
    token = base64.urlsafe_b64encode(marks[size - 1].encode()).decode().rstrip("=")
    # Real links name the port, and clients treat :443 and none as the same authority.
    host = given.origin if ":" in given.origin.removeprefix("https://") else f"{given.origin}:443"
    link = f"{host}{path}?api-version={quote(given.api_version)}&$skiptoken={token}&maxresults={size}"
    return {"value": items[:size], "nextLink": link}
