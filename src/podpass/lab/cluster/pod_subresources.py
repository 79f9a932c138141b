"""What can be asked of a pod besides the object: bind it, read its log.

Contract: Kubernetes API surface, sections 1.6, 2.10 and 7.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import PODS
from podpass.kube.status import Cause, StatusError, success
from podpass.lab.clock import Clock, rfc3339, seconds_of
from podpass.lab.cluster.extension import SubresourceCall
from podpass.lab.cluster.kinds.pod_validation import ephemeral_containers
from podpass.lab.cluster.registry import Subresource
from podpass.lab.cluster.requests.options import Write, is_true
from podpass.lab.cluster.streaming.subresources import StreamSubresources
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.journal import Journal
from podpass.lab.node.logs import LogOptions
from podpass.lab.node.streams import Connection, NoContainer, RunningContainer
from podpass.serving.asgi import App, Receive, Scope, Send

_CONNECT = ("create", "get")


class NodeConnector(Protocol):
    """The node, as far as the API server talks to it."""

    def logs(
        self, namespace: str, pod: str, container: str = "", options: LogOptions | None = None
    ) -> AsyncIterator[bytes]: ...

    def running(self, namespace: str, pod: str, container: str) -> RunningContainer:
        """A container that runs, to connect to. Raises NoContainer."""
        ...

    async def dial(self, namespace: str, pod: str, port: int) -> Connection:
        """A connection to a port of a pod's loopback. Raises NoContainer, FabricFailed."""
        ...


@dataclass(slots=True)
class PodSubresources:
    """Answers for the subresources of pods; logs come from the *node*, None while there is none."""

    verbs: Verbs
    clock: Clock
    node: Callable[[], NodeConnector | None]
    journal: Journal
    streams: StreamSubresources = field(init=False)

    def __post_init__(self) -> None:
        self.streams = StreamSubresources(self.verbs, self.journal, self._answering)

    def _answering(self) -> NodeConnector:
        node = self.node()
        if node is None:
            raise NoContainer("no node answers")
        return node

    def table(self) -> Mapping[str, Subresource]:
        found = (
            Subresource("binding", ("create",), "Binding", handler=self.bind),
            Subresource("ephemeralcontainers", ("get", "patch", "update"), "Pod", part=ephemeral_containers),
            Subresource("log", ("get",), "Pod", stream=self.log),
            Subresource("attach", _CONNECT, "PodAttachOptions", handler=self.streams.attach, connects=True),
            Subresource("exec", _CONNECT, "PodExecOptions", handler=self.streams.execute, connects=True),
            Subresource(
                "portforward", _CONNECT, "PodPortForwardOptions", handler=self.streams.port_forward, connects=True
            ),
            # Known to clients, so that they ask; the answer is that the lab does not have it.
            Subresource("proxy", ("create", "delete", "get", "patch", "update"), "PodProxyOptions"),
        )
        return {each.name: each for each in found}

    async def bind(self, call: SubresourceCall) -> Obj:
        """Give the pod its node, as a scheduler does. Raises StatusError 409 for a pod that has one."""
        body = call.body or {}
        target = body.get("target")
        node = target.get("name") if isinstance(target, dict) else None
        if not node or not isinstance(node, str):
            cause = Cause("FieldValueRequired", "Required value", "target.name")
            raise StatusError.invalid_kind("", "Binding", call.name, [cause])
        now = rfc3339(self.clock.now())

        def bound(pod: Obj) -> Obj:
            wanted = objects.uid(body)
            if wanted and wanted != objects.uid(pod):
                raise StatusError.conflict(PODS, call.name, "the pod in the binding is another one")
            if objects.being_deleted(pod):
                raise StatusError.conflict(
                    PODS, call.name, f"pod {call.name} is being deleted, cannot be assigned to a host"
                )
            if objects.spec(pod).get("nodeName"):
                taken = objects.spec(pod)["nodeName"]
                raise StatusError.conflict(PODS, call.name, f'pod {call.name} is already assigned to node "{taken}"')
            conditions = [
                each for each in objects.status(pod).get("conditions") or () if each.get("type") != "PodScheduled"
            ]
            scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
            status = {**objects.status(pod), "conditions": [*conditions, scheduled]}
            return {**pod, "spec": {**objects.spec(pod), "nodeName": node}, "status": status}

        write = Write(user=call.user, manager="kube-scheduler", subresource="binding", dry_run=call.dry_run)
        await self.verbs.change(call.kind, call.namespace, call.name, bound, write)
        return success(code=201)

    def log(self, call: SubresourceCall) -> App:
        """The log as plain text. Raises StatusError for parameters that can't be, and for a log that is not there."""
        query = call.request.query
        pod = self.verbs.get(PODS, call.name, call.namespace)
        names = [
            each.get("name", "")
            for member in ("containers", "initContainers", "ephemeralContainers")
            for each in objects.spec(pod).get(member) or ()
        ]
        container = query.get("container", "")
        main = objects.spec(pod).get("containers") or [{}]
        if not container and len(main) > 1:
            listed = " ".join(names)
            text = f"a container name must be specified for pod {call.name}, choose one of: [{listed}]"
            raise StatusError.bad_request(text)
        container = container or str(main[0].get("name", ""))
        if container not in names:
            raise StatusError.bad_request(f"container {container} is not valid for pod {call.name}")
        options = log_options(query, now=self.clock.now())
        node = self.node()
        if node is None or not objects.spec(pod).get("nodeName"):
            raise _waiting(call.name, container)
        try:
            lines = node.logs(call.namespace, call.name, container, options)
        except Exception as error:
            # The node's own refusal says which status and why; anything else is not ours to explain.
            status, message = getattr(error, "status", None), getattr(error, "message", None)
            if not isinstance(status, int) or not isinstance(message, str):
                raise
            raise StatusError(status, "NotFound" if status == 404 else "BadRequest", message) from error
        return _plain_text(lines)


def log_options(query: Mapping[str, str], *, now: float) -> LogOptions:
    """Raises StatusError (400, 422) for values that are no numbers or no time."""
    since: float | None = None
    if (seconds := _natural(query, "sinceSeconds")) is not None:
        since = now - seconds
    if query.get("sinceTime"):
        since = seconds_of(query["sinceTime"])
        if since is None:
            raise StatusError.bad_request(f'parsing time "{query["sinceTime"][:64]}": not RFC 3339')
    return LogOptions(
        follow=is_true(query.get("follow", "")),
        previous=is_true(query.get("previous", "")),
        timestamps=is_true(query.get("timestamps", "")),
        tail_lines=_natural(query, "tailLines"),
        since=since,
        limit_bytes=_natural(query, "limitBytes"),
    )


def _natural(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        cause = Cause("FieldValueInvalid", f'Invalid value: "{text[:32]}": must be greater than or equal to 0', name)
        raise StatusError.invalid_kind("", "PodLogOptions", "", [cause])
    return int(text)


def _waiting(pod: str, container: str) -> StatusError:
    text = f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating'
    return StatusError.bad_request(text)


def _plain_text(lines: AsyncIterator[bytes]) -> App:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]})
            async for chunk in lines:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            close = getattr(lines, "aclose", None)
            if close is not None:
                await close()

    return app
