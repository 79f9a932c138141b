"""Requests that rules of the node led here, over HTTP. Each leaves one log line and one observation.

Contract: pod identity, sections 3.3 to 3.9 and 3.11.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from podpass.nmi.answers import Answers, host_token_answer, token_answer
from podpass.nmi.client import NotReached, Upstream
from podpass.nmi.decide import (
    POD_SECONDS,
    Decision,
    Denied,
    Granted,
    OneOf,
    Waiting,
    decide,
    decide_for,
    decide_for_known,
    peer_address,
)
from podpass.nmi.issuing import Issued, Issuing
from podpass.nmi.metrics import NmiMetrics
from podpass.nmi.objects import Objects
from podpass.nmi.requests import Asked, BadRequest, asked
from podpass.nmi.routes import Handler, route
from podpass.nmi.selection import Pod
from podpass.nmi.settings import Settings
from podpass.nmi.tokens import Refused, Unavailable
from podpass.nmi.turns import Turns
from podpass.serving.asgi import (
    App,
    BodyTooLarge,
    ClientGone,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    read_body,
    request_of,
    send_response,
)
from podpass.telemetry.logging import Logger

MAX_BODY = 64 * 1024
FETCHING_FOR_ONE_POD, PASSED_FOR_ONE_POD = 3, 8
"""At a time; what is more waits, so that one pod can't use up what the metadata service gives the node."""
_LOOPBACK = ("127.0.0.1", "::1")

_Answered = TypeVar("_Answered")
Look = Callable[[], Decision]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a request, as far as that is sure."""

    name: str
    """Its address, or its pod's uid: what it asks for is counted under it."""
    decided: Callable[[Asked], Decision]
    """What it gets of what is asked for, as things are now."""
    is_node: bool = False
    """Whether it is a program of the node itself."""


@dataclass(slots=True)
class _Told:
    """What a request's log line and figures say, filled in as it becomes known."""

    handler: Handler
    pod: Pod | None = None
    resource: str = ""
    why: str = ""


class Nmi:
    """The ASGI app."""

    def __init__(
        self,
        settings: Settings,
        objects: Objects,
        upstream: Upstream,
        issuing: Issuing,
        metrics: NmiMetrics,
        log: Logger,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._objects, self._upstream, self._issuing = settings, objects, upstream, issuing
        self._metrics, self._log, self._now = metrics, log, now
        self._fetching, self._passing = Turns(FETCHING_FOR_ONE_POD), Turns(PASSED_FOR_ONE_POD)
        self._answers = Answers(json_errors=settings.json_errors)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For requests that rules led here: who asks is where they come from."""
        await self._answer(scope, receive, send, self._by_address)

    def app_of(self, uid: str, namespace: str, name: str) -> App:
        """For requests at a place that is one pod's own, which tells who asks. The node itself asks elsewhere."""

        def decided(wanted: Asked) -> Decision:
            seen = self._objects.pod(namespace, name)
            if seen is None or seen.metadata.uid != uid:
                return Waiting(POD_SECONDS, Denied(500, "pod list is empty"))
            return decide_for_known(seen, wanted, self._objects, self._settings)

        asker = Asker(uid, decided)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._answer(scope, receive, send, lambda _: asker)

        return app

    def _by_address(self, request: Request) -> Asker:
        address = peer_address(request.peer)
        return Asker(
            address,
            lambda wanted: decide(address, wanted, self._objects, self._settings),
            is_node=address in _LOOPBACK,
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send, asker_of: Callable[[Request], Asker]) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"NMI does not speak {scope['type']}")
        started = time.perf_counter()
        try:
            request = request_of(scope, await read_body(scope, receive, limit=MAX_BODY))
        except ClientGone:
            return
        except BodyTooLarge as error:
            await send_response(send, self._answers.error(413, str(error), (("Connection", "close"),)))
            return
        found = route(request.raw_path, block_instance_metadata=self._settings.block_instance_metadata)
        told, asker = _Told(found.handler), asker_of(request)
        if found.handler is Handler.PASS:
            status = await _unless_gone(self._pass_on(request, found.path, asker, send, told), receive)
            if status is None:
                return
        else:
            answer = self._at_once(request, told, asker)
            response = answer if isinstance(answer, Response) else await _unless_gone(answer, receive)
            if response is None:
                return
            status = response.status
            await send_response(send, response, head_only=request.method == "HEAD")
        self._record(request, told, status, time.perf_counter() - started)

    def _at_once(self, request: Request, told: _Told, asker: Asker) -> Response | Coroutine[Any, Any, Response]:
        """The answer, where nothing needs to be waited for; else what will bring it."""
        match told.handler:
            case Handler.TOKEN:
                return self._pod_token(request, told, asker)
            case Handler.HOST_TOKEN:
                return self._host_token(request, told, is_node=asker.is_node)
            case Handler.BLOCKED:
                return self._answers.error(403, "Request blocked by AAD Pod Identity NMI")
            case _:
                return self._answers.error(400, "Invalid request")

    def _pod_token(self, request: Request, told: _Told, asker: Asker) -> Response | Coroutine[Any, Any, Response]:
        """A pod's own request."""
        if self._lacks_header(request):
            return self._answers.metadata_missing()
        wanted = asked(request.query_string)
        if isinstance(wanted, BadRequest):
            return self._answers.error(400, wanted.why)
        told.resource = wanted.resource
        look = partial(asker.decided, wanted)
        found = look()
        if isinstance(found, Granted):
            kept = self._issuing.kept(found.identity, wanted)
            if kept is not None:
                told.pod, told.why = found.pod, found.why
                return self._token(kept)
        return self._token_in_time(look, wanted, told)

    async def _token_in_time(self, look: Look, wanted: Asked, told: _Told) -> Response:
        decision, issued = await self._given(look, wanted, told)
        if isinstance(issued, Issued):
            return self._token(issued)
        if isinstance(issued, Denied):
            if issued.status == 404:
                retry = issued.retry and self._settings.retry_after_header
                return self._answers.not_selected(issued.why, retry_later=retry)
            return self._answers.error(issued.status, issued.why)
        if isinstance(decision, Granted) and decision.identity is None:
            reason = issued.body if isinstance(issued, Refused) else issued.why
            return self._answers.error(403, f"failed to get service principal token, error: {reason}")
        return self._answers.no_token(issued)

    def _host_token(self, request: Request, told: _Told, *, is_node: bool) -> Response | Coroutine[Any, Any, Response]:
        """A request of the node in a pod's name."""
        namespace, name = request.headers.get("podns", ""), request.headers.get("podname", "")
        if not namespace or not name:
            return self._answers.error(400, "missing 'podname' and 'podns' from request header")
        if not is_node:
            told.why = "request remote address is not from a host"
            return self._answers.error(500, told.why)
        wanted = asked(request.query_string)
        if isinstance(wanted, BadRequest):
            return self._answers.error(400, wanted.why)
        told.resource = wanted.resource
        return self._host_token_in_time(namespace, name, wanted, told)

    async def _host_token_in_time(self, namespace: str, name: str, wanted: Asked, told: _Told) -> Response:
        def look() -> Decision:
            seen = self._objects.pod(namespace, name)
            if seen is None:
                return Denied(404, f"no pod {namespace[:63]}/{name[:253]} on this node")
            return decide_for(seen.pod, wanted, self._objects, self._settings)

        _, issued = await self._given(look, wanted, told)
        if isinstance(issued, Denied):
            return self._answers.error(404, issued.why)
        if not isinstance(issued, Issued):
            return self._answers.no_token(issued)
        return host_token_answer(issued.tokens[0], issued.client_id, now=int(self._now()))

    async def _given(
        self, look: Look, wanted: Asked, told: _Told
    ) -> tuple[Granted | OneOf | Denied, Issued | Refused | Unavailable | Denied]:
        """What is decided, and the tokens by it or why there are none.

        Fetching takes time, in which a pod may end or lose its identity: tokens are given by what holds afterwards.
        """
        while True:
            decision = await self._settled(look, told)
            if isinstance(decision, Denied):
                return decision, decision
            async with self._fetching.of((decision.pod.namespace, decision.pod.name)):
                issued = await self._issued(decision, wanted)
            if isinstance(issued, Denied):
                told.why = issued.why
            if not isinstance(issued, Issued) or look() == decision:
                return decision, issued

    async def _issued(self, decision: Granted | OneOf, wanted: Asked) -> Issued | Refused | Unavailable | Denied:
        """The tokens that the pod may have, or why there are none."""
        if isinstance(decision, Granted):
            return await self._issuing.issue(decision.identity, wanted)
        issued = await self._issuing.issue_to_holder(decision.identities, wanted)
        return decision.otherwise if issued is None else issued

    async def _settled(self, look: Look, told: _Told) -> Granted | OneOf | Denied:
        """What *look* finds once it waits for nothing more."""
        began = time.monotonic()
        while isinstance(found := look(), Waiting):
            left = began + found.seconds - time.monotonic()
            if left <= 0 or not await self._objects.changed(left):
                found = found.otherwise
                break
        told.pod = found.pod
        told.why = "by its object id" if isinstance(found, OneOf) else found.why
        return found

    def _token(self, issued: Issued) -> Response:
        return token_answer(issued.tokens, now=int(self._now()), several=issued.are_listed)

    async def _pass_on(self, request: Request, path: str, asker: Asker, send: Send, told: _Told) -> int:
        """Everything else, to the metadata service. The status of the answer."""
        if self._lacks_header(request):
            await send_response(send, self._answers.metadata_missing())
            return 400
        path = quote(path, safe="/:@!$&'()*+,=~-._")
        status = 0
        try:
            async with (
                self._passing.of(asker.name),
                self._upstream.passed(
                    request.method, path, request.query_string, request.headers, request.body
                ) as passed,
            ):
                status = passed.status
                headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in passed.headers]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                async for part in passed.body:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except NotReached as error:
            told.why = str(error)
            if not status:
                status = 500
                await send_response(send, self._answers.error(status, told.why))
            # A body that has begun stays without its end, by which the client knows that it is not whole.
            return status
        # Last of all: with it the client's part is over, as if it had hung up.
        await send({"type": "http.response.body", "body": b""})
        return status

    def _lacks_header(self, request: Request) -> bool:
        if not self._settings.metadata_header_required:
            return False
        value = request.headers.get("metadata", "")
        return (value.lower() if self._settings.metadata_header_any_case else value) != "true"

    def _record(self, request: Request, told: _Told, status: int, seconds: float) -> None:
        namespace = told.pod.namespace if told.pod is not None else ""
        self._metrics.answered(told.handler.value, status, namespace, told.resource, seconds)
        log = self._log.info if status < 400 else self._log.warning
        log(
            "request.answered",
            status=status,
            method=request.method,
            route=told.handler.value,
            remote=request.peer,
            pod=f"{namespace}/{told.pod.name}" if told.pod is not None else "",
            resource=told.resource[:200],
            why=told.why,
            took_ms=round(seconds * 1000, 3),
        )


async def _unless_gone(answering: Coroutine[Any, Any, _Answered], receive: Receive) -> _Answered | None:
    """What *answering* returns, or None when the client hung up first: nothing is worked out for nobody."""
    work = asyncio.create_task(answering)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        gone.cancel()
