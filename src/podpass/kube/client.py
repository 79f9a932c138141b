"""Requests to one API server: JSON in and out, typed refusals, bounded answers.

Reads are tried once more after a 401 (the token may just have been rotated). A POST or PATCH is never repeated,
because a lost answer does not say whether the write happened.
Contract: Kubernetes API surface, sections 1.4, 2.3-2.8, 8.1.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

import aiohttp
import msgspec

from podpass.kube.config import Access
from podpass.kube.credentials import CredentialsFailed
from podpass.kube.errors import AnswerUnusable, ApiError, Unreachable, api_error
from podpass.kube.http import CONNECT_SECONDS, Session
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource

__all__ = [
    "APPLY_PATCH",
    "CALL_FAILURES",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_MERGE_PATCH",
    "AnswerUnusable",
    "ApiError",
    "Client",
    "Listing",
    "RawAnswer",
    "Unreachable",
    "WatchEvent",
]

T = TypeVar("T")

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

CALL_FAILURES = (ApiError, Unreachable, AnswerUnusable, CredentialsFailed)
"""All that a request of this client raises when the API server, or the way to it, is at fault."""

PAGE_SIZE = 500
TIMEOUT_SECONDS = 30.0
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_EVENT_BYTES = 8 * 1024 * 1024
BOOKMARK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list, or one page of it, as of *resource_version*."""

    items: list[T]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """*type* is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark carries a resource_version and no object."""

    type: str
    object: T | None
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer's status, headers and body, undecoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _ListMetadata(msgspec.Struct, rename={"resource_version": "resourceVersion", "continue_token": "continue"}):
    resource_version: str = ""
    continue_token: str = ""


class _RawList(msgspec.Struct):
    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)
    items: list[msgspec.Raw] | None = None


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _VersionMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(msgspec.Struct):
    metadata: _VersionMetadata = msgspec.field(default_factory=_VersionMetadata)


_LIST = msgspec.json.Decoder(_RawList)
_EVENT = msgspec.json.Decoder(_RawEvent)
_VERSIONED = msgspec.json.Decoder(_Versioned)


class Client:
    """An API server, as an async context manager that owns one HTTP session.

    Every call raises ApiError, Unreachable, AnswerUnusable, or CredentialsFailed.
    """

    def __init__(
        self,
        access: Access,
        *,
        connector: aiohttp.BaseConnector | None = None,
        user_agent: str = "podpass",
        timeout_seconds: float = TIMEOUT_SECONDS,
        watch_read_seconds: float = 2 * BOOKMARK_SECONDS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.access = access
        self._watch_timeout = aiohttp.ClientTimeout(
            total=None, connect=min(timeout_seconds, CONNECT_SECONDS), sock_read=watch_read_seconds
        )
        self._session = Session(
            access,
            connector=connector,
            user_agent=user_agent,
            timeout_seconds=timeout_seconds,
            max_body_bytes=max_body_bytes,
        )

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, trace)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        return await self._object("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listing[Obj]:
        """The whole list, read in pages of one snapshot. Items carry apiVersion and kind."""
        items: list[Obj] = []
        version = ""
        async for page in self.pages(resource, namespace, label_selector=label_selector, field_selector=field_selector):
            items.extend(page.items)
            version = page.resource_version
        return Listing(items, version)

    @overload
    def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
    ) -> AsyncGenerator[Listing[Obj], None]: ...

    @overload
    def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        item_type: type[T],
    ) -> AsyncGenerator[Listing[T], None]: ...

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        item_type: type[Any] | None = None,
    ) -> AsyncGenerator[Listing[Any], None]:
        """The list, page by page; each item decoded as *item_type*, or as a dict that carries apiVersion and kind."""
        query = _selectors(label_selector, field_selector)
        query["limit"] = str(limit)
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(item_type or Obj)
        while True:
            body = await self._session.read("GET", resource.path(namespace), query=query)
            try:
                page = _LIST.decode(body)
                items = [decoder.decode(raw) for raw in page.items or ()]
            except msgspec.MsgspecError as error:
                raise AnswerUnusable(f"the list of {resource.plural}: {error}") from error
            if item_type is None:
                for item in items:
                    item.setdefault("apiVersion", resource.api_version)
                    item.setdefault("kind", resource.kind)
            yield Listing(items, page.metadata.resource_version, page.metadata.continue_token)
            if not page.metadata.continue_token:
                return
            query["continue"] = page.metadata.continue_token

    async def create(self, resource: Resource, obj: Obj, namespace: str | None = None, *, dry_run: bool = False) -> Obj:
        return await self._object("POST", resource.path(namespace), query=_dry_run(dry_run), body=obj)

    async def replace(
        self,
        resource: Resource,
        obj: Obj,
        namespace: str | None = None,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Obj:
        """Replaces the object that *obj*'s metadata names; a resourceVersion in it must be the stored one."""
        name = str(obj["metadata"]["name"])
        path = resource.path(namespace, name, subresource)
        return await self._object("PUT", path, query=_dry_run(dry_run), body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: object,
        namespace: str | None = None,
        *,
        subresource: str = "",
        content_type: str = MERGE_PATCH,
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Obj:
        """Changes part of an object; with APPLY_PATCH, *field_manager* is required."""
        query = _dry_run(dry_run)
        if field_manager:
            query["fieldManager"] = field_manager
        if force:
            query["force"] = "true"
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, query=query, body=patch, content_type=content_type)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_period_seconds: int | None = None,
        uid: str | None = None,
        propagation: str | None = None,
    ) -> Obj:
        """Answers the object, or a Status, as the kind does. *propagation* is Foreground, Background or Orphan."""
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return await self._object("DELETE", resource.path(namespace, name), body=options)

    async def create_subresource(
        self, resource: Resource, name: str, subresource: str, body: Obj, namespace: str | None = None
    ) -> Obj:
        """POST to `token`, `binding` or `eviction`."""
        return await self._object("POST", resource.path(namespace, name, subresource), body=body)

    @overload
    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
    ) -> AsyncGenerator[WatchEvent[Obj], None]: ...

    @overload
    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
        item_type: type[T],
    ) -> AsyncGenerator[WatchEvent[T], None]: ...

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
        item_type: type[Any] | None = None,
    ) -> AsyncGenerator[WatchEvent[Any], None]:
        """Changes after *resource_version*, until the server closes the stream.

        An ERROR event is raised as the ApiError it carries. A stream that stays silent for twice the bookmark
        interval is taken for dead and raises Unreachable.
        """
        query = _selectors(label_selector, field_selector)
        query["watch"] = "true"
        if resource_version:
            query["resourceVersion"] = resource_version
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        # A spread of lifetimes keeps a thousand watchers from coming back in the same second.
        query["timeoutSeconds"] = str(timeout_seconds or random.randint(300, 600))  # noqa: S311
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(item_type or Obj)
        path = resource.path(namespace)
        async with self._session.open("GET", path, query=query, timeout=self._watch_timeout) as answer:
            async for line in self._session.lines(answer, MAX_EVENT_BYTES):
                try:
                    event = _EVENT.decode(line)
                    if event.type == "ERROR":
                        raise api_error(0, bytes(event.object))
                    version = _VERSIONED.decode(event.object).metadata.resource_version
                    decoded = None if event.type == "BOOKMARK" else decoder.decode(event.object)
                except msgspec.MsgspecError as error:
                    raise AnswerUnusable(f"an event of {resource.plural}: {error}") from error
                yield WatchEvent(event.type, decoded, version)

    async def version(self) -> Obj:
        """The answer of /version: gitVersion, major, minor, platform."""
        return await self._object("GET", "/version")

    async def read(self, path: str, query: Mapping[str, str] | None = None, *, accept: str = "*/*") -> RawAnswer:
        """Any GET, its answer's body as it came."""
        async with self._session.open("GET", path, query=query, accept=accept) as answer:
            return RawAnswer(answer.status, answer.headers, await self._session.whole(answer))

    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """Any GET whose answer may never end, such as logs that are followed."""
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)
        async with self._session.open("GET", path, query=query, timeout=timeout) as answer:
            with self._session.failures_told():
                async for chunk in answer.content.iter_any():
                    yield chunk

    async def _object(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Obj:
        data = await self._session.read(method, path, query=query, body=body, content_type=content_type)
        try:
            return msgspec.json.decode(data, type=Obj)
        except msgspec.MsgspecError as error:
            raise AnswerUnusable(f"{method} {path}: {error}") from error


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    query: dict[str, str] = {}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    return query


def _dry_run(wanted: bool) -> dict[str, str]:
    return {"dryRun": "All"} if wanted else {}
