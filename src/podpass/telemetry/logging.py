"""Structured logs: JSON for machines, coloured lines for a terminal, no secrets in either.

Nothing happens at import: each `run()` makes its own logger and hands it down. An event is a dotted past-tense name
with keys, such as `token.issued issuer=… subject=… token=sha256:1a2b3c4d`.
"""

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import msgspec

from podpass.importing import without_rich
from podpass.telemetry.colour import wants_colour
from podpass.telemetry.redaction import may_hold_secret, redact

with without_rich():
    import structlog

Level = Literal["debug", "info", "warning", "error"]
Logger = structlog.typing.FilteringBoundLogger

_LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    # The upstream webhook's names; it has no level between debug and everything.
    "trace": logging.DEBUG,
    "all": logging.DEBUG,
    "": logging.INFO,
}
_ENCODER = msgspec.json.Encoder(enc_hook=str)
_PLAIN = frozenset({str, int, float, bool, type(None)})


def make_logger(
    component: str,
    *,
    level: str = "info",
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Logger:
    """A logger of its own, on *stream* (standard error): JSON lines, or coloured ones when it is a terminal.

    Raises KeyError for an unknown level.
    """
    out = stream if stream is not None else sys.stderr
    terminal = out.isatty()
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if terminal:
        processors += [redacting, structlog.dev.ConsoleRenderer(colors=wants_colour(out, environ or os.environ))]
    else:
        processors.append(redacted_json_line)
    logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return cast("Logger", logger.bind(component=component))


def redacting(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor that replaces what is shaped like a token, a credential or a key, wherever it stands."""
    for key, value in event.items():
        if not isinstance(value, bool | int | float) and value is not None:
            event[key] = redact(value)
    return event


class StandardHandler(logging.Handler):
    """Brings what libraries log through the standard module into *logger*, redacted like the rest."""

    def __init__(self, logger: Logger, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            values: dict[str, Any] = {"source": record.name, "message": record.getMessage()}
            if record.exc_info:
                values["exc_info"] = record.exc_info
            self._logger.log(record.levelno, "library.reported", **values)
        except (TypeError, ValueError):
            self.handleError(record)


def redacted_json_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """What `redacting` leaves of *event*, as a line of JSON."""
    # The time and the event first: people read these lines too.
    ordered = {"timestamp": event.pop("timestamp", None), "level": event.pop("level", None), **event}
    # Most lines hold texts and numbers without a secret: one look at the whole line spares a look at each.
    if all(type(value) in _PLAIN for value in ordered.values()):
        line = _ENCODER.encode(ordered).decode()
        if not may_hold_secret(line):
            return line
    return _ENCODER.encode(redacting(_logger, _method, ordered)).decode()
