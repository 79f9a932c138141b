"""The calls on secrets: which one a request is, and what it does once it is allowed.

Contract: secrets store, section 3.3.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.keyvault import errors, rendering
from podpass.lab.keyvault.model import (
    PAGE_SIZE,
    Operation,
    RestoreParameters,
    SecretVersion,
    SetParameters,
    UpdateParameters,
)
from podpass.lab.keyvault.secrets import Secrets

OTHER_KINDS = frozenset(
    ("keys", "certificates", "deletedkeys", "deletedcertificates", "rng", "storage", "deletedstorage")
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks of secrets."""

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
    """*document* is None for an answer without a body; *secret* is the version whose value was moved."""

    document: Any
    secret: SecretVersion | None = None


def call_of(method: str, path: str) -> Call:
    """The call that a request makes. A trailing slash stands for the newest version.

    Raises KeyVaultError for an unknown path, another method, and what the lab does not emulate.
    """
    segments = [segment for segment in path.split("/") if segment]
    kind, rest = (segments[0].lower(), segments[1:]) if segments else ("", [])
    table: Mapping[str, Call]
    if kind in OTHER_KINDS:
        raise errors.not_emulated(f"the {kind} of a vault")
    match kind, rest:
        case "secrets", []:
            table = {"GET": Call(Operation.LIST)}
        case "secrets", ["restore"] if method == "POST":
            table = {"POST": Call(Operation.RESTORE)}
        case "secrets", [name]:
            table = {
                "GET": Call(Operation.GET, name),
                "PUT": Call(Operation.SET, name),
                "PATCH": Call(Operation.UPDATE, name),
                "DELETE": Call(Operation.DELETE, name),
            }
        case "secrets", [name, "versions"]:
            table = {"GET": Call(Operation.VERSIONS, name)}
        case "secrets", [name, "backup"]:
            table = {"POST": Call(Operation.BACKUP, name)}
        case "secrets", [name, version]:
            table = {"GET": Call(Operation.GET, name, version), "PATCH": Call(Operation.UPDATE, name, version)}
        case "deletedsecrets", []:
            table = {"GET": Call(Operation.LIST_DELETED)}
        case "deletedsecrets", [name]:
            table = {"GET": Call(Operation.GET_DELETED, name), "DELETE": Call(Operation.PURGE, name)}
        case "deletedsecrets", [name, "recover"]:
            table = {"POST": Call(Operation.RECOVER, name)}
        case _:
            raise errors.not_found(path)
    if method not in table:
        raise errors.method_not_allowed(method)
    return table[method]


def run(secrets: Secrets, call: Call, given: Input) -> Result:
    """Do what is allowed. Raises KeyVaultError."""
    return _RUNNERS[call.operation](secrets, call, given)


def _set(secrets: Secrets, call: Call, given: Input) -> Result:
    secret = secrets.put(given.vault, call.name, _parameters(given.body, SetParameters))
    return Result(rendering.bundle(secret, given.vault, given.origin), secret)


def _get(secrets: Secrets, call: Call, given: Input) -> Result:
    secret = secrets.get(given.vault, call.name, call.version)
    if not secret.enabled:
        raise errors.secret_disabled(given.vault.name, call.name, "get")
    return Result(rendering.bundle(secret, given.vault, given.origin), secret)


def _update(secrets: Secrets, call: Call, given: Input) -> Result:
    wanted = _parameters(given.body, UpdateParameters)
    secret = secrets.update(given.vault, call.name, call.version, wanted)
    return Result(rendering.bundle(secret, given.vault, given.origin, with_value=False))


def _list(secrets: Secrets, call: Call, given: Input) -> Result:
    after, size = _page(given.query)
    found = secrets.page(given.vault, after=after, limit=size + 1)
    items = [rendering.item(one, given.vault, given.origin, with_version=False) for one in found]
    return Result(_paged(items, [one.name.lower() for one in found], "/secrets", size, given))


def _versions(secrets: Secrets, call: Call, given: Input) -> Result:
    after, size = _page(given.query)
    found = secrets.versions(given.vault, call.name, after=after, limit=size + 1)
    items = [rendering.item(one, given.vault, given.origin, with_version=True) for one in found]
    path = f"/secrets/{call.name}/versions"
    return Result(_paged(items, [one.version for one in found], path, size, given))


def _delete(secrets: Secrets, call: Call, given: Input) -> Result:
    return Result(rendering.deleted_bundle(secrets.delete(given.vault, call.name), given.vault, given.origin))


def _get_deleted(secrets: Secrets, call: Call, given: Input) -> Result:
    return Result(rendering.deleted_bundle(secrets.get_deleted(given.vault, call.name), given.vault, given.origin))


def _list_deleted(secrets: Secrets, call: Call, given: Input) -> Result:
    after, size = _page(given.query)
    found = secrets.page_of_deleted(given.vault, after=after, limit=size + 1)
    items = [rendering.deleted_bundle(one, given.vault, given.origin, with_version=False) for one in found]
    return Result(_paged(items, [one.newest.name.lower() for one in found], "/deletedsecrets", size, given))


def _recover(secrets: Secrets, call: Call, given: Input) -> Result:
    secret = secrets.recover(given.vault, call.name)
    return Result(rendering.bundle(secret, given.vault, given.origin, with_value=False))


def _purge(secrets: Secrets, call: Call, given: Input) -> Result:
    secrets.purge(given.vault, call.name)
    return Result(None)


def _backup(secrets: Secrets, call: Call, given: Input) -> Result:
    return Result({"value": secrets.backup(given.vault, call.name)})


def _restore(secrets: Secrets, call: Call, given: Input) -> Result:
    secret = secrets.restore(given.vault, _parameters(given.body, RestoreParameters).value)
    return Result(rendering.bundle(secret, given.vault, given.origin, with_value=False))


_RUNNERS: Mapping[Operation, Callable[[Secrets, Call, Input], Result]] = {
    Operation.SET: _set,
    Operation.GET: _get,
    Operation.UPDATE: _update,
    Operation.LIST: _list,
    Operation.VERSIONS: _versions,
    Operation.DELETE: _delete,
    Operation.GET_DELETED: _get_deleted,
    Operation.LIST_DELETED: _list_deleted,
    Operation.RECOVER: _recover,
    Operation.PURGE: _purge,
    Operation.BACKUP: _backup,
    Operation.RESTORE: _restore,
}


def _parameters(body: bytes, wanted: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.bad_parameter(f"The request body can't be read: {error}.") from error


def _page(query: Mapping[str, str]) -> tuple[str, int]:
    size = query.get("maxresults", str(PAGE_SIZE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size[:6]) <= PAGE_SIZE):
        raise errors.bad_parameter(f"The parameter maxresults must be between 1 and {PAGE_SIZE}.")
    token = query.get("$skiptoken", "")
    try:
        after = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise errors.bad_parameter("The parameter $skiptoken is invalid.") from error
    return after, int(size)


def _paged(
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
