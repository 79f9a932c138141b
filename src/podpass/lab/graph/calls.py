"""What the calls of all kinds of directory objects have in common: who asks, the body, the answer, pages.

Contract: Azure HTTP surface, section 5.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from podpass.lab.graph import errors
from podpass.serving.depth import is_deeper_than

ROOT = "https://graph.microsoft.com/v1.0"
PAGE_SIZE, MAX_PAGE_SIZE = 100, 999
MAX_DEPTH = 100

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be done. *path* are its parts after the version, *names* the names of objects among them."""

    method: str
    path: tuple[str, ...]
    tenant_id: str
    query: Mapping[str, str]
    body: bytes = field(repr=False)
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """*document* is None for an answer without a body. It may hold a new secret."""

    document: dict[str, Any] | None = field(repr=False)
    status: int = 200


def entity(kind: str, shown: Mapping[str, Any], status: int = 200) -> Answer:
    """One object of the collection *kind*."""
    return Answer({"@odata.context": f"{ROOT}/$metadata#{kind}/$entity", **shown}, status)


def collection(kind: str, path: str, found: Sequence[Mapping[str, Any]], call: Call) -> Answer:
    """A page of *found*, whose order is kept over pages by the objects' ids. Raises GraphError."""
    return page_of(kind, path, [(one["id"], one) for one in found], call, lambda one: one)


def page_of(
    kind: str, path: str, found: Iterable[tuple[str, _T]], call: Call, show: Callable[[_T], Mapping[str, Any]]
) -> Answer:
    """A page of objects that are *found* with their ids; only what is on it is shown. Raises GraphError."""
    after, size = _page(call.query)
    ordered = sorted((pair for pair in found if pair[0] > after), key=lambda pair: pair[0])
    value = [show(one) for _, one in ordered[:size]]
    document: dict[str, Any] = {"@odata.context": f"{ROOT}/$metadata#{kind}", "value": value}
    if len(ordered) > size:
        token = base64.urlsafe_b64encode(ordered[size - 1][0].encode()).decode()
        kept = [f"{name}={quote(text)}" for name, text in call.query.items() if name.lower() != "$skiptoken"]
        document["@odata.nextLink"] = f"{ROOT}/{path}?{'&'.join([*kept, f'$skiptoken={quote(token)}'])}"
    return Answer(document)


def of_version(answer: Answer, version: str) -> Answer:
    """*answer* with the addresses in it of another version of Graph."""
    if answer.document is None or version == "v1.0":
        return answer
    addresses = {
        name: text.replace("/v1.0/", f"/{version}/", 1)
        for name, text in answer.document.items()
        if name.startswith("@odata.")
    }
    return Answer({**answer.document, **addresses}, answer.status)


def parameters(body: bytes, wanted: type[_T]) -> _T:
    """The body of a request. Raises GraphError."""
    try:
        content = msgspec.json.decode(body or b"{}")
        if is_deeper_than(MAX_DEPTH, content):
            raise errors.bad_body(f"It is nested more than {MAX_DEPTH} deep.")
        return msgspec.convert(content, wanted)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise errors.bad_body(str(error)) from error


def _page(query: Mapping[str, str]) -> tuple[str, int]:
    for unknown in ("$search", "$expand", "$orderby", "$skip"):
        if unknown in query:
            raise errors.not_emulated(f"the query option {unknown}")
    size = query.get("$top", str(PAGE_SIZE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size[:6]) <= MAX_PAGE_SIZE):
        raise errors.bad_request(f"Invalid page size specified: '{size[:32]}'. Must be between 1 and 999 inclusive.")
    try:
        after = base64.urlsafe_b64decode(query.get("$skiptoken", "")).decode()
    except (binascii.Error, ValueError) as error:
        raise errors.bad_request("The query option $skiptoken is invalid.") from error
    return after, int(size)
