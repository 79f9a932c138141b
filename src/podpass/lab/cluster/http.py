"""The Kubernetes API over HTTP: what a request is about, who asks, whether they may, and who answers it.

Contract: Kubernetes API surface, sections 1.1 and 2.3.
"""

import copy
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from podpass.kube.objects import Obj
from podpass.kube.resources import NAMESPACES, Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster import discovery
from podpass.lab.cluster.extension import (
    Attributes,
    Authenticator,
    Authorizer,
    Denied,
    OpenApi,
    ProtobufDecoder,
    SubresourceCall,
    Tables,
    User,
)
from podpass.lab.cluster.registry import Subresource
from podpass.lab.cluster.requests import bodies, paths
from podpass.lab.cluster.requests.bodies import MAX_BODY_BYTES
from podpass.lab.cluster.requests.options import Selection, check_timeout, is_true, selection
from podpass.lab.cluster.requests.paths import GroupVersion, NoResource, Target
from podpass.lab.cluster.requests.reading import Reading
from podpass.lab.cluster.requests.server_paths import ServerPaths
from podpass.lab.cluster.requests.writing import Writing, check_strategic, subresource_patch
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.watch import Watches
from podpass.lab.journal import Hop, Journal, current_trace, tracing
from podpass.serving.asgi import (
    App,
    BodyTooLarge,
    ClientGone,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    json_response,
    read_body,
    request_of,
    send_response,
)

_NOT_CACHED = ("Cache-Control", "no-cache, private")
_STANDARD_SUBRESOURCES = ("status", "finalize")

_log = logging.getLogger(__name__)

Answer = Response | App


@dataclass(slots=True, kw_only=True)
class Parts:
    """Who answers what the API server itself does not know."""

    authenticator: Authenticator
    authorizer: Authorizer
    tables: Tables | None = None
    protobuf: ProtobufDecoder | None = None
    openapi: OpenApi | None = None
    document: Callable[[str], Response | None] = lambda _: None
    """The issuer's documents, by path."""
    live: Callable[[], str] = lambda: ""
    """What is wrong with the cluster; empty when it is well."""


class KubernetesApi:
    """The ASGI app of one cluster."""

    def __init__(self, verbs: Verbs, watches: Watches, journal: Journal, parts: Parts) -> None:
        self._verbs = verbs
        self._journal = journal
        self._parts = parts
        self._registry = verbs.registry
        self._server_paths = ServerPaths(verbs.registry, parts.openapi, parts.document, parts.live)
        self._reading = Reading(verbs, watches, parts.tables)
        self._writing = Writing(verbs, self._reading, parts.protobuf)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"this service does not speak {scope['type']}")
        warnings: list[str] = []
        request = request_of(scope)
        try:
            body = b"" if request.method in ("GET", "HEAD") else await read_body(scope, receive, limit=MAX_BODY_BYTES)
            if body:
                request = request_of(scope, body)
            # The trace header is not read: whoever may be trusted with one has set the trace by now.
            with tracing(current_trace()):
                answer = await self._answer(request, warnings)
        except StatusError as error:
            answer = _failure(error)
        except BodyTooLarge:
            refusal = _failure(StatusError.too_large(MAX_BODY_BYTES))
            answer = Response(refusal.status, refusal.body, (*refusal.headers, ("Connection", "close")))
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001
            # The outermost turn of a request: whatever broke, the client gets a Status and the others go on.
            _log.exception("cluster.request_failed method=%s path=%s", request.method, request.path)
            self._journal.record(
                Hop(
                    who="a client",
                    whom="cluster",
                    what=f"{request.method} {request.path}",
                    outcome="failed",
                    why=type(error).__name__,
                )
            )
            answer = _failure(StatusError.internal("the API server met a fault of its own"))
        if not isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        headers = [*answer.headers, *_headers(warnings)]
        if not any(name == "Cache-Control" for name, _ in headers):
            headers.append(_NOT_CACHED)
        await send_response(
            send, Response(answer.status, answer.body, tuple(headers)), head_only=request.method == "HEAD"
        )

    async def _answer(self, request: Request, warnings: list[str]) -> Answer:
        user = self._parts.authenticator.authenticate(request)
        if user is None:
            raise StatusError.unauthorized()
        target = paths.read(self._registry, request.raw_path)
        if not isinstance(target, Target):
            return await self._outside(request, user, target)
        verb = _verb(request, target)
        check_timeout(request.query.get("timeout", ""))
        name = target.name
        if target.kind.deprecated:
            warnings.append(target.kind.deprecated)
        chosen: Selection | None = None
        if verb in ("list", "watch", "deletecollection") and request.query_string:
            chosen = selection(target.kind, request.query)
            name = chosen.fields.value_of("metadata.name") or ""
        resource = target.kind.resource
        attributes = Attributes(
            verb=verb,
            path=request.path,
            group=resource.group,
            version=resource.version,
            resource=resource.plural,
            subresource=target.subresource,
            namespace=target.namespace or (target.name if resource == NAMESPACES else ""),
            name=name,
        )
        self._authorize(request, user, target, attributes)
        if target.kind.not_emulated:
            return self._not_emulated(request, user, target.kind.not_emulated)
        if verb == "watch" and target.name:
            raise StatusError.method_not_allowed()
        if verb == "deletecollection" and resource.namespaced and not target.namespace:
            # Only one namespace's objects can be deleted at once.
            raise StatusError.method_not_allowed() if target.kind.built_in else StatusError.no_such_path()
        if target.subresource:
            return await self._subresource(request, target, user, attributes, warnings)
        kind = target.kind
        if verb == "watch" and "list" in kind.verbs:
            return self._reading.watch(request, target, (_NOT_CACHED, *_headers(warnings)))
        if verb not in kind.verbs:
            raise StatusError.method_not_allowed()
        match verb:
            case "get":
                return self._reading.object(request, kind, self._verbs.stored(kind, target.namespace, target.name))
            case "list":
                return self._reading.list(request, target)
            case "create":
                return await self._writing.create(request, target, user, warnings)
            case "update":
                return await self._writing.update(request, target, user, warnings)
            case "patch":
                return await self._writing.patch(request, target, user, warnings)
            case "delete":
                return await self._writing.delete(request, target, user, warnings)
            case _:
                return await self._writing.delete_collection(request, target, user, warnings, chosen or Selection())

    def _authorize(self, request: Request, user: User, target: Target, attributes: Attributes) -> None:
        """Raises StatusError 403, which the journal then tells of."""
        decision = self._parts.authorizer.authorize(user, attributes)
        if isinstance(decision, Denied):
            self._note_refusal(request, user, decision.reason, "Forbidden")
            raise StatusError.forbidden(target.kind.resource, attributes.name, decision.reason)

    # Paths that are no resource

    async def _outside(self, request: Request, user: User, target: GroupVersion | NoResource | None) -> Response:
        if isinstance(target, NoResource):
            self._authorize_unknown(request, user, target)
        else:
            attributes = Attributes(verb=request.method.lower(), path=request.path)
            decision = self._parts.authorizer.authorize(user, attributes)
            if isinstance(decision, Denied):
                raise StatusError.forbidden_path(decision.reason)
        return await self._server_paths.answer(request, target)

    def _authorize_unknown(self, request: Request, user: User, target: NoResource) -> None:
        """Rights come first: who may not look is not told that there is nothing."""
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        asked = Attributes(
            verb=verbs.get(request.method, "get" if target.name else "list"),
            path=request.path,
            group=target.group,
            version=target.version,
            resource=target.resource,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
        )
        decision = self._parts.authorizer.authorize(user, asked)
        if isinstance(decision, Denied):
            shown = Resource(target.group, target.version, target.resource, "", bool(target.namespace))
            raise StatusError.forbidden(shown, target.name, decision.reason)

    # Subresources

    async def _subresource(
        self, request: Request, target: Target, user: User, attributes: Attributes, warnings: list[str]
    ) -> Answer:
        kind, verb = target.kind, attributes.verb
        found = next((each for each in discovery.subresources_of(kind) if each.name == target.subresource), None)
        if found is None:
            raise StatusError.no_such_path() if kind.built_in else StatusError.not_found(kind.resource, target.name)
        if verb not in found.verbs:
            raise StatusError.method_not_allowed()
        if found.connects and verb != "create":
            self._authorize(request, user, target, replace(attributes, verb="create"))
        if found.handler is None and found.stream is None:
            if found.name not in _STANDARD_SUBRESOURCES and found.part is None:
                why = f"{kind.resource.plural}/{target.subresource} is not emulated"
                return self._not_emulated(request, user, why)
            if verb == "get":
                return self._reading.object(request, kind, self._verbs.stored(kind, target.namespace, target.name))
            if verb == "update":
                return await self._writing.update(request, target, user, warnings)
            return await self._writing.patch(request, target, user, warnings)
        self._verbs.stored(kind, target.namespace, target.name)
        body: Obj | None = None
        if verb == "patch":
            check_strategic(kind, request.media_type)
            change = subresource_patch(request, found.group, found.kind)
        else:
            body = self._subresource_body(request, found)
            sent = body or {}

            def change(_: Obj) -> Obj:
                return copy.deepcopy(sent)

        call = SubresourceCall(
            kind=kind,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            verb=verb,
            user=user,
            request=request,
            body=body,
            change=change,
            dry_run=request.query.get("dryRun") == "All",
            warnings=warnings,
        )
        if found.stream is not None:
            return found.stream(call)
        assert found.handler is not None
        answer = await found.handler(call)
        return json_response(201 if verb == "create" else 200, answer) if isinstance(answer, dict) else answer

    def _subresource_body(self, request: Request, found: Subresource) -> Obj | None:
        if not request.body:
            return None
        obj = bodies.decode_object(request.media_type, request.body, self._parts.protobuf)
        expected = f"{found.group}/{found.version}" if found.group else found.version
        if obj.get("kind", found.kind) != found.kind or obj.get("apiVersion", expected) != expected:
            raise StatusError.bad_request(
                f"the object provided is unrecognized (must be of type {found.kind}): got"
                f" {obj.get('apiVersion')}, Kind={obj.get('kind')}"
            )
        for member in ("metadata", "spec"):
            if not isinstance(obj.get(member), dict | None):
                raise StatusError.bad_request(f"{found.kind}: {member} must be an object")
        return obj

    def _not_emulated(self, request: Request, user: User, why: str) -> Response:
        error = StatusError(501, "NotImplemented", why)
        self._note_refusal(request, user, why, error.reason)
        return _failure(error)

    def _note_refusal(self, request: Request, user: User, why: str, wire: str) -> None:
        self._journal.record(
            Hop(
                who=user.name,
                whom="cluster",
                what=f"{request.method} {request.path}",
                outcome="refused",
                why=why,
                wire=wire,
            )
        )


def _verb(request: Request, target: Target) -> str:
    """The API's verb for an HTTP method on *target*. Raises StatusError 405."""
    match request.method:
        case "GET" | "HEAD":
            if target.subresource:
                return "get"
            if "watch" in request.query and is_true(request.query["watch"] or "true"):
                return "watch"
            return "get" if target.name else "list"
        case "POST" if target.subresource or not target.name:
            return "create"
        case "PUT" if target.name:
            return "update"
        case "PATCH" if target.name:
            return "patch"
        case "DELETE" if not target.subresource:
            return "delete" if target.name else "deletecollection"
    raise StatusError.method_not_allowed()


def _failure(error: StatusError) -> Response:
    headers = list(error.headers)
    if error.retry_after_seconds is not None:
        headers.append(("Retry-After", str(error.retry_after_seconds)))
    return json_response(error.code, error.to_dict(), headers)


def _headers(warnings: list[str]) -> list[tuple[str, str]]:
    """What every answer carries: its id for the audit, and what the client is warned of."""
    return [("Audit-Id", str(uuid.uuid4())), *(_warning(text) for text in warnings)]


def _warning(text: str) -> tuple[str, str]:
    """A Warning header; what can't stand in one is dropped."""
    kept = "".join(character for character in text if character.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    return "Warning", f'299 - "{kept}"'.encode().decode("latin-1")
