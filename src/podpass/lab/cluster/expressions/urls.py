"""The functions of CEL about URLs."""

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from podpass.lab.cluster.expressions.function import MAP, Function, makes, part


def _split(text: str) -> SplitResult:
    """As Go reads a request's URI: absolute, or a path that begins with a slash."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: {error}") from error
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return parts


def _url(text: str) -> dict[str, Any]:
    _split(text)
    return {"url": text}


def _of_url(read: Callable[[SplitResult], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda value: read(_split(part(value, "url")))


URLS = (
    Function("url", ("string",), MAP, _url),
    Function("isURL", ("string",), "bool", makes(_split)),
    Function("getScheme", (MAP,), "string", _of_url(lambda parts: parts.scheme), member=True),
    Function("getHost", (MAP,), "string", _of_url(lambda parts: parts.netloc.rpartition("@")[2]), member=True),
    Function("getHostname", (MAP,), "string", _of_url(lambda parts: parts.hostname or ""), member=True),
    Function("getPort", (MAP,), "string", _of_url(lambda parts: str(parts.port or "")), member=True),
    Function("getEscapedPath", (MAP,), "string", _of_url(lambda parts: parts.path), member=True),
    Function(
        "getQuery",
        (MAP,),
        "map<string, list<string>>",
        _of_url(lambda parts: parse_qs(parts.query, keep_blank_values=True)),
        member=True,
    ),
)
