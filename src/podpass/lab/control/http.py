"""The control socket's routes."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from podpass.lab.doors.traffic import Traffic
from podpass.lab.journal import Journal, event_members
from podpass.problems import PodpassError
from podpass.serving.asgi import (
    App,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    answering,
    json_response,
    request_of,
)

MAX_BODY = 64 * 1024


class Controlled(Protocol):
    """What the control socket needs of a lab."""

    journal: Journal
    traffic: Traffic

    def status(self) -> dict[str, Any]: ...

    def advance(self, seconds: float) -> None:
        """Raises ValueError when the time can't move so."""
        ...

    def set_faults(self, values: dict[str, Any]) -> dict[str, Any]:
        """Raises ValueError for what is not a fault."""
        ...

    def signing_keys(self) -> list[dict[str, Any]]: ...

    async def rotate_signing_keys(self, *, withdraw: bool) -> list[dict[str, Any]]: ...

    def revoke_tokens(self, name: str) -> dict[str, Any]:
        """Raises PodpassError when there is not exactly one of that name."""
        ...

    def forget_issuer_keys(self) -> None: ...

    def images_in_use(self) -> list[dict[str, str]]: ...

    def export(self, *, with_secret_values: bool) -> str:
        """What is in the clouds, as the text of a scenario."""
        ...

    def nodes_of(self, cluster: str = "") -> "ControlledNodes":
        """Of the lab's own cluster, or of another. Raises PodpassError where they are none of the lab's."""
        ...

    def kubeconfig(self, cluster: str = "") -> dict[str, str]:
        """Of the lab's own cluster, or of another: the file, and who signs for people. Raises PodpassError."""
        ...


class ControlledNodes(Protocol):
    """The lab's nodes. Each call answers a node as `podpass lab node` shows it; all raise PodpassError."""

    async def listed(self) -> list[dict[str, Any]]: ...

    async def add(self, name: str = "") -> dict[str, Any]: ...

    async def start(self, name: str) -> dict[str, Any]: ...

    async def stop(self, name: str) -> dict[str, Any]: ...

    async def remove(self, name: str) -> dict[str, Any]: ...


class NewNode(msgspec.Struct, forbid_unknown_fields=True):
    """The body that adds a node; without a name it gets the first free one."""

    name: str = ""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """The body that rotates Entra's signing keys."""

    withdraw: bool = False


def control_app(lab: Controlled, request_stop: Callable[[], None]) -> App:
    async def handle(request: Request) -> Response:
        try:
            if request.path == "/nodes" or request.path.startswith("/nodes/"):
                return await _answer_nodes(lab, request)
            if (request.method, request.path) == ("POST", "/signing-keys"):
                withdraw = msgspec.json.decode(request.body, type=Rotation).withdraw
                return json_response(200, await lab.rotate_signing_keys(withdraw=withdraw))
            return _answer(lab, request, request_stop)
        except PodpassError as error:
            return json_response(409, error.members())
        except (ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
            return json_response(400, {"error": str(error)})
        except (sqlite3.Error, OSError) as error:
            return json_response(500, {"error": f"nothing was changed, as the lab's state can't be written: {error}"})

    whole = answering(handle, max_body=MAX_BODY, too_large=lambda _: json_response(413, {"error": "too large"}))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/journal" and b"follow=true" in scope["query_string"]:
            after = int(request_of(scope).query.get("after", "0"))
            await _stream(lab.journal, after, send)
        else:
            await whole(scope, receive, send)

    return app


def _answer(lab: Controlled, request: Request, request_stop: Callable[[], None]) -> Response:
    match (request.method, request.path):
        case ("GET", "/status"):
            return json_response(200, lab.status())
        case ("GET", "/journal"):
            events = lab.journal.events(
                after=int(request.query.get("after", "0")),
                trace=request.query.get("trace", ""),
                limit=min(int(request.query.get("limit", "1000")), 20_000),
            )
            return json_response(200, [event_members(event) for event in events])
        case ("POST", "/advance"):
            lab.advance(float(msgspec.json.decode(request.body)["seconds"]))
            return json_response(200, lab.status()["clock"])
        case ("PUT", "/faults"):
            return json_response(200, lab.set_faults(msgspec.json.decode(request.body, type=dict[str, Any])))
        case ("POST", "/revocations"):
            return json_response(200, lab.revoke_tokens(str(msgspec.json.decode(request.body)["name"])))
        case ("GET", "/signing-keys"):
            return json_response(200, lab.signing_keys())
        case ("DELETE", "/issuer-keys"):
            lab.forget_issuer_keys()
            return json_response(200, {})
        case ("GET", "/images-in-use"):
            return json_response(200, lab.images_in_use())
        case ("GET", "/kubeconfig"):
            return json_response(200, lab.kubeconfig(request.query.get("cluster", "")))
        case ("GET", "/traffic"):
            after = int(request.query.get("after", "0"))
            return json_response(200, [asdict(one) for one in lab.traffic.after(after)])
        case ("GET", "/scenario"):
            values = request.query.get("secret-values", "false") == "true"
            return json_response(200, {"scenario": lab.export(with_secret_values=values)})
        case ("POST", "/stop"):
            request_stop()
            return json_response(202, {"stopping": True})
        case _:
            return json_response(404, {"error": f"there is no {request.method} {request.path}"})


async def _answer_nodes(lab: Controlled, request: Request) -> Response:
    nodes = lab.nodes_of(request.query.get("cluster", ""))
    match (request.method, [unquote(part) for part in request.raw_path.split("/")[2:]]):
        case ("GET", []):
            return json_response(200, await nodes.listed())
        case ("POST", []):
            return json_response(201, await nodes.add(msgspec.json.decode(request.body, type=NewNode).name))
        case ("POST", [name, "start"]):
            return json_response(200, await nodes.start(name))
        case ("POST", [name, "stop"]):
            return json_response(200, await nodes.stop(name))
        case ("DELETE", [name]):
            return json_response(200, await nodes.remove(name))
        case _:
            return json_response(404, {"error": f"there is no {request.method} {request.path}"})


async def _stream(journal: Journal, after: int, send: Send) -> None:
    headers = [(b"Content-Type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # An empty line now tells the follower that it is connected, even when nothing has happened yet.
    await send({"type": "http.response.body", "body": b"\n", "more_body": True})
    async with contextlib.aclosing(journal.follow(after=after)) as events:
        async for event in events:
            line = msgspec.json.encode(event_members(event)) + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
