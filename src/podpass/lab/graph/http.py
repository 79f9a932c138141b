"""Graph over HTTP: the caller, the permission, the call.

Contract: Azure HTTP surface, section 5.
"""

import uuid
from collections.abc import Callable
from typing import Any

from podpass.lab.arm.principals import described, facts
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.entra.access import AccessTokens, Caller
from podpass.lab.entra.directory import Directory
from podpass.lab.graph import errors
from podpass.lab.graph.applications import Applications
from podpass.lab.graph.calls import Answer, Call, of_version
from podpass.lab.graph.directory_objects import by_ids
from podpass.lab.graph.errors import GraphError
from podpass.lab.graph.federated import FederatedCredentials
from podpass.lab.graph.principals import Principals
from podpass.lab.graph.seeding import Seeding
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.store import NotStored
from podpass.serving.asgi import App, Request, Response, answering, json_response

MAX_BODY = 256 * 1024
AUDIENCES = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")


class Graph:
    """The directory of each tenant, for those whom *may_use* names."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        journal: Journal,
        access_tokens: AccessTokens,
        *,
        may_use: Callable[[Caller], bool],
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._journal = journal
        self._access_tokens = access_tokens
        self._may_use = may_use
        self._applications = Applications(directory, clock)
        self._principals = Principals(directory, clock)
        self._federated = FederatedCredentials(directory, self._applications)
        self.seed = Seeding(directory, clock, self._applications, self._principals, self._federated)
        self.app: App = answering(self._handle, max_body=MAX_BODY, too_large=self._too_large, broken=self._broken)

    async def _handle(self, request: Request) -> Response:
        caller = self._access_tokens.authenticate(request.headers.get("authorization"), audiences=AUDIENCES)
        if not isinstance(caller, Caller):
            error = errors.token_missing() if caller.code == "missing" else errors.token_refused(caller.message)
            self._record("unknown caller", request, "refused", caller.message, error.code)
            return self._rendered(request, error)
        who, known = described(self._directory, caller), facts(caller)
        try:
            answer = self._answer(request, caller)
        except GraphError as error:
            outcome: Outcome = "noted" if error.status == 501 else "refused"
            self._record(who, request, outcome, error.message, error.code, known)
            return self._rendered(request, error)
        self._record(who, request, "granted", "the lab's operator may use the directory", "", known)
        headers = [("request-id", str(uuid.uuid4()))]
        if answer.document is None:
            return Response(answer.status, b"", tuple(headers))
        return json_response(answer.status, answer.document, headers)

    def _answer(self, request: Request, caller: Caller) -> Answer:
        """Raises GraphError."""
        version, *path = _parts(request.path)
        if (request.method, version, path) == ("GET", "v1.0", ["me"]):
            raise errors.not_for_applications()
        call = Call(request.method, tuple(path), caller.tenant_id, request.query, request.body)
        answer_with = self._service(call) if version in _versions(call) else None
        if answer_with is None:
            raise errors.not_emulated(f"{request.method} {request.path[:200]}")
        if not self._may_use(caller):
            raise errors.not_permitted()
        answer = answer_with(call)
        if answer is None:
            raise errors.not_emulated(f"{request.method} {request.path[:200]}")
        return answer if version == "v1.0" else of_version(answer, version)

    def _service(self, call: Call) -> Callable[[Call], Answer | None] | None:
        """Who answers below a path; None where nobody does."""
        match call.path:
            case ["applications", _, kind, *_] if kind.lower() == "federatedidentitycredentials":
                return self._federated.answer
            case ["applications", *_]:
                return self._applications.answer
            case ["serviceprincipals", *_]:
                return self._principals.answer
            case ["directoryobjects", "getbyids"] if call.method == "POST":
                return lambda call: by_ids(self._directory, call)
        return None

    def _broken(self, request: Request, error: Exception) -> Response | None:
        return self._rendered(request, errors.not_stored(str(error))) if isinstance(error, NotStored) else None

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


def _versions(call: Call) -> tuple[str, ...]:
    """The versions of Graph in which the lab knows the objects below a path."""
    match call.path:
        case ["applications", _, kind, *_] if kind.lower() == "federatedidentitycredentials":
            # The vendor's pages create flexible ones in beta.
            return "v1.0", "beta"
    return ("v1.0",)


def _parts(path: str) -> list[str]:
    """The parts of a path; a key in parentheses is one of its own, and collections are in lower case."""
    parts: list[str] = []
    for segment in path.split("/"):
        name, parenthesis, key = segment.partition("(")
        parts += [name, *([parenthesis + key] if parenthesis else [])]
    parts = [part for part in parts if part]
    return [part.lower() if index in (0, 1) or part == "getByIds" else part for index, part in enumerate(parts)] or [""]


__all__ = ["Graph"]
