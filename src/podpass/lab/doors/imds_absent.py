"""The instance metadata service of a machine without identities, for programs on the host.

AZURE_POD_IDENTITY_AUTHORITY_HOST points them here, so that looking for a managed identity never leads to the link-local
address, which on a cloud machine is a real metadata service.
Contract: azure surface, section 3; pod identity, section 4.1.
"""

import re

from podpass.lab.journal import Hop, Journal
from podpass.serving.asgi import App, Request, Response, answering, json_response

TOKEN_PATH = "/metadata/identity/oauth2/token"  # noqa: S105 - a path
_OLDEST_VERSION = "2018-02-01"
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX_BODY = 4_096


def answer(request: Request) -> Response:
    """What a machine without identities says to *request*.

    Everything but the token path is 404; a sound token request is 400 `Identity not found`, which clients do not
    repeat (they do repeat a 404, for about 24 seconds).
    """
    if request.path != TOKEN_PATH:
        return _error(404, "not_found", f"{request.path[:100]} is not emulated")
    if request.method != "GET":
        return _error(405, "method_not_allowed", "Only GET is allowed")
    if request.headers.get("metadata", "").lower() != "true":
        return _error(400, "invalid_request", "Required metadata header not specified")
    if "x-forwarded-for" in request.headers:
        return _error(400, "invalid_request", "Requests with an X-Forwarded-For header are refused")
    names = [name for name, _ in request.query_list]
    if len(names) != len(set(names)):
        return _error(400, "invalid_request", "A query variable is given twice")
    version = request.query.get("api-version", "")
    if not version:
        return _error(400, "invalid_request", "Required query variable 'api-version' is missing")
    if not _VERSION.fullmatch(version) or version < _OLDEST_VERSION:
        return _error(400, "invalid_request", "Query variable 'api-version' is not a supported version")
    if not request.query.get("resource"):
        return _error(400, "invalid_request", "Required query variable 'resource' is missing")
    return _error(400, "invalid_request", "Identity not found")


def imds_absent(journal: Journal) -> App:
    """The app that gives these answers, each recorded."""

    async def handle(request: Request) -> Response:
        response = answer(request)
        journal.record(
            Hop(
                who="program on the host",
                whom="imds",
                what=f"{request.method} {request.path[:100]}",
                outcome="refused",
                why="this machine has no managed identity; tokens come by federation or from a service principal",
                decision={"resource": request.query.get("resource", "")[:200]},
                wire=str(response.status),
            )
        )
        return response

    return answering(
        handle, max_body=_MAX_BODY, too_large=lambda request: _error(413, "bad_request", "The body is too large")
    )


def _error(status: int, code: str, description: str) -> Response:
    return json_response(
        status,
        {"error": code, "error_description": description},
        [("Content-Type", "application/json; charset=utf-8"), ("Server", "IMDS/150.870.65.1854")],
    )
