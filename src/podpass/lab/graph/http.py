"""Graph over HTTP: the caller, the permission, the call.

Contract: Azure HTTP surface, section 5.
"""

import uuid
from typing import Any

import msgspec

from podpass.lab.arm.principals import described, facts
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.entra.access import AccessTokens, Caller
from podpass.lab.entra.directory import Directory
from podpass.lab.entra.people import People
from podpass.lab.graph import errors
from podpass.lab.graph.authorization import NotPermitted, decide
from podpass.lab.graph.calls import Call, of_version
from podpass.lab.graph.catalogue import Catalogue
from podpass.lab.graph.directory_roles import DirectoryRoles
from podpass.lab.graph.errors import GraphError
from podpass.lab.graph.operations import Operation
from podpass.lab.graph.seeding import Seeding
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.store import NotStored
from podpass.serving.asgi import App, Request, Response, answering, json_response

MAX_BODY = 256 * 1024
AUDIENCES = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")


class Graph:
    """The directory of each tenant, for those who hold a role in it."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        journal: Journal,
        access_tokens: AccessTokens,
        people: People,
        *,
        audiences: tuple[str, ...] = (),
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._journal = journal
        self._access_tokens = access_tokens
        self._audiences = (*AUDIENCES, *audiences)
        self.roles = DirectoryRoles(people)
        kinds = Catalogue(directory, clock, people, self.roles)
        self.operations = kinds.operations
        self.seed = Seeding(directory, people, clock, kinds)
        self.app: App = answering(self._handle, max_body=MAX_BODY, too_large=self._too_large, broken=self._broken)

    async def _handle(self, request: Request) -> Response:
        caller = self._access_tokens.authenticate(request.headers.get("authorization"), audiences=self._audiences)
        if not isinstance(caller, Caller):
            error = errors.token_missing() if caller.code == "missing" else errors.token_refused(caller)
            whose = "unknown caller" if caller.caller is None else described(self._directory, caller.caller)
            self._record(whose, request, "noted" if caller.claims else "refused", caller.message, error.code)
            return self._rendered(request, error)
        who, known = described(self._directory, caller), facts(caller)
        try:
            operation, call = self._called(request, caller)
            decision = decide(operation.action, self.roles.held_by(caller.tenant_id, caller.object_id))
            known |= decision.to_dict()
            if isinstance(decision, NotPermitted):
                error = errors.not_permitted()
                known |= {"principal": who, "why": decision.why, "assignment": _assignment(decision, caller)}
                self._record(who, request, "refused", decision.why, error.code, known, problem="PP310")
                return self._rendered(request, error)
            answer = operation.run(call)
        except GraphError as error:
            outcome: Outcome = "noted" if error.status == 501 else "refused"
            self._record(who, request, outcome, error.message, error.code, known)
            return self._rendered(request, error)
        self._record(who, request, "granted", decision.why, "", known)
        answer = of_version(answer, parts_of(request.path)[0])
        headers = [("request-id", str(uuid.uuid4()))]
        if answer.document is None:
            return Response(answer.status, b"", tuple(headers))
        return json_response(answer.status, answer.document, headers)

    def _called(self, request: Request, caller: Caller) -> tuple[Operation, Call]:
        """The operation that is asked for. Raises GraphError when there is none."""
        version, *path = parts_of(request.path)
        found = self.operations.find(request.method, version, path)
        if found is None:
            raise errors.not_emulated(f"{request.method} {request.path[:200]}")
        operation, names = found
        return operation, Call(request.method, tuple(path), caller.tenant_id, request.query, request.body, names)

    def _broken(self, request: Request, error: Exception) -> Response | None:
        return self._rendered(request, errors.not_stored(str(error))) if isinstance(error, NotStored) else None

    def _record(
        self,
        who: str,
        request: Request,
        outcome: Outcome,
        why: str,
        wire: str,
        known: dict[str, Any] | None = None,
        *,
        problem: str = "",
    ) -> None:
        self._journal.record(
            Hop(
                who=who,
                whom="graph",
                what=f"{request.method} {request.path}",
                outcome=outcome,
                why=why,
                decision=known or {},
                wire=wire,
                problem=problem,
            )
        )

    def _too_large(self, request: Request) -> Response:
        return self._rendered(request, errors.too_large(MAX_BODY))

    def _rendered(self, request: Request, error: GraphError) -> Response:
        request_id = str(uuid.uuid4())
        given = request.headers.get("client-request-id", "")
        client_request_id = given[:128] if given.isascii() and given.isprintable() and given else request_id
        date = rfc3339(self._clock.now()).removesuffix("Z")
        body = error.to_dict(date=date, request_id=request_id, client_request_id=client_request_id)
        return json_response(error.status, body, [("request-id", request_id), *error.headers])


def parts_of(path: str) -> list[str]:
    """The parts of a path; a key in parentheses is one of its own."""
    parts: list[str] = []
    for segment in path.split("/"):
        name, parenthesis, key = segment.partition("(")
        parts += [name, *([parenthesis + key] if parenthesis else [])]
    return [part for part in parts if part] or [""]


def _assignment(refused: NotPermitted, caller: Caller) -> str:
    """The body of the request to Graph that would give the caller the role that holds the least of what it lacks."""
    given = {
        "principalId": caller.object_id,
        "roleDefinitionId": refused.granting[0].guid,
        "directoryScopeId": "/",
    }
    return msgspec.json.encode(given).decode()


__all__ = ["Graph", "parts_of"]
