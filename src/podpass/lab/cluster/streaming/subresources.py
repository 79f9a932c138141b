"""pods/exec, attach and portforward: from a request that was let in to a session, and its line in the journal.

Contract: Kubernetes API surface, sections 1.3 and 1.6.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from podpass.kube.objects import Obj
from podpass.kube.resources import PODS
from podpass.kube.status import StatusError
from podpass.lab.cluster.extension import AdmissionAttributes, SubresourceCall
from podpass.lab.cluster.streaming.outcome import exited, failed, not_executed
from podpass.lab.cluster.streaming.request import (
    StreamOptions,
    asked_ports,
    exec_options,
    must_have_a_node,
    stream_options,
)
from podpass.lab.cluster.streaming.session import ClientLeft, RemoteClient, Stopped, carry
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.node.driver import FabricFailed, NotStarted
from podpass.lab.node.streams import Connection, NoContainer, RunningContainer, Streams
from podpass.serving.asgi import App, Receive, Request, Response, Scope, Send, send_response, text_response
from podpass.serving.upgrade import CanNotUpgrade, Upgrade, offered, upgrade_of


class Node(Protocol):
    """What has the containers. Each raises NoContainer for one that is not there."""

    def running(self, namespace: str, pod: str, container: str) -> RunningContainer: ...

    async def dial(self, namespace: str, pod: str, port: int) -> Connection: ...


STOP_SECONDS = 1.0
Dial = Callable[[int], Awaitable[Connection]]
Open = Callable[[RunningContainer], Awaitable[Streams]]


@dataclass(slots=True)
class StreamSubresources:
    """Answers for exec and attach; `close` ends what is open."""

    verbs: Verbs
    journal: Journal
    node: Callable[[], Node]
    """Raises NoContainer."""
    _sessions: dict[asyncio.Task[None], asyncio.Event] = field(default_factory=dict)
    """Each session with what is set to end it."""

    async def close(self) -> None:
        """End every session: the cluster stops. A client that does not read its end is not waited for."""
        for stop in self._sessions.values():
            stop.set()
        if self._sessions:
            await asyncio.wait(list(self._sessions), timeout=STOP_SECONDS)

    async def execute(self, call: SubresourceCall) -> Response | App:
        """Run a command in a container. Raises StatusError."""
        pod = self.verbs.get(PODS, call.name, call.namespace)
        options = exec_options(pod, call.request.query, call.request.query_list)
        await self._admit(call, options.admitted("PodExecOptions"))

        async def begin(container: RunningContainer) -> Streams:
            return await container.execute(options.command, stdin=options.stdin, tty=options.tty)

        return self._joined(call, options, begin)

    async def attach(self, call: SubresourceCall) -> Response | App:
        """Join the streams of a container's first process. Raises StatusError."""
        pod = self.verbs.get(PODS, call.name, call.namespace)
        options = stream_options(pod, call.request.query)
        await self._admit(call, options.admitted("PodAttachOptions"))

        async def begin(container: RunningContainer) -> Streams:
            return container.attach(stdin=options.stdin)

        return self._joined(call, options, begin)

    async def _admit(self, call: SubresourceCall, options: Obj) -> None:
        attributes = AdmissionAttributes(
            kind=call.kind,
            operation="CONNECT",
            namespace=call.namespace,
            name=call.name,
            user=call.user,
            subresource=call.subresource,
            warnings=call.warnings,
        )
        if self.verbs.admission is not None:
            await self.verbs.admission.admit(attributes, options, None)
            await self.verbs.admission.validate(attributes, options, None)

    def _joined(self, call: SubresourceCall, options: StreamOptions, begin: Open) -> Response | App:
        _must_upgrade(call.request)
        try:
            container = self.node().running(call.namespace, call.name, options.container)
        except NoContainer as error:
            # The kubelet's own answer, which the API server passes on as it is.
            self._record(call, options, "failed", error.message)
            return text_response(error.status, error.message)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with self._session() as stop:
                await self._serve(call, options, lambda: begin(container), stop, scope, send)

        return app

    @contextlib.contextmanager
    def _session(self) -> Iterator[asyncio.Event]:
        session = asyncio.current_task()
        assert session is not None
        stop = self._sessions[session] = asyncio.Event()
        try:
            yield stop
        finally:
            del self._sessions[session]

    async def port_forward(self, call: SubresourceCall) -> Response | App:
        """Join a client's streams to ports of the pod. Raises StatusError."""
        must_have_a_node(self.verbs.get(PODS, call.name, call.namespace))
        ports = asked_ports(call.request.query_list)
        kind: Obj = {"kind": "PodPortForwardOptions", "apiVersion": "v1"}
        await self._admit(call, {**kind, "ports": ports} if ports else kind)
        _must_upgrade(call.request)

        async def dial(port: int) -> Connection:
            return await self.node().dial(call.namespace, call.name, port)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            used = set(ports)
            outcome: Outcome = "done"
            why = ""
            with self._session() as stop:
                try:
                    await _until(stop, await _forwarding(call, ports, dial, used, upgrade_of(scope)))
                except CanNotUpgrade as refusal:
                    outcome, why = "failed", str(refusal)
                    if refusal.status:
                        await send_response(send, text_response(refusal.status, why))
            decision = {"pod": call.name, "namespace": call.namespace, "ports": sorted(used)}
            self._note(call, outcome, why, decision)

        return app

    async def _serve(
        self,
        call: SubresourceCall,
        options: StreamOptions,
        begin: Callable[[], Awaitable[Streams]],
        stop: asyncio.Event,
        scope: Scope,
        send: Send,
    ) -> None:
        try:
            client = await _open_client(call.request, options, upgrade_of(scope))
        except CanNotUpgrade as refusal:
            self._record(call, options, "failed", str(refusal))
            if refusal.status:
                await send_response(send, text_response(refusal.status, str(refusal)))
            return
        except ClientLeft as error:
            self._record(call, options, "failed", str(error))
            return
        streams: Streams | None = None
        outcome: Outcome = "failed"
        why = "the lab stops"
        code: int | None = None
        try:
            try:
                streams = await begin()
            except NotStarted as error:
                why = str(error)
                await client.finish(not_executed(why, program=error.program))
                return
            except (FabricFailed, OSError) as error:
                # Descriptors may be used up: everything else goes on.
                why = str(error)
                await client.finish(not_executed(why, program=False))
                return
            code = await carry(client, streams, options, stop)
            outcome, why = ("failed", f"exit code {code}") if code else ("done", "")
            await client.finish(exited(code, options.command))
        except FabricFailed as error:
            why = str(error)
            await client.finish(failed(why))
        except Stopped:
            await client.finish(failed(why))
        except ClientLeft:
            outcome, why = "noted", "the client left before the end"
        finally:
            self._record(call, options, outcome, why, code)
            if streams is not None:
                await streams.close()

    def _record(
        self, call: SubresourceCall, options: StreamOptions, outcome: Outcome, why: str, code: int | None = None
    ) -> None:
        """One line a session: who did it, where, with which program; nothing that was typed or printed."""
        decision: Obj = {
            "pod": call.name,
            "namespace": call.namespace,
            "container": options.container,
            "stdin": options.stdin,
            "tty": options.tty,
        }
        if options.command:
            decision["program"] = options.command[0]
        if code is not None:
            decision["exit_code"] = code
        self._note(call, outcome, why, decision)

    def _note(self, call: SubresourceCall, outcome: Outcome, why: str, decision: Obj) -> None:
        what = f"{call.subresource} {call.namespace}/{call.name}"
        self.journal.record(
            Hop(who=call.user.name, whom="node", what=what, outcome=outcome, why=why, decision=decision)
        )


async def _until(stop: asyncio.Event, session: Coroutine[None, None, None]) -> None:
    """Run *session* to its end, or until *stop* is set."""
    running, stopping = asyncio.create_task(session), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
    if not running.cancelled():
        running.result()


async def _forwarding(
    call: SubresourceCall, ports: list[int], dial: Dial, used: set[int], upgrade: Upgrade | None
) -> Coroutine[None, None, None]:
    """The session in whichever protocol the client offers. Raises CanNotUpgrade."""
    if upgrade is None:
        raise CanNotUpgrade(400, "the connection can't be taken over")
    from podpass.lab.cluster.streaming import port_forward
    from podpass.lab.cluster.streaming.spdy_connection import SpdyConnection, TunnelDuplex, open_spdy

    if offered(call.request) != "websocket":
        connection, _ = open_spdy(call.request, upgrade, (port_forward.SPDY_PROTOCOL, ""))
        return port_forward.forward_spdy(connection, dial, call.name, used)
    from podpass.serving.websocket import open_websocket

    protocols = [port_forward.TUNNEL_PROTOCOL]
    if ports:
        protocols += [port_forward.CHANNEL_PROTOCOL, ""]
    websocket = open_websocket(call.request, upgrade, protocols)
    if websocket.subprotocol == port_forward.TUNNEL_PROTOCOL:
        return port_forward.forward_spdy(SpdyConnection(TunnelDuplex(websocket)), dial, call.name, used)
    return port_forward.forward_channels(websocket, ports, dial, call.name)


def _must_upgrade(request: Request) -> None:
    if offered(request) not in ("websocket", "spdy/3.1"):
        raise StatusError.bad_request("Upgrade request required")


async def _open_client(request: Request, options: StreamOptions, upgrade: Upgrade | None) -> RemoteClient:
    """The client's end of the connection. Raises CanNotUpgrade, ClientLeft."""
    if upgrade is None:
        raise CanNotUpgrade(400, "the connection can't be taken over")
    # Their imports are nobody's who only reads and writes objects.
    if offered(request) == "websocket":
        from podpass.lab.cluster.streaming import channels
        from podpass.serving.websocket import open_websocket

        client = channels.ChannelClient(open_websocket(request, upgrade, channels.PROTOCOLS))
        await client.greet(stdout=options.stdout, stderr=options.stderr)
        return client
    from podpass.lab.cluster.streaming import spdy_client
    from podpass.lab.cluster.streaming.spdy_connection import open_spdy

    connection, protocol = open_spdy(request, upgrade, spdy_client.PROTOCOLS)
    return await spdy_client.SpdyClient.open(connection, protocol, options)
