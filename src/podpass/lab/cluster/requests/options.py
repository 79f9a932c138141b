"""The query parameters of the API, checked: what to list, where to go on, how to write.

Contract: Kubernetes API surface, sections 1.5, 2.4, 2.5, 2.6.
"""

import base64
import binascii
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    SelectorSyntax,
    parse_fields,
    parse_labels,
)
from podpass.kube.status import Cause, StatusError, forbidden_field, invalid, not_supported, too_long
from podpass.lab.cluster.collection import Key, Stored
from podpass.lab.cluster.extension import SYSTEM, SubresourceCall, User
from podpass.lab.cluster.managedfields.tracking import MAX_MANAGER_CHARACTERS
from podpass.lab.cluster.registry import Kind

NEWEST = -1
"""In a continue token: go on with whatever there is now."""
FieldValidation = Literal["Strict", "Warn", "Ignore"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a list or watch is about."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = field(default_factory=FieldSelector)

    def __bool__(self) -> bool:
        return bool(self.labels) or bool(self.fields)

    def accepts(self, kind: Kind) -> Callable[[Stored], bool] | None:
        """The test for one stored object; None when everything passes."""
        if not self:
            return None
        labels, fields = self.labels, self.fields

        def matches(stored: Stored) -> bool:
            for term in fields.requirements:
                # Watches of one object by its name are the most frequent ones; they need no decoding.
                if term.key == "metadata.name" and (stored.key[1] == term.value) != term.equal:
                    return False
                if term.key == "metadata.namespace" and (stored.key[0] == term.value) != term.equal:
                    return False
            if labels and not labels.matches(stored.labels):
                return False
            if all(term.key in _IDENTITY for term in fields.requirements):
                return True
            if kind.from_stored is not None and kind.converts(stored.rv):
                return fields.matches(kind.fields(kind.from_stored(stored.object())))
            return fields.matches(stored.fields(kind.fields))

        return matches


_IDENTITY = ("metadata.name", "metadata.namespace")


def selection(kind: Kind, query: Mapping[str, str]) -> Selection:
    """Raises StatusError 400 for selectors that can't be read, or ask for a field the kind does not offer."""
    if not query.get("labelSelector") and not query.get("fieldSelector"):
        return Selection()
    try:
        labels = parse_labels(query.get("labelSelector", ""))
        fields = parse_fields(query.get("fieldSelector", ""))
    except SelectorSyntax as error:
        raise StatusError.bad_request(str(error)) from error
    for term in fields.requirements:
        if term.key not in _IDENTITY and term.key not in kind.field_names:
            if kind.built_in and not kind.field_names:
                known = ", ".join(f'"{name}"' for name in _IDENTITY)
                raise StatusError.bad_request(f'"{term.key}" is not a known field selector: only {known}')
            raise StatusError.bad_request(f"field label not supported: {term.key}")
    return Selection(labels, fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """One page of a list: from which state, after which object, how many."""

    selection: Selection
    limit: int = 0
    at: int | None = None
    """The resourceVersion the list must show; None: the newest."""
    after: Key | None = None


def list_options(kind: Kind, namespace: str, query: Mapping[str, str], *, newest: int) -> ListOptions:
    """Raises StatusError (400, 410, 422, 504)."""
    limit = _number(query, "limit")
    _number(query, "timeoutSeconds")
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    causes: list[Cause] = []
    if query.get("sendInitialEvents"):
        causes.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if match:
        if not version:
            causes.append(
                forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if query.get("continue"):
            causes.append(
                forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if match not in ("Exact", "NotOlderThan"):
            causes.append(not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        elif match == "Exact" and version == "0":
            causes.append(
                forbidden_field(
                    "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                )
            )
    _refuse(causes)
    chosen = selection(kind, query)
    if token := query.get("continue", ""):
        if version not in ("", "0"):
            raise StatusError.bad_request("specifying resource version is not allowed when using continue")
        at, after = _read_continue(token, namespace)
        check_not_ahead(at, newest)
        return ListOptions(selection=chosen, limit=limit, at=None if at == NEWEST else at, after=after)
    wanted = resource_version(version)
    check_not_ahead(wanted, newest)
    return ListOptions(selection=chosen, limit=limit, at=wanted if match == "Exact" else None)


def resource_version(text: str) -> int:
    """0 for an absent one. Raises StatusError 400."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise StatusError.bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text[:64]}": '
            f'strconv.ParseUint: parsing "{text[:64]}": invalid syntax'
        )
    return int(text)


def check_not_ahead(wanted: int, newest: int) -> None:
    """Raises StatusError 504 for a resourceVersion that this cluster has not reached."""
    if wanted > newest:
        raise StatusError.timeout(
            f"Timeout: Too large resource version: {wanted}, current: {newest}",
            causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
            retry_after_seconds=1,
        )


class _Continue(msgspec.Struct, omit_defaults=True):
    """A continue token as the API server writes it: where the next page starts, below the collection's own path."""

    v: str = ""
    rv: int = 0
    start: str = ""


_CONTINUE_VERSION = "meta.k8s.io/v1"
_decode_continue = msgspec.json.Decoder(_Continue).decode


def continue_token(rv: int, namespace: str, last: Key) -> str:
    """The token for the page after *last* of a list of *namespace* (empty: of all of them)."""
    start = last[1] if namespace else "/".join(last) if last[0] else last[1]
    encoded = msgspec.json.encode(_Continue(_CONTINUE_VERSION, rv, start + "\0"))
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def _read_continue(token: str, namespace: str) -> tuple[int, Key]:
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_continue("illegal base64 data at input byte 0") from error
    try:
        found = _decode_continue(decoded)
    except (ValueError, msgspec.MsgspecError) as error:
        first = decoded.lstrip()[:1].decode("latin-1")
        raise _bad_continue(f"invalid character {first!r} looking for beginning of value") from error
    if found.v != _CONTINUE_VERSION:
        raise _bad_continue(f"server does not recognize this encoded version {found.v[:40]}")
    if found.rv == 0:
        raise _bad_continue(f"incorrect encoded start resourceVersion (version {found.v})")
    if not found.start:
        raise _bad_continue(f"encoded start key empty (version {found.v})")
    if not posixpath.normpath("/" + found.start) == "/" + found.start:
        raise _bad_continue(found.start[:80])
    first, slash, rest = found.start.partition("/")
    if namespace:
        return found.rv, (namespace, found.start)
    return found.rv, ((first, rest) if slash else ("", first))


def _bad_continue(why: str) -> StatusError:
    return StatusError.bad_request(f"invalid continue token: continue key is not valid: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """The query of a watch."""

    selection: Selection
    rv: int
    """Changes after this one; 0: start with what there is."""
    initial_events: bool
    """Begin with an ADDED for each object."""
    initial_bookmark: bool
    """Say with a bookmark when those are through."""
    bookmarks: bool
    timeout_seconds: int | None


def watch_options(kind: Kind, query: Mapping[str, str]) -> WatchOptions:
    """Raises StatusError (400, 422)."""
    match, send = query.get("resourceVersionMatch", ""), query.get("sendInitialEvents", "")
    causes: list[Cause] = []
    if send and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(forbidden_field("resourceVersionMatch", text))
    if match and not send:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(forbidden_field("resourceVersionMatch", text))
    if query.get("continue"):
        text = "resourceVersionMatch is forbidden when continue is provided"
        causes.append(forbidden_field("resourceVersionMatch", text))
    _refuse(causes)
    try:
        rv = resource_version(query.get("resourceVersion", ""))
    except StatusError as error:
        raise StatusError.unnamed(error.message.removeprefix("invalid resource version: ")) from error
    wants = is_true(send)
    bookmarks = is_true(query.get("allowWatchBookmarks", ""))
    return WatchOptions(
        selection=selection(kind, query),
        rv=rv,
        initial_events=wants or (rv == 0 and not send),
        initial_bookmark=wants and bookmarks,
        bookmarks=bookmarks,
        timeout_seconds=_number(query, "timeoutSeconds") or None,
    )


def is_true(text: str) -> bool:
    """Whether a boolean parameter is set; clients write `true`, `1`, `True`, or the bare name."""
    return text.lower() in ("true", "1", "t")


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise StatusError.bad_request(f'strconv.ParseInt: parsing "{text[:64]}": invalid syntax')
    return max(int(text), 0)


_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)


def check_timeout(text: str) -> None:
    """Raises StatusError 400 for a `timeout` that is no duration."""
    if text and not _DURATION.fullmatch(text):
        raise StatusError.bad_request(
            f'invalid timeout specified in the request URL - time: invalid duration "{text[:64]}"'
        )


def _refuse(causes: list[Cause]) -> None:
    if causes:
        raise StatusError.invalid_kind("meta.k8s.io", "ListOptions", "", causes)


@dataclass(slots=True, kw_only=True)
class Write:
    """How a write is made: by whom, under which manager's name, for real or dry, and what to tell the client."""

    user: User = SYSTEM
    manager: str = "kube-apiserver"
    dry_run: bool = False
    subresource: str = ""
    options: Obj = field(default_factory=dict)
    """What admission sees as the request's options."""
    field_validation: FieldValidation = "Warn"
    warnings: list[str] = field(default_factory=list)


def options_of(call: SubresourceCall) -> Write:
    """How a call that changes an object through its subresource is to be written. Raises StatusError 422."""
    write = write_options(
        call.request.query,
        user=call.user,
        user_agent=call.request.headers.get("user-agent", ""),
        kind="PatchOptions" if call.verb == "patch" else "UpdateOptions",
        subresource=call.subresource,
    )
    write.warnings = call.warnings
    return write


def write_options(query: Mapping[str, str], *, user: User, user_agent: str, kind: str, subresource: str = "") -> Write:
    """*kind* is CreateOptions, UpdateOptions, PatchOptions or DeleteOptions. Raises StatusError 422."""
    causes: list[Cause] = []
    dry_run = query.get("dryRun", "")
    if dry_run not in ("", "All"):
        causes.append(not_supported("dryRun", [dry_run], ("All",)))
    manager = query.get("fieldManager", "")
    if len(manager) > MAX_MANAGER_CHARACTERS:
        causes.append(too_long("fieldManager", MAX_MANAGER_CHARACTERS))
    elif not manager.isprintable():
        at, bad = next((index, each) for index, each in enumerate(manager) if not each.isprintable())
        text = f"invalid character U+{ord(bad):04X} (at position {at})"
        causes.append(invalid("fieldManager", manager, text))
    validation = query.get("fieldValidation", "") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        causes.append(not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if causes:
        raise StatusError.invalid_kind("meta.k8s.io", kind, "", causes)
    options: Obj = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if dry_run:
        options["dryRun"] = [dry_run]
    if manager:
        options["fieldManager"] = manager
    if "fieldValidation" in query:
        options["fieldValidation"] = validation
    agent = user_agent.partition("/")[0][:MAX_MANAGER_CHARACTERS]
    return Write(
        user=user,
        manager=manager or agent or "unknown",
        dry_run=bool(dry_run),
        subresource=subresource,
        options=options,
        field_validation=validation,  # type: ignore[arg-type]
    )
