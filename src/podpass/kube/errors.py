"""How a request to an API server fails.

Contract: Kubernetes API surface, section 2.3.
"""

import asyncio
import os

import msgspec

from podpass.kube.objects import Obj
from podpass.telemetry.redaction import redact_text

MAX_MESSAGE = 1024


class ApiError(Exception):
    """The API server refused. *reason* is the machine-readable word ("NotFound"), *status* the HTTP code.

    *body* is the Status object, or empty when something else answered (a proxy, say).
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        body: Obj | None = None,
        *,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{reason or status}: {message}" if message else reason or str(status))
        self.status, self.reason, self.message, self.body = status, reason, message, body or {}
        self.retry_after_seconds = retry_after_seconds

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.reason == "Conflict"

    @property
    def already_exists(self) -> bool:
        return self.reason == "AlreadyExists"

    @property
    def expired(self) -> bool:
        """The resourceVersion or continue token is too old: list again from the start."""
        return self.status == 410 or self.reason in ("Expired", "Gone")


class Unreachable(Exception):
    """No answer came from the API server: refused, cut, timed out, not verified. A write may have happened."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"{server}: {reason}")
        self.server, self.reason = server, reason


class AnswerUnusable(Exception):
    """The answer was too large or not what the API server sends."""


def api_error(status: int, body: bytes, retry_after: str = "") -> ApiError:
    """The refusal in an answer's *body*; *status* 0 means that only the body knows it."""
    wait = float(retry_after) if retry_after.isdigit() else None
    try:
        document = msgspec.json.decode(body, type=Obj)
    except msgspec.MsgspecError:
        document = {}
    if document.get("kind") != "Status":
        # Not the API server's words: say little, for it may be anything.
        text = redact_text(body[:256].decode("utf-8", "replace")).strip()
        return ApiError(status, "", text, retry_after_seconds=wait)
    details = document.get("details")
    if wait is None and isinstance(details, dict) and isinstance(details.get("retryAfterSeconds"), int):
        wait = float(details["retryAfterSeconds"]) or None
    code = document.get("code")
    return ApiError(
        status or (code if isinstance(code, int) else 500),
        str(document.get("reason") or ""),
        redact_text(str(document.get("message") or ""))[:MAX_MESSAGE],
        document,
        retry_after_seconds=wait,
    )


def reason(error: BaseException) -> str:
    """Why a connection failed, in a few words."""
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "no answer in time"
    # What aiohttp says of a failed connection shows objects of Python.
    cause = getattr(error, "os_error", None)
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return redact_text(str(error))[:256] or type(error).__name__
