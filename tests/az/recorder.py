"""A forward proxy in front of the lab's own, which takes down what az asks and what kind of answer it gets."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from yarl import URL

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import LabClock
from podpass.lab.doors.http import ForwardProxy
from podpass.lab.doors.names import Names as HostNames
from podpass.lab.doors.network import serve_forward_proxy
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.asgi import Request, Response, answering
from podpass.serving.server import bind_tcp
from podpass.tokens import jwt
from tests.az_requests import FOLLOWED, HEADERS, Names, shape
from tests.running_lab import RunningLab


@dataclass
class Recorder:
    """Passes requests on to a lab and keeps them, with names for what differs from lab to lab."""

    lab: RunningLab
    session: aiohttp.ClientSession
    ca: CertificateAuthority
    names: Names
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    """Those since they were last taken."""
    _followed: dict[str, str] = field(default_factory=dict)

    def take(self) -> list[dict[str, Any]]:
        taken, self.exchanges = self.exchanges, []
        return taken

    async def handle(self, request: Request) -> Response:
        url = f"https://{request.headers['host']}{request.raw_path}"
        url += f"?{request.query_string}" if request.query_string else ""
        passed = {
            name: value
            for name, value in request.headers.items()
            if name not in ("host", "content-length", "accept-encoding", "connection")
        }
        sent = self.session.request(
            request.method,
            URL(url, encoded=True),
            headers=passed,
            data=request.body or None,
            proxy=self.lab.endpoints.proxy,
            ssl=self.ca.client_context(),
            allow_redirects=False,
        )
        async with sent as answer:
            body = await answer.read()
            document = json.loads(body) if body and "json" in answer.headers.get("content-type", "") else None
            self._keep(request, url, answer, document)
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION]
            return Response(answer.status, body, tuple(kept))

    def _keep(self, request: Request, url: str, answer: aiohttp.ClientResponse, document: Any) -> None:
        follow = next((f"{{follow:{name}}}" for name, place in self._followed.items() if place == url), "")
        exchange: dict[str, Any] = {"method": request.method, "url": follow or self.names.named(url)}
        self._followed |= {name: answer.headers[name] for name in FOLLOWED if name in answer.headers}
        if follow and self.exchanges and self.exchanges[-1]["url"] == follow:
            # How often an operation is asked about is a matter of time.
            exchange = self.exchanges.pop()
        if token := request.headers.get("authorization", "").partition(" ")[2]:
            exchange["token_for"] = jwt.decode(token).claims["aud"]
        exchange["headers"] = {name: request.headers[name] for name in HEADERS if name in request.headers}
        if request.media_type == "application/x-www-form-urlencoded":
            form = dict(parse_qsl(request.body.decode()))
            if "client_assertion" in form:
                form["client_assertion"] = "{assertion}"
            exchange["form"] = {name: self.names.named(value) for name, value in form.items()}
        elif request.body:
            exchange["body"] = json.loads(self.names.named(request.body.decode()))
        exchange["status"] = answer.status
        if document is not None:
            exchange["answer"] = json.loads(self.names.named(json.dumps(shape(document)), only_known=True))
            self.names.seen(exchange, document)
        self.exchanges.append(exchange)


_OF_THE_CONNECTION = frozenset(("content-length", "connection", "keep-alive", "transfer-encoding", "content-encoding"))


@contextlib.asynccontextmanager
async def recording(lab: RunningLab) -> AsyncIterator[tuple[Recorder, str]]:
    """A recorder in front of *lab*, and the address of its proxy."""
    ca = CertificateAuthority.open(lab.paths.keys / "ca")
    ends = lab.endpoints
    names = Names({
        "subscription": ends.subscription_id,
        "tenant": ends.tenant_id,
        "operator": ends.operator_client_id,
        "issuer": ends.issuer,
    })  # fmt: skip
    store = Store.open(None)
    try:
        async with aiohttp.ClientSession(auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()) as session:
            recorder = Recorder(lab, session, ca, names)
            app = answering(recorder.handle, max_body=1 << 22, too_large=lambda request: Response(413, b"", ()))
            listener = bind_tcp()
            proxy = ForwardProxy(app, HostNames(), ca, Journal(store, LabClock()))
            async with serve_forward_proxy(proxy, listener):
                yield recorder, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        store.close()
