"""What the gateway answers when no service does: the `error` envelope that Azure's services and Graph share."""

import uuid
from datetime import UTC, datetime

from podpass.lab.doors.names import Route
from podpass.serving.asgi import Response, Scope, json_response


def bad_host() -> Response:
    return _envelope(400, "BadRequest", "The request must have exactly one Host header.")


def not_emulated(host: str, why: str) -> Response:
    """421: the connection reached a server that does not stand for this host (RFC 9110, section 15.5.20)."""
    return _envelope(421, "HostNotEmulated", f"{host}: {why}.")


def not_served(route: Route, scope: Scope) -> Response:
    """501 for a host whose service the lab knows by name only; Graph's has its `innerError`.

    Contract: azure surface, section 5 ("Error shape").
    """
    message = f"The lab does not emulate {route.host}."
    if route.service != "graph":
        return _envelope(501, "NotImplemented", message)
    request_id = str(uuid.uuid4())
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"client-request-id"]
    inner = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": given[0] if given else request_id,
    }
    error = {"code": "NotImplemented", "message": message, "innerError": inner}
    return json_response(501, {"error": error}, [("request-id", request_id)])


def _envelope(status: int, code: str, message: str) -> Response:
    return json_response(status, {"error": {"code": code, "message": message}})
