"""How the lab's Graph refuses: codes, texts and the envelope.

Contract: Azure HTTP surface, section 5.
"""

from typing import Any

from podpass.azure.clouds import PUBLIC
from podpass.lab.entra.access import Refusal


class GraphError(Exception):
    """A refusal as Graph words it."""

    def __init__(self, status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"({code}) {message}")
        self.status, self.code, self.message, self.headers = status, code, message, headers

    def to_dict(self, *, date: str, request_id: str, client_request_id: str) -> dict[str, Any]:
        inner = {"date": date, "request-id": request_id, "client-request-id": client_request_id}
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}


def token_missing() -> GraphError:
    return GraphError(401, "InvalidAuthenticationToken", "Access token is empty.")


def token_refused(refusal: Refusal) -> GraphError:
    challenge = (
        f'Bearer realm="", authorization_uri="{PUBLIC.authority}/common/oauth2/authorize", '
        f'client_id="00000003-0000-0000-c000-000000000000"{refusal.challenge}'
    )
    return GraphError(401, "InvalidAuthenticationToken", refusal.message, headers=(("WWW-Authenticate", challenge),))


def not_permitted() -> GraphError:
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def not_for_applications() -> GraphError:
    return GraphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")


def bad_request(message: str) -> GraphError:
    return GraphError(400, "Request_BadRequest", message)


def not_found(name: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{name[:128]}' does not exist or one of its queried reference-property objects are not present.",
    )


def conflict(message: str, code: str = "Request_MultipleObjectsWithSameKeyValue") -> GraphError:
    return GraphError(409, code, message)


def not_stored(reason: str) -> GraphError:
    return GraphError(500, "InternalServerError", f"The change could not be stored: {reason}. Nothing was changed.")


def bad_body(why: str) -> GraphError:
    return GraphError(400, "BadRequest", f"Unable to read JSON request payload. {why}")


def too_large(limit: int) -> GraphError:
    return GraphError(413, "RequestEntityTooLarge", f"The request is larger than {limit} bytes.")


def not_emulated(what: str) -> GraphError:
    """For what exists in Graph and not in the lab: said openly, never answered with an invented result."""
    return GraphError(501, "NotImplemented", f"The lab does not emulate {what} of Microsoft Graph.")
