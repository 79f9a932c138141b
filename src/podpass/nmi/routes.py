"""Where a request goes, by its path alone.

Contract: pod identity, sections 3.3 and 9 (1).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from podpass.imds.requests import INFO_PATH, TOKEN_PATH
from podpass.nmi.paths import MAX_PATH, NotAPath, canonical

HOST_TOKEN_PATH = "/host/token"  # noqa: S105 - a path
_IDENTITY = "/metadata/identity"
_INSTANCE = "/metadata/instance"
_TOKEN_LIKE = re.compile(r"oauth2.*token|identity.*token")
"""Wherever it stands: who reads `metadata.` as `metadata` would find the token path."""


class Handler(StrEnum):
    """Who answers; the values are what metrics call them."""

    TOKEN = "token"  # noqa: S105 - a name
    """A pod's own request for a token."""
    HOST_TOKEN = "host_token"  # noqa: S105 - a name
    """A request of a program on the node in the name of a pod."""
    BLOCKED = "blocked"
    """The instance document, where it is to be kept from pods."""
    INVALID = "invalid"
    """What would be a token request for whoever stands behind, or is unknown below the identity path."""
    PASS = "pass"  # noqa: S105 - a name
    """Everything else: handed on to the metadata service."""


@dataclass(frozen=True, slots=True)
class Route:
    """The handler, and the path to hand on: the canonical one, on which was decided."""

    handler: Handler
    path: str = ""


def route(raw_path: str, *, block_instance_metadata: bool = False) -> Route:
    """Where *raw_path* leads, the path as sent, without its query."""
    if len(raw_path) > MAX_PATH:
        # Before it would be remembered.
        return Route(Handler.INVALID)
    return _route(raw_path, block_instance_metadata)


# Pods ask for the same few paths over and over.
@lru_cache(maxsize=256)
def _route(raw_path: str, block_instance_metadata: bool) -> Route:
    try:
        path = canonical(raw_path)
    except NotAPath:
        return Route(Handler.INVALID)
    return Route(_handler(raw_path, path.lower(), block_instance_metadata), path)


def _handler(raw_path: str, path: str, block_instance_metadata: bool) -> Handler:
    if path.startswith(TOKEN_PATH):
        # Of the real service's path only the first word may differ in letter case.
        head, _, rest = raw_path.removeprefix("/").partition("/")
        return Handler.TOKEN if f"/{head.lower()}/{rest}".startswith(TOKEN_PATH) else Handler.INVALID
    if path.startswith(HOST_TOKEN_PATH):
        return Handler.HOST_TOKEN if raw_path.startswith(HOST_TOKEN_PATH) else Handler.INVALID
    if path.startswith(_IDENTITY):
        return Handler.PASS if path == INFO_PATH else Handler.INVALID
    if _TOKEN_LIKE.search(path):
        return Handler.INVALID
    if block_instance_metadata and path.startswith(_INSTANCE):
        return Handler.BLOCKED
    return Handler.PASS
