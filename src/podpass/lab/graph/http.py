"""Graph over HTTP: the caller, the permission, the read.

Contract: Azure HTTP surface, section 5.
"""

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from podpass.lab.arm.principals import described, facts
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.entra.access import AccessTokens, Caller
from podpass.lab.entra.directory import Directory
from podpass.lab.graph import errors, model
from podpass.lab.graph.errors import GraphError
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.serving.asgi import App, Request, Response, answering, json_response

MAX_BODY = 256 * 1024
ROOT = "https://graph.microsoft.com/v1.0"
AUDIENCES = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")


class Graph:
    """The directory of each tenant as Graph shows it to those whom *may_read* names."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        journal: Journal,
        access_tokens: AccessTokens,
        *,
        may_read: Callable[[Caller], bool],
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._journal = journal
        self._access_tokens = access_tokens
        self._may_read = may_read
        self.app: App = answering(self._handle, max_body=MAX_BODY, too_large=self._too_large)

    async def _handle(self, request: Request) -> Response:
        caller = self._access_tokens.authenticate(request.headers.get("authorization"), audiences=AUDIENCES)
        if not isinstance(caller, Caller):
            error = errors.token_missing() if caller.code == "missing" else errors.token_refused(caller.message)
            self._record("unknown caller", request, "refused", caller.message, error.code)
            return self._rendered(request, error)
        who, known = described(self._directory, caller), facts(caller)
        try:
            context, found = self._read(request, caller)
        except GraphError as error:
            outcome: Outcome = "noted" if error.status == 501 else "refused"
            self._record(who, request, outcome, error.message, error.code, known)
            return self._rendered(request, error)
        self._record(who, request, "granted", "the lab's operator may read the directory", "", known)
        body = {"@odata.context": f"{ROOT}/$metadata#{context}", "value": found}
        return json_response(200, body, [("request-id", str(uuid.uuid4()))])

    def _read(self, request: Request, caller: Caller) -> tuple[str, list[dict[str, Any]]]:
        """What the request asks for, and the name of its kind. Raises GraphError."""
        match request.method, request.path.rstrip("/").lower():
            case "GET", "/v1.0/me":
                raise errors.not_for_applications()
            case "GET", "/v1.0/serviceprincipals" if "$filter" in request.query:
                self._require_permission(caller)
                name = model.name_asked_for(request.query["$filter"])
                if name is None:
                    raise errors.not_emulated("this filter on service principals")
                return "servicePrincipals", model.named(self._directory.applications(caller.tenant_id), name)
            case "POST", "/v1.0/directoryobjects/getbyids":
                self._require_permission(caller)
                asked = _ids(request.body)
                return "directoryObjects", model.with_ids(self._directory.applications(caller.tenant_id), asked)
        raise errors.not_emulated(f"{request.method} {request.path[:200]}")

    def _require_permission(self, caller: Caller) -> None:
        if not self._may_read(caller):
            raise errors.not_permitted()

    def _record(
        self, who: str, request: Request, outcome: Outcome, why: str, wire: str, known: dict[str, Any] | None = None
    ) -> None:
        what = f"{request.method} {request.path}"
        self._journal.record(
            Hop(who=who, whom="graph", what=what, outcome=outcome, why=why, decision=known or {}, wire=wire)
        )

    def _too_large(self, request: Request) -> Response:
        return self._rendered(request, errors.too_large(MAX_BODY))

    def _rendered(self, request: Request, error: GraphError) -> Response:
        request_id = str(uuid.uuid4())
        given = request.headers.get("client-request-id", "")
        client_request_id = given[:128] if given.isascii() and given.isprintable() and given else request_id
        date = rfc3339(self._clock.now()).removesuffix("Z")
        body = error.to_dict(date=date, request_id=request_id, client_request_id=client_request_id)
        return json_response(error.status, body, [("request-id", request_id)])


def _ids(body: bytes) -> model.ObjectIds:
    try:
        asked = msgspec.json.decode(body, type=model.ObjectIds)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise errors.bad_body(str(error)) from error
    if not 0 < len(asked.ids) <= model.MOST_IDS:
        raise errors.bad_body(f"ids must hold between 1 and {model.MOST_IDS} ids.")
    return asked


__all__ = ["Graph"]
