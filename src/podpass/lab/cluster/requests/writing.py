"""Requests that change something: the body is read and checked, the verb called, the outcome answered.

Contract: Kubernetes API surface, sections 2.6 to 2.8.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.kube import patch as patches
from podpass.kube.merging import MapRule, rules_for
from podpass.kube.objects import Obj
from podpass.kube.patch import DirectiveMalformed, PatchMalformed, PatchRefused, PatchTooLarge
from podpass.kube.status import Cause, StatusError, deleted
from podpass.lab.cluster.deletion import delete_options
from podpass.lab.cluster.extension import ProtobufDecoder, SubresourceCall, User
from podpass.lab.cluster.managedfields.server_side_apply import repeated_item
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.requests import bodies
from podpass.lab.cluster.requests.bodies import MAX_BODY_BYTES, Malformed
from podpass.lab.cluster.requests.options import Selection, Write, is_true, write_options
from podpass.lab.cluster.requests.paths import Target
from podpass.lab.cluster.requests.reading import Reading
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.write_rules import check_type
from podpass.serving.asgi import Request, Response, json_response

_PATCHES = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_MERGE_PATCH, patches.APPLY_PATCH)
_JSON_HEADER = ("Content-Type", "application/json")

_encode = msgspec.json.Encoder().encode


class Writing:
    """Answers in the form that *reading* gives objects. *warnings* collect what the answer is to warn of."""

    def __init__(self, verbs: Verbs, reading: Reading, protobuf: ProtobufDecoder | None) -> None:
        self._verbs = verbs
        self._reading = reading
        self._protobuf = protobuf

    def _body(self, request: Request, write: Write, kind: Kind) -> Obj:
        """The object in the request, its members checked against the kind's schema."""
        obj = bodies.decode_object(request.media_type, request.body, self._protobuf, kind=kind.resource.kind)
        raw = request.body if request.media_type in ("", bodies.JSON) else b""
        name, version = kind.resource.kind, kind.resource.version
        if not kind.built_in:
            _check_typed(kind, obj, request.body)
        self._check_fields(
            kind, obj, raw, write, where=f'{name} in version "{version}" cannot be handled as a {name}: '
        )
        return obj

    def _check_fields(self, kind: Kind, obj: Obj, raw: bytes, write: Write, *, where: str = "") -> None:
        check_type(kind, obj)
        check = self._verbs.check_fields
        if check is None:
            return
        texts = check(kind, obj, raw)
        if not texts or write.field_validation == "Ignore":
            return
        if write.field_validation == "Strict":
            raise StatusError.bad_request(f"{where}strict decoding error: {', '.join(texts)}")
        write.warnings.extend(text for text in texts if text not in write.warnings)

    def _check_patched(self, kind: Kind, obj: Obj, raw: bytes, write: Write, patch: "_Patch") -> None:
        """The members of what a patch made."""
        try:
            self._check_fields(kind, obj, raw, write)
        except StatusError as error:
            if error.code != 400 or obj.get("kind") != kind.resource.kind:
                raise
            marker = f"cannot be handled as a {kind.resource.kind}: "
            why = error.message.partition(marker)[2] or error.message
            raise StatusError.patch_invalid(patch.shown(obj), why) from error

    def _check_configuration(self, kind: Kind, config: Obj, raw: bytes, write: Write) -> None:
        """Server-side apply takes no member that the schema does not know, whatever the mode."""
        api_version, name = config.get("apiVersion") or "", config.get("kind") or ""
        if (api_version, name) != (kind.resource.api_version, kind.resource.kind):
            group, _, version = str(api_version).rpartition("/")
            raise StatusError.bad_request(f"invalid object type: {group}/{version}, Kind={name}")
        check = self._verbs.check_fields
        if check is None:
            return
        meta = config.get("metadata")
        place = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}" if isinstance(meta, dict) else "/"
        what = (
            f"failed to create typed patch object ({place}; {kind.resource.group}/{kind.resource.version}, Kind={name})"
        )
        try:
            texts = check(kind, config, raw if raw.lstrip()[:1] == b"{" else b"")
        except StatusError as error:
            why = error.message.partition(f"cannot be handled as a {name}: ")[2] or error.message
            raise StatusError.unnamed(f"{what}: {why}") from error
        unknown = [text.removeprefix('unknown field "')[:-1] for text in texts if text.startswith("unknown field ")]
        faults = [f".{path}: field not declared in schema" for path in unknown]
        if (path := repeated_item(config, kind.merge_rules)) is not None:
            faults.append(path)
        if faults:
            told = faults[0] if len(faults) == 1 else "errors:\n" + "\n".join(f"  {fault}" for fault in faults)
            raise StatusError.unnamed(f"{what}: {told}")
        repeated = [text for text in texts if text.startswith("duplicate field ")]
        if repeated and write.field_validation == "Strict":
            raise StatusError.bad_request(f"error strict decoding patch: {', '.join(repeated)}")
        if write.field_validation == "Warn":
            write.warnings.extend(repeated)

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

    async def create(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
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
        return self._reading.object(
            request, kind, await self._verbs.create_object(kind, obj, target.namespace, write), 201
        )

    async def update(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
        kind = target.kind
        write = self._write(request, user, "UpdateOptions", warnings, target.subresource)
        obj = self._body(request, write, kind)
        if not isinstance(obj.get("metadata"), dict) or not obj["metadata"].get("name"):
            raise StatusError.bad_request(
                f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
            )

        # Every attempt gets its own copy: admission and the hooks change it.
        def make(_: Obj) -> Obj:
            copied: Obj = msgspec.json.decode(_encode(obj))
            return copied

        return self._reading.object(
            request, kind, await self._verbs.change(kind, target.namespace, target.name, make, write)
        )

    async def patch(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
        kind, media_type = target.kind, request.media_type
        if media_type not in _PATCHES:
            raise StatusError.unsupported_media_type()
        check_strategic(kind, media_type)
        write = self._write(request, user, "PatchOptions", warnings, target.subresource)
        if media_type == patches.APPLY_PATCH:
            return await self._apply(request, target, write)
        if request.query.get("force"):
            cause = Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
            raise StatusError.invalid_kind("meta.k8s.io", "PatchOptions", "", [cause])
        patch = _Patch.of(request, kind.merge_rules)

        def make(obj: Obj) -> Obj:
            fresh = patch.apply(obj)
            raw = request.body if media_type != patches.JSON_PATCH else b""
            self._check_patched(kind, fresh, raw, write, patch)
            return fresh

        return self._reading.object(
            request, kind, await self._verbs.change(kind, target.namespace, target.name, make, write)
        )

    async def _apply(self, request: Request, target: Target, write: Write) -> Response:
        if not request.query.get("fieldManager"):
            cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise StatusError.invalid_kind("meta.k8s.io", "PatchOptions", "", [cause])
        config = _configuration(request.body)
        self._check_configuration(target.kind, config, request.body, write)
        force = is_true(request.query.get("force", ""))
        stored, created = await self._verbs.apply(
            target.kind, target.namespace, target.name, config, write, force=force
        )
        return self._reading.object(request, target.kind, stored, 201 if created else 200)

    async def delete(self, request: Request, target: Target, user: User, warnings: list[str]) -> Response:
        kind = target.kind
        write = self._write(request, user, "DeleteOptions", warnings)
        body = self._delete_body(request)
        options = delete_options(body, request.query)
        # Like every other option, a dry run is asked for in the body where there is one.
        write.dry_run = options.dry_run
        write.options = {**write.options, **{name: value for name, value in (body or {}).items() if value}}
        stored, gone = await self._verbs.delete_object(kind, target.namespace, target.name, options, write)
        if gone and not kind.returns_object_on_delete:
            return json_response(200, deleted(kind.resource, target.name, stored.uid))
        return self._reading.object(request, kind, stored)

    def _delete_body(self, request: Request) -> Obj | None:
        if not request.body:
            return None
        body = bodies.decode_object(request.media_type, request.body, self._protobuf)
        if (name := body.get("kind") or "DeleteOptions") != "DeleteOptions":
            raise StatusError.bad_request(
                f'no kind "{name}" is registered for version "{body.get("apiVersion")}" in scheme'
                ' "pkg/runtime/scheme.go:111"'
            )
        return body

    async def delete_collection(
        self, request: Request, target: Target, user: User, warnings: list[str], chosen: Selection
    ) -> Response:
        kind = target.kind
        write = self._write(request, user, "DeleteOptions", warnings)
        options = delete_options(self._delete_body(request), request.query)
        write.dry_run = options.dry_run
        page = self._verbs.storage.page(kind.storage, target.namespace, accepts=chosen.accepts(kind))
        for stored in page.items:
            try:
                await self._verbs.delete_object(kind, *stored.key, options, write)
            except StatusError as error:
                if error.code != 404:
                    raise
        body = self._reading.joined(kind, page.items, {"resourceVersion": str(self._verbs.storage.rv)})
        return Response(200, body, (_JSON_HEADER,))


@dataclass(frozen=True, slots=True)
class _Patch:
    """A patch that is no apply."""

    media_type: str
    value: Any
    rules: MapRule

    @classmethod
    def of(cls, request: Request, rules: MapRule) -> "_Patch":
        """Raises StatusError 400 for a body that is no patch."""
        return cls(request.media_type, _patch_value(request.media_type, request.body), rules)

    def shown(self, patched: Obj) -> str:
        """How the API server says what can't be read as the object's kind."""
        if self.media_type == patches.STRATEGIC_MERGE_PATCH:
            return patches.go_value(self.value)
        return _encode(patched).decode()

    def apply(self, obj: Obj) -> Obj:
        """What it makes of an object, which it may change. Raises StatusError."""
        try:
            if self.media_type == patches.JSON_PATCH:
                patched = patches.apply_json_patch(obj, self.value)
            elif self.media_type == patches.MERGE_PATCH:
                patched = patches.apply_merge_patch(obj, self.value)
            else:
                patched = patches.apply_strategic_merge_patch(obj, self.value, self.rules)
        except PatchTooLarge as error:
            message = f"Request entity too large: {error}"
            raise StatusError(413, "RequestEntityTooLarge", message) from error
        except DirectiveMalformed as error:
            raise StatusError.bad_request(str(error)) from error
        except (PatchMalformed, PatchRefused) as error:
            if self.media_type == patches.STRATEGIC_MERGE_PATCH:
                raise StatusError.unnamed(str(error)) from error
            # Which operation, and why, the API server does not tell.
            message = "the server rejected our request due to an error in our request"
            raise StatusError(422, "Invalid", message, details={}) from error
        if not isinstance(patched, dict):
            raise StatusError.bad_request("the patched document is not an object")
        # Deep copies may share parts with the request's value, which a second attempt needs unchanged.
        encoded = _encode(patched)
        if len(encoded) > MAX_BODY_BYTES:
            raise StatusError.too_large(MAX_BODY_BYTES)
        try:
            fresh: Obj = bodies.decode_json(encoded)
        except Malformed as error:
            raise StatusError.bad_request(str(error)) from error
        return fresh


def change_of(request: Request, rules: MapRule) -> Callable[[Obj], Obj]:
    """What a PATCH that is no apply makes of an object. Raises StatusError, now for the body, then for the patch."""
    return _Patch.of(request, rules).apply


def check_strategic(kind: Kind, media_type: str) -> None:
    """Raises StatusError 415 for a strategic merge patch of what has no rules for one."""
    if media_type == patches.STRATEGIC_MERGE_PATCH and not kind.built_in:
        raise StatusError.unsupported_media_type([each for each in _PATCHES if each != media_type])


def _check_typed(kind: Kind, obj: Obj, body: bytes) -> None:
    """An object of a kind that is not built in says what it is. Raises StatusError 400."""
    expected = kind.resource
    if not obj.get("kind"):
        sent = body.decode(errors="replace")
        summary = sent if len(sent) <= 30 else f"{sent[:30]} ..."
        raise StatusError.bad_request(
            f"the object provided is unrecognized (must be of type {expected.kind}): Object 'Kind' is missing in"
            f" '{sent}' ({summary})"
        )
    if not obj.get("apiVersion"):
        raise StatusError.bad_request(
            f"the API version in the data () does not match the expected API version ({expected.api_version})"
        )


def subresource_patch(request: Request, group: str, kind: str) -> Callable[[Obj], Obj]:
    """The same for a subresource that has a shape of its own, such as a Scale. Raises StatusError."""
    if request.media_type not in _PATCHES or request.media_type == patches.APPLY_PATCH:
        raise StatusError.unsupported_media_type()
    return change_of(request, rules_for(group, kind))


def _patch_value(media_type: str, body: bytes) -> Any:
    """What is to be applied. Raises StatusError 400."""
    try:
        value = bodies.decode_json(body)
    except Malformed as error:
        raise StatusError.bad_request("invalid JSON patch") from error
    wanted, go_type = (
        (list, "[]handlers.jsonPatchOp") if media_type == patches.JSON_PATCH else (dict, "map[string]interface {}")
    )
    if not isinstance(value, wanted):
        why = f"json: cannot unmarshal {bodies.json_type(value)} into Go value of type {go_type}"
        prefix = "" if media_type == patches.STRATEGIC_MERGE_PATCH else "error decoding patch: "
        raise StatusError.bad_request(prefix + why)
    return value


def _configuration(body: bytes) -> Obj:
    """What is applied: JSON or YAML. Raises StatusError 400."""
    try:
        value = bodies.decode_json(body) if body.lstrip()[:1] == b"{" else bodies.decode_yaml(body)
    except Malformed as error:
        why = str(error).removeprefix("yaml: ")
        raise StatusError.bad_request(f"error decoding patch: error converting YAML to JSON: yaml: {why}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise StatusError.bad_request(
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
            f" {bodies.json_type(value)} into Go value of type map[string]interface {{}}"
        )
    return value
