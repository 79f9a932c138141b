"""What NMI answers: texts as the original's, or JSON as the metadata service's where that is asked for.

Contract: pod identity, sections 3.7, 3.9 and 9 (18).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from podpass.imds.errors import METADATA_MISSING
from podpass.nmi.tokens import Refused, Token, Unavailable
from podpass.serving.asgi import Response, json_response

RETRY_AFTER_SECONDS = 20
_JSON = "application/json; charset=utf-8"
_CODES = {400: "invalid_request", 403: "access_denied", 404: "not_found", 503: "service_unavailable"}


class Answers:
    """Makes answers in one of the two manners."""

    def __init__(self, *, json_errors: bool) -> None:
        self._json = json_errors

    def error(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        if self._json:
            body = {"error": _CODES.get(status, "server_error"), "error_description": text}
            return json_response(status, body, (("Content-Type", _JSON), *headers))
        plain = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
        return Response(status, f"{text}\n".encode(), (*plain, *headers))

    def metadata_missing(self) -> Response:
        body = msgspec.json.encode(METADATA_MISSING.to_dict()) + b"\n"
        return Response(400, body, (("Content-Type", _JSON), ("X-Content-Type-Options", "nosniff")))

    def not_selected(self, text: str, *, retry_later: bool) -> Response:
        if retry_later:
            return self.error(503, text, (("Retry-After", str(RETRY_AFTER_SECONDS)),))
        # Clients ask again and again after the original's 404; the metadata service's 400 is the end for them.
        return self.error(400 if self._json else 404, text)

    def no_token(self, outcome: Refused | Unavailable) -> Response:
        if isinstance(outcome, Unavailable):
            return self.error(503, outcome.why)
        return self.error(
            403,
            f"adal: Refresh request failed. Status Code = '{outcome.status}'. Response body: {outcome.body} "
            f"Endpoint {outcome.endpoint}",
        )


def token_answer(tokens: Sequence[Token], *, now: int, several: bool) -> Response:
    """The body of a token request; a list where the identity has auxiliary tenants."""
    bodies = [_body(token, now) for token in tokens]
    return json_response(200, bodies if several else bodies[0])


def host_token_answer(token: Token, client_id: str, *, now: int) -> Response:
    return json_response(200, {"token": _body(token, now), "clientid": client_id})


def _body(token: Token, now: int) -> dict[str, Any]:
    return {
        "access_token": token.access_token,
        "refresh_token": "",
        "expires_in": str(max(token.expires_on - now, 0)),
        "expires_on": str(token.expires_on),
        "not_before": str(token.not_before),
        "resource": token.resource,
        "token_type": "Bearer",
    }
