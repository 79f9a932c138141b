"""Status, the error body of the Kubernetes API, raised as values and rendered once.

Contract: Kubernetes API surface, section 2.3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.resources import Resource

NOT_FOUND = "FieldValueNotFound"
REQUIRED = "FieldValueRequired"
DUPLICATE = "FieldValueDuplicate"
INVALID = "FieldValueInvalid"
NOT_SUPPORTED = "FieldValueNotSupported"
FORBIDDEN = "FieldValueForbidden"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"
TYPE_INVALID = "FieldValueTypeInvalid"
MANAGER_CONFLICT = "FieldManagerConflict"

OBJECT_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of an object: which member, what kind of fault, and the text that follows the member's path."""

    reason: str
    message: str
    field: str = ""

    def to_dict(self) -> Obj:
        body: Obj = {}
        if self.reason:
            body["reason"] = self.reason
        if self.message:
            body["message"] = self.message
        if self.field:
            body["field"] = self.field
        return body


def required(field: str, detail: str = "") -> Cause:
    return Cause(REQUIRED, f"Required value: {detail}" if detail else "Required value", field)


def invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause(INVALID, f"Invalid value: {_quoted(value)}: {detail}", field)


def duplicate(field: str, value: Any) -> Cause:
    return Cause(DUPLICATE, f"Duplicate value: {_quoted(value)}", field)


def not_found(field: str, value: Any) -> Cause:
    return Cause(NOT_FOUND, f"Not found: {_quoted(value)}", field)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    allowed = ", ".join(f'"{each}"' for each in supported)
    return Cause(NOT_SUPPORTED, f"Unsupported value: {_quoted(value)}: supported values: {allowed}", field)


def forbidden_field(field: str, detail: str) -> Cause:
    return Cause(FORBIDDEN, f"Forbidden: {detail}", field)


def too_long(field: str, limit: int, what: str = "may not be more than {limit} bytes") -> Cause:
    text = what.format(limit=limit)
    return Cause(TOO_LONG, f"Too long: {text.removesuffix('s') if limit == 1 else text}", field)


def too_many(field: str, found: int, limit: int) -> Cause:
    return Cause(TOO_MANY, f"Too many: {found}: must have at most {limit} item{'' if limit == 1 else 's'}", field)


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause(TYPE_INVALID, f"Invalid value: {_quoted(value)}: {detail}", field)


@dataclass(eq=False)
class StatusError(Exception):
    """A request that the API refuses, as the Status object the client gets."""

    code: int
    reason: str
    message: str
    details: Obj | None = None
    retry_after_seconds: int | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())
    continue_token: str = ""
    """With which a list whose own token expired can go on, showing another moment."""

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    @property
    def causes(self) -> list[Obj]:
        return list((self.details or {}).get("causes", ()))

    def to_dict(self) -> Obj:
        metadata = {"continue": self.continue_token} if self.continue_token else {}
        body: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        details = dict(self.details or {})
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        # Empty details stay: `kubectl debug` reads the details of any 404 without asking whether there are some.
        if details or self.details is not None:
            body["details"] = details
        body["code"] = self.code
        return body

    @classmethod
    def bad_request(cls, message: str) -> "StatusError":
        return cls(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls) -> "StatusError":
        return cls(401, "Unauthorized", "Unauthorized")

    @classmethod
    def forbidden(
        cls, resource: Resource, name: str, why: str, *, causes: Sequence[Cause] = (), subresource: str = ""
    ) -> "StatusError":
        """The text names the object as the API server does: `pods "a" is forbidden: …`, without a name just `pods`."""
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        qualified = f"{plural}.{resource.group}" if resource.group else plural
        subject = f'{qualified} "{name}"' if name else qualified
        return cls(
            403, "Forbidden", f"{subject} is forbidden: {why}", _details(resource.group, plural, name, causes=causes)
        )

    @classmethod
    def forbidden_path(cls, why: str) -> "StatusError":
        """403 for a path that is no resource: `forbidden: User "u" cannot get path "/x"`."""
        return cls(403, "Forbidden", f"forbidden: {why}", {})

    @classmethod
    def not_found(cls, resource: Resource, name: str) -> "StatusError":
        return cls(
            404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource.group, resource.plural, name)
        )

    @classmethod
    def no_such_path(cls) -> "StatusError":
        """A resource or subresource that is not served, below a group that is."""
        return cls(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def method_not_allowed(cls, resource: Resource | None = None, verb: str = "") -> "StatusError":
        if resource is None:
            message = "the server does not allow this method on the requested resource"
            return cls(405, "MethodNotAllowed", message, {})
        return cls(
            405,
            "MethodNotAllowed",
            f'{verb} is not supported on resources of kind "{resource.qualified}"',
            _details(resource.group, resource.plural, ""),
        )

    @classmethod
    def not_acceptable(cls, message: str, details: Obj | None = None) -> "StatusError":
        return cls(406, "NotAcceptable", message, details)

    @classmethod
    def unsupported_media_type(cls, accepted: Sequence[str] = ()) -> "StatusError":
        """415; without *accepted* as the API server answers for patches."""
        if not accepted:
            return cls(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        return cls(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
        )

    @classmethod
    def patch_invalid(cls, patched: str, why: str) -> "StatusError":
        """422 for a patch that leaves something that can't be read as the object's kind. *patched*: how Go shows it."""
        cause = Cause(INVALID, f"Invalid value: {_quoted(patched)}: {why}", "patch")
        text = f' "" is invalid: patch: {cause.message}'
        return cls(422, "Invalid", text, {"causes": [cause.to_dict()]})

    @classmethod
    def unnamed(cls, message: str) -> "StatusError":
        """500 with no reason: errors that the API server passes on as they come."""
        return cls(500, "", message)

    @classmethod
    def too_large(cls, limit: int) -> "StatusError":
        return cls(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {})

    @classmethod
    def already_exists(cls, resource: Resource, name: str, *, generated: bool = False) -> "StatusError":
        message = f'{resource.qualified} "{name}" already exists'
        details = _details(resource.group, resource.plural, name)
        if not generated:
            return cls(409, "AlreadyExists", message, details)
        return cls(
            409,
            "AlreadyExists",
            f"{message}, the server was not able to generate a unique name for the object",
            details,
            retry_after_seconds=1,
        )

    @classmethod
    def precondition_failed(cls, resource: Resource, name: str, why: str) -> "StatusError":
        """409 for a DELETE of another object than the client meant; it names the kind, not the resource."""
        qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
        text = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
        return cls(409, "Conflict", text, _details(resource.group, resource.kind, name))

    @classmethod
    def conflict(
        cls, resource: Resource, name: str, why: str = OBJECT_MODIFIED, *, causes: Sequence[Cause] = ()
    ) -> "StatusError":
        return cls(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}',
            _details(resource.group, resource.plural, name, causes=causes),
        )

    @classmethod
    def apply_conflict(cls, causes: Sequence[Cause]) -> "StatusError":
        """Server-side apply met fields that other managers own with other values."""
        number = f"{len(causes)} conflict" + ("" if len(causes) == 1 else "s")
        text = f"{causes[0].message}: {causes[0].field}"
        if len(causes) > 1:
            by_manager: dict[str, list[str]] = {}
            for cause in causes:
                by_manager.setdefault(cause.message.replace("conflict", "conflicts", 1), []).append(cause.field)
            text = "\n".join(
                f"{manager}:\n" + "\n".join(f"- {path}" for path in paths) for manager, paths in by_manager.items()
            )
        return cls(
            409,
            "Conflict",
            f"Apply failed with {number}: {text}",
            {"causes": [cause.to_dict() for cause in causes]},
        )

    @classmethod
    def gone(cls, message: str) -> "StatusError":
        return cls(410, "Gone", message)

    @classmethod
    def expired(cls, message: str, *, continue_token: str = "") -> "StatusError":
        return cls(410, "Expired", message, continue_token=continue_token)

    @classmethod
    def invalid(cls, resource: Resource, name: str, causes: Sequence[Cause]) -> "StatusError":
        return cls.invalid_kind(resource.group, resource.kind, name, causes)

    @classmethod
    def invalid_kind(cls, group: str, kind: str, name: str, causes: Sequence[Cause]) -> "StatusError":
        """422 for a kind that is no resource, such as `ListOptions` of `meta.k8s.io`."""
        texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
        text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        qualified = f"{kind}.{group}" if group else kind
        return cls(
            422, "Invalid", f'{qualified} "{name}" is invalid: {text}', _details(group, kind, name, causes=causes)
        )

    @classmethod
    def too_many_requests(cls, message: str, *, retry_after_seconds: int = 1) -> "StatusError":
        return cls(429, "TooManyRequests", message, {}, retry_after_seconds=retry_after_seconds)

    @classmethod
    def internal(cls, why: str) -> "StatusError":
        message = f"Internal error occurred: {why}"
        return cls(500, "InternalError", message, {"causes": [{"message": why}]})

    @classmethod
    def timeout(
        cls, message: str, *, causes: Sequence[Cause] = (), retry_after_seconds: int | None = None
    ) -> "StatusError":
        return cls(
            504,
            "Timeout",
            message,
            {"causes": [cause.to_dict() for cause in causes]} if causes else {},
            retry_after_seconds=retry_after_seconds,
        )


def success(details: Obj | None = None, *, code: int | None = None) -> Obj:
    """The Status body of an action that returns no object."""
    body: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        body["details"] = details
    if code is not None:
        body["code"] = code
    return body


def deleted(resource: Resource, name: str, uid: str) -> Obj:
    """The Status body that DELETE answers for most kinds."""
    return success({**_details(resource.group, resource.plural, name), "uid": uid})


def _details(group: str, kind: str, name: str, *, causes: Sequence[Cause] = ()) -> Obj:
    details: Obj = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    if causes:
        details["causes"] = [cause.to_dict() for cause in causes]
    return details


def _quoted(value: Any) -> str:
    """The value as Go prints it in a field error: text in quotes, lists and objects as JSON, the rest plain."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
