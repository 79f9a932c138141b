"""The Kubernetes API over HTTP: parse the request, ask who and whether, call the verb, render the answer.

Contract: kubernetes surface, sections 1.1, 1.4, 2.3 to 2.6.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.kube import patch as patches
from podpass.kube.merging import rules_for
from podpass.kube.objects import Obj
from podpass.kube.patch import PatchMalformed, PatchRefused
from podpass.kube.status import Cause, StatusError, deleted
from podpass.lab.cluster import bodies, discovery, paths
from podpass.lab.cluster.bodies import MAX_BODY_BYTES, Form
from podpass.lab.cluster.collection import Compacted, Stored
from podpass.lab.cluster.deletion import delete_options
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
from podpass.lab.cluster.options import (
    NEWEST,
    Selection,
    Write,
    continue_token,
    is_true,
    list_options,
    selection,
    watch_options,
    write_options,
)
from podpass.lab.cluster.paths import GroupVersion, NoResource, Target
from podpass.lab.cluster.registry import Kind, Subresource
from podpass.lab.cluster.verbs import Verbs, check_type, opening
from podpass.lab.cluster.watch import IncludeObject, Watches, partial_metadata
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
    text_response,
)

CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
    " Continuing with the provided token results in an inconsistent list - objects that were created, modified, or"
    " deleted between the time the first chunk was returned and now may show up in the list."
)
_JSON_HEADER = ("Content-Type", "application/json")
_NOT_CACHED = ("Cache-Control", "no-cache, private")
_HEALTH = ("/healthz", "/livez", "/readyz")
_STANDARD_SUBRESOURCES = ("status", "finalize")
_PATCHES = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_MERGE_PATCH, patches.APPLY_PATCH)

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)

Answer = Response | App
Route = Callable[[Request], Awaitable[Response] | Response | None]


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
        self._watches = watches
        self._journal = journal
        self._parts = parts
        self._registry = verbs.registry
        self._discovery: dict[tuple[str, int], bytes] = {}

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
        headers = [*answer.headers, ("Audit-Id", str(uuid.uuid4())), *(_warning(text) for text in warnings)]
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
        name = target.name
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
            namespace=target.namespace
            or (target.name if resource.plural == "namespaces" and not resource.group else ""),
            name=name,
        )
        decision = self._parts.authorizer.authorize(user, attributes)
        if isinstance(decision, Denied):
            self._note_refusal(request, user, decision.reason)
            raise StatusError.forbidden(resource, name, decision.reason, subresource=target.subresource)
        if verb == "watch" and target.name:
            raise StatusError.method_not_allowed()
        if target.subresource:
            return await self._subresource(request, target, user, verb, warnings)
        kind = target.kind
        if verb == "watch" and "list" in kind.verbs:
            return self._watch(request, target, warnings)
        if verb not in kind.verbs:
            raise StatusError.method_not_allowed(resource, verb)
        match verb:
            case "get":
                return self._object(request, kind, self._verbs.stored(kind, target.namespace, target.name))
            case "list":
                return self._list(request, target)
            case "create":
                return await self._create(request, target, user, warnings)
            case "update":
                return await self._update(request, target, user, warnings)
            case "patch":
                return await self._patch(request, target, user, warnings)
            case "delete":
                return await self._delete(request, target, user, warnings)
            case _:
                return await self._delete_collection(request, target, user, warnings, chosen or Selection())

    # Paths that are no resource

    async def _outside(self, request: Request, user: User, target: GroupVersion | NoResource | None) -> Response:
        if not isinstance(target, NoResource):
            attributes = Attributes(verb=request.method.lower(), path=request.path)
            decision = self._parts.authorizer.authorize(user, attributes)
            if isinstance(decision, Denied):
                raise StatusError.forbidden_path(decision.reason)
        path = request.path
        if request.method not in ("GET", "HEAD"):
            raise StatusError.no_such_path() if target is not None else StatusError.method_not_allowed()
        if isinstance(target, NoResource):
            raise StatusError.no_such_path()
        if isinstance(target, GroupVersion):
            return self._group_version(target)
        match path.rstrip("/") or "/":
            case "/":
                return json_response(200, discovery.root_paths(self._registry))
            case "/version":
                return json_response(200, discovery.VERSION)
            case "/api" | "/apis" as place:
                return self._groups(request, core=place == "/api")
        root, _, check = path.strip("/").partition("/")
        if f"/{root}" in _HEALTH:
            return self._health(request, root, check)
        if path.startswith("/openapi/") and self._parts.openapi is not None:
            return await self._parts.openapi(request)
        return self._parts.document(path) or text_response(404, "404 page not found\n")

    def _groups(self, request: Request, *, core: bool) -> Response:
        if discovery.wants_aggregated(request.headers.get("accept", "")):
            key = ("core" if core else "groups", self._registry.changes)
            body = self._discovery.get(key)
            if body is None:
                self._discovery = {each: kept for each, kept in self._discovery.items() if each[1] == key[1]}
                body = self._discovery[key] = _encode(discovery.aggregated(self._registry, core=core))
            return Response(200, body, (("Content-Type", discovery.AGGREGATED), ("Vary", "Accept")))
        found = discovery.api_versions(request.host) if core else discovery.group_list(self._registry)
        return json_response(200, found, (("Vary", "Accept"),))

    def _group_version(self, target: GroupVersion) -> Response:
        if target.version:
            found = discovery.resource_list(self._registry, target.group, target.version)
        else:
            found = discovery.group(self._registry, target.group)
        if found is None:
            return text_response(404, "404 page not found\n")
        return json_response(200, found)

    def _health(self, request: Request, root: str, check: str) -> Response:
        fault = self._parts.live()
        if check not in ("", "ping", "storage"):
            return text_response(404, "404 page not found\n")
        if fault:
            return text_response(500, f"[-]{fault}\n{root} check failed\n")
        if "verbose" in request.query:
            return text_response(200, f"[+]ping ok\n[+]storage ok\n[+]controllers ok\n{root} check passed\n")
        return text_response(200, "ok")

    # Reading

    def _object(self, request: Request, kind: Kind, stored: Stored, status: int = 200) -> Response:
        form = bodies.form_of(request.headers.get("accept", ""))
        if form == bodies.PLAIN:
            return Response(status, self._verbs.encoded(kind, stored), (_JSON_HEADER,))
        return self._shaped(request, kind, self._verbs.present(kind, stored), form, status)

    def _shaped(self, request: Request, kind: Kind, obj: Obj, form: Form, status: int) -> Response:
        if form.yaml:
            return _yaml(status, obj)
        if form.shape == "Table" and self._parts.tables is not None:
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            table = self._parts.tables.render(
                kind, [obj], metadata=metadata, include_object=_include_object(request.query), with_columns=True
            )
            return json_response(status, table)
        return json_response(status, partial_metadata(obj) if form.shape != "object" else obj)

    def _list(self, request: Request, target: Target) -> Response:
        kind, storage = target.kind, self._verbs.storage
        form = bodies.form_of(request.headers.get("accept", ""))
        options = list_options(kind, request.query, newest=storage.rv)
        try:
            page = storage.page(
                kind.storage,
                target.namespace,
                at=options.at,
                after=options.after,
                limit=options.limit,
                accepts=options.selection.accepts(kind),
            )
        except Compacted as error:
            if request.query.get("continue"):
                assert options.after is not None
                token = continue_token(NEWEST, options.after)
                raise StatusError.expired(CONTINUE_TOO_OLD, continue_token=token) from error
            raise StatusError.expired(f"too old resource version: {error.asked} ({error.oldest})") from error
        metadata: Obj = {"resourceVersion": str(page.rv)}
        if page.more:
            metadata["continue"] = continue_token(page.rv, page.items[-1].key)
            if page.remaining:
                metadata["remainingItemCount"] = page.remaining
        if form == bodies.PLAIN:
            return Response(200, self._joined(kind, page.items, metadata), (_JSON_HEADER,))
        items = [self._verbs.present(kind, stored) for stored in page.items]
        if form.shape == "Table" and self._parts.tables is not None:
            table = self._parts.tables.render(
                kind, items, metadata=metadata, include_object=_include_object(request.query), with_columns=True
            )
            return json_response(200, table)
        if form.shape != "object":
            found: Obj = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            return json_response(200, {**found, "items": [partial_metadata(item) for item in items]})
        listed = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version, "metadata": metadata}
        return _yaml(200, {**listed, "items": items})

    def _joined(self, kind: Kind, items: list[Stored], metadata: Obj) -> bytes:
        """The list, put together from the bodies as they are stored."""
        if kind.from_stored is not None:
            parts = [self._verbs.encoded(kind, stored) for stored in items]
        elif kind.built_in:
            parts = [stored.body for stored in items]
        else:
            start = opening(kind)
            parts = [start + stored.body[1:] for stored in items]
        head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version, "metadata": metadata}
        return b"".join((_encode(head)[:-1], b',"items":[', b",".join(parts), b"]}"))

    def _watch(self, request: Request, target: Target, warnings: list[str]) -> App:
        form = bodies.form_of(request.headers.get("accept", ""))
        return self._watches.stream(
            target.kind,
            target.namespace,
            watch_options(target.kind, request.query),
            form=form,
            tables=self._parts.tables,
            include_object=_include_object(request.query),
            headers=(_NOT_CACHED, ("Audit-Id", str(uuid.uuid4())), *(_warning(text) for text in warnings)),
        )

    # Writing

    def _body(self, request: Request, write: Write, kind: Kind) -> Obj:
        """The object in the request, its members checked against the kind's schema."""
        obj = bodies.decode_object(request.media_type, request.body, self._parts.protobuf)
        raw = request.body if request.media_type in ("", bodies.JSON) else b""
        self._check_fields(kind, obj, raw, write)
        return obj

    def _check_fields(self, kind: Kind, obj: Obj, raw: bytes, write: Write) -> None:
        check_type(kind, obj)
        check = self._verbs.check_fields
        if check is None:
            return
        texts = check(kind, obj, raw)
        if not texts or write.field_validation == "Ignore":
            return
        if write.field_validation == "Strict":
            raise StatusError.bad_request(f"strict decoding error: {', '.join(texts)}")
        write.warnings.extend(text for text in texts if text not in write.warnings)

    def _write(self, request: Request, user: User, kind: str, warnings: list[str], subresource: str = "") -> Write:
        write = write_options(
            request.query,
            user=user,
            user_agent=request.headers.get("user-agent", ""),
            kind=kind,
            subresource=subresource,
        )
        write.warnings = warnings
        return write

    async def _create(self, request: Request, target: Target, user: User, warnings: list[str]) -> Answer:
        kind = target.kind
        write = self._write(request, user, "CreateOptions", warnings)
        if kind.resource.namespaced and not target.namespace:
            raise StatusError.bad_request("an empty namespace may not be set during creation")
        obj = self._body(request, write, kind)
        if kind.answer_create is not None:
            call = SubresourceCall(
                kind=kind,
                namespace=target.namespace,
                name="",
                subresource="",
                verb="create",
                user=user,
                request=request,
                body=obj,
                dry_run=write.dry_run,
                warnings=warnings,
            )
            answer = await kind.answer_create(call)
            return answer if isinstance(answer, Response) else json_response(201, answer)
        return self._object(request, kind, await self._verbs.create_object(kind, obj, target.namespace, write), 201)

    async def _update(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
        kind = target.kind
        write = self._write(request, user, "UpdateOptions", warnings, target.subresource)
        obj = self._body(request, write, kind)
        if not isinstance(obj.get("metadata"), dict) or not obj["metadata"].get("name"):
            cause = Cause("FieldValueRequired", "Required value: name is required", "metadata.name")
            raise StatusError.invalid(kind.resource, target.name, [cause])

        # Every attempt gets its own copy: admission and the hooks change it.
        def make(_: Obj) -> Obj:
            copied: Obj = msgspec.json.decode(_encode(obj))
            return copied

        return self._object(request, kind, await self._verbs.change(kind, target.namespace, target.name, make, write))

    async def _patch(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
        kind, media_type = target.kind, request.media_type
        if media_type not in _PATCHES or (media_type == patches.STRATEGIC_MERGE_PATCH and not kind.built_in):
            allowed = [each for each in _PATCHES if kind.built_in or each != patches.STRATEGIC_MERGE_PATCH]
            raise StatusError.unsupported_media_type(allowed)
        write = self._write(request, user, "PatchOptions", warnings, target.subresource)
        if media_type == patches.APPLY_PATCH:
            return await self._apply(request, target, write)
        if request.query.get("force"):
            cause = Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
            raise StatusError.invalid_kind("meta.k8s.io", "PatchOptions", "", [cause])
        value = bodies.decode_json(request.body)
        rules = rules_for(kind.resource.group, kind.resource.kind)

        def make(obj: Obj) -> Obj:
            try:
                if media_type == patches.JSON_PATCH:
                    patched = patches.apply_json_patch(obj, value)
                elif media_type == patches.MERGE_PATCH:
                    patched = patches.apply_merge_patch(obj, _mapping(value))
                else:
                    patched = patches.apply_strategic_merge_patch(obj, value, rules)
            except PatchMalformed as error:
                raise StatusError.bad_request(str(error)) from error
            except PatchRefused as error:
                message = f"the server rejected our request due to an error in our request: {error}"
                raise StatusError(422, "Invalid", message) from error
            if not isinstance(patched, dict):
                raise StatusError.bad_request("the patched document is not an object")
            # Deep copies may share parts with the request's value, which a second attempt needs unchanged.
            encoded = _encode(patched)
            if len(encoded) > MAX_BODY_BYTES:
                raise StatusError.too_large(MAX_BODY_BYTES)
            fresh: Obj = bodies.decode_json(encoded)
            self._check_fields(kind, fresh, request.body if media_type != patches.JSON_PATCH else b"", write)
            return fresh

        return self._object(request, kind, await self._verbs.change(kind, target.namespace, target.name, make, write))

    async def _apply(self, request: Request, target: Target, write: Write) -> Response:
        if not request.query.get("fieldManager"):
            raise StatusError.bad_request("fieldManager is required for apply patch")
        if request.body.lstrip()[:1] in (b"{", b""):
            config = bodies.decode_json(request.body)
        else:
            config = bodies.decode_yaml(request.body)
        config = _mapping(config)
        self._check_fields(target.kind, config, request.body, write)
        force = is_true(request.query.get("force", ""))
        stored, created = await self._verbs.apply(
            target.kind, target.namespace, target.name, config, write, force=force
        )
        return self._object(request, target.kind, stored, 201 if created else 200)

    async def _delete(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
        kind = target.kind
        write = self._write(request, user, "DeleteOptions", warnings)
        body = self._delete_body(request)
        options = delete_options(body, request.query)
        write.options = {**write.options, **{name: value for name, value in (body or {}).items() if value}}
        stored, gone = await self._verbs.delete_object(kind, target.namespace, target.name, options, write)
        if gone and not kind.returns_object_on_delete:
            return json_response(200, deleted(kind.resource, target.name, stored.uid))
        return self._object(request, kind, stored)

    def _delete_body(self, request: Request) -> Obj | None:
        if not request.body:
            return None
        return bodies.decode_object(request.media_type, request.body, self._parts.protobuf)

    async def _delete_collection(
        self, request: Request, target: Target, user: User, warnings: list[str], chosen: Selection
    ) -> Response:
        kind = target.kind
        write = self._write(request, user, "DeleteOptions", warnings)
        options = delete_options(self._delete_body(request), request.query)
        page = self._verbs.storage.page(kind.storage, target.namespace, accepts=chosen.accepts(kind))
        for stored in page.items:
            try:
                await self._verbs.delete_object(kind, *stored.key, options, write)
            except StatusError as error:
                if error.code != 404:
                    raise
        body = self._joined(kind, page.items, {"resourceVersion": str(self._verbs.storage.rv)})
        return Response(200, body, (_JSON_HEADER,))

    # Subresources

    async def _subresource(
        self, request: Request, target: Target, user: User, verb: str, warnings: list[str]
    ) -> Answer:
        kind = target.kind
        found = next((each for each in discovery.subresources_of(kind) if each.name == target.subresource), None)
        if found is None:
            raise StatusError.no_such_path()
        if verb not in found.verbs:
            raise StatusError.method_not_allowed()
        if found.handler is None and found.stream is None:
            if found.name not in _STANDARD_SUBRESOURCES:
                return self._not_emulated(request, user, target)
            if verb == "get":
                return self._object(request, kind, self._verbs.stored(kind, target.namespace, target.name))
            if verb == "update":
                return await self._update(request, target, user, warnings)
            return await self._patch(request, target, user, warnings)
        self._verbs.stored(kind, target.namespace, target.name)
        call = SubresourceCall(
            kind=kind,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            verb=verb,
            user=user,
            request=request,
            body=self._subresource_body(request, found),
            dry_run=request.query.get("dryRun") == "All",
            warnings=warnings,
        )
        if found.stream is not None:
            return found.stream(call)
        assert found.handler is not None
        answer = await found.handler(call)
        return answer if isinstance(answer, Response) else json_response(201 if verb == "create" else 200, answer)

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

    def _not_emulated(self, request: Request, user: User, target: Target) -> Response:
        why = f"{target.kind.resource.plural}/{target.subresource} is not emulated"
        self._note_refusal(request, user, why)
        return _failure(StatusError(501, "NotImplemented", why))

    def _note_refusal(self, request: Request, user: User, why: str) -> None:
        self._journal.record(
            Hop(
                who=user.name,
                whom="cluster",
                what=f"{request.method} {request.path}",
                outcome="refused",
                why=why,
                wire="Forbidden" if "not emulated" not in why else "NotImplemented",
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


def _include_object(query: Mapping[str, str]) -> IncludeObject:
    chosen = query.get("includeObject", "") or "Metadata"
    if chosen not in ("None", "Metadata", "Object"):
        raise StatusError.bad_request(f"unrecognized includeObject value: {chosen[:64]!r}")
    return chosen  # type: ignore[return-value]


def _mapping(value: Any) -> Obj:
    if not isinstance(value, dict):
        raise StatusError.bad_request("the patch is not an object")
    return value


def _failure(error: StatusError) -> Response:
    headers = list(error.headers)
    if error.retry_after_seconds is not None:
        headers.append(("Retry-After", str(error.retry_after_seconds)))
    return json_response(error.code, error.to_dict(), headers)


def _yaml(status: int, obj: Obj) -> Response:
    import yaml

    return Response(status, yaml.safe_dump(obj, sort_keys=True).encode(), (("Content-Type", "application/yaml"),))


def _warning(text: str) -> tuple[str, str]:
    """A Warning header; what can't stand in one is dropped."""
    kept = "".join(character for character in text if character.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    return "Warning", f'299 - "{kept}"'.encode().decode("latin-1")
