"""Answers to get, list and watch, each in the form that the client asked for.

Contract: Kubernetes API surface, sections 1.4, 2.4 and 2.5.
"""

from collections.abc import Mapping, Sequence

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Compacted, Stored
from podpass.lab.cluster.extension import Tables
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.requests import bodies
from podpass.lab.cluster.requests.bodies import Form
from podpass.lab.cluster.requests.options import NEWEST, continue_token, list_options, watch_options
from podpass.lab.cluster.requests.paths import Target
from podpass.lab.cluster.verbs import Verbs, opening
from podpass.lab.cluster.watch import IncludeObject, Watches, partial_metadata
from podpass.serving.asgi import App, Request, Response, json_response

CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
    " Continuing with the provided token results in an inconsistent list - objects that were created, modified, or"
    " deleted between the time the first chunk was returned and now may show up in the list."
)
_JSON_HEADER = ("Content-Type", "application/json")

_encode = msgspec.json.Encoder().encode


class Reading:
    """Renders what is stored. Nothing here changes an object."""

    def __init__(self, verbs: Verbs, watches: Watches, tables: Tables | None) -> None:
        self._verbs = verbs
        self._watches = watches
        self._tables = tables

    def object(self, request: Request, kind: Kind, stored: Stored, status: int = 200) -> Response:
        """One object as JSON, YAML, Table or metadata alone."""
        form = bodies.form_of(request.headers.get("accept", ""))
        if form == bodies.PLAIN:
            return Response(status, self._verbs.encoded(kind, stored), (_JSON_HEADER,))
        if form.shape == "PartialObjectMetadataList":
            raise StatusError.not_acceptable(
                f"you requested {form.shape}, but the requested object is not a list ({_go_type(kind)})"
            )
        return self._shaped(request, kind, self._verbs.present(kind, stored), form, status)

    def _shaped(self, request: Request, kind: Kind, obj: Obj, form: Form, status: int) -> Response:
        found = obj
        if form.shape == "Table" and self._tables is not None:
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            found = self._tables.render(
                kind, [obj], metadata=metadata, include_object=_include_object(request.query), with_columns=True
            )
        elif form.shape != "object":
            found = partial_metadata(obj)
        return _rendered(status, found, form)

    def list(self, request: Request, target: Target) -> Response:
        """A collection, or a page of it. Raises StatusError 410 for a place that is too far back."""
        kind, storage = target.kind, self._verbs.storage
        form = bodies.form_of(request.headers.get("accept", ""), listed=True)
        if form.shape == "PartialObjectMetadata":
            raise StatusError.not_acceptable(
                f"you requested {form.shape}, but the requested object is a list ({_go_type(kind)}List)"
            )
        options = list_options(kind, target.namespace, request.query, newest=storage.rv)
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
                token = continue_token(NEWEST, target.namespace, options.after)
                raise StatusError.expired(CONTINUE_TOO_OLD, continue_token=token) from error
            raise StatusError.expired(f"too old resource version: {error.asked} ({error.oldest})") from error
        metadata: Obj = {"resourceVersion": str(page.rv)}
        if not kind.built_in:
            metadata["continue"] = ""
        if page.more:
            metadata["continue"] = continue_token(page.rv, target.namespace, page.items[-1].key)
            if page.remaining:
                metadata["remainingItemCount"] = page.remaining
        if form == bodies.PLAIN:
            return Response(200, self.joined(kind, page.items, metadata), (_JSON_HEADER,))
        items = [self._verbs.present(kind, stored) for stored in page.items]
        if form.shape == "Table" and self._tables is not None:
            table = self._tables.render(
                kind, items, metadata=metadata, include_object=_include_object(request.query), with_columns=True
            )
            return _rendered(200, table, form)
        if form.shape != "object":
            found: Obj = {"kind": "PartialObjectMetadataList", "apiVersion": form.version, "metadata": metadata}
            return _rendered(200, {**found, "items": [partial_metadata(item) for item in items]}, form)
        listed = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version, "metadata": metadata}
        return _rendered(200, {**listed, "items": items}, form)

    def joined(self, kind: Kind, items: Sequence[Stored], metadata: Obj) -> bytes:
        """The list, put together from the bodies as they are stored."""
        if kind.from_stored is not None and (kind.converts_until is None or any(kind.converts(s.rv) for s in items)):
            parts = [self._verbs.encoded(kind, stored) for stored in items]
        elif kind.built_in:
            parts = [stored.body for stored in items]
        else:
            start = opening(kind)
            parts = [start + stored.body[1:] for stored in items]
        head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version, "metadata": metadata}
        return b"".join((_encode(head)[:-1], b',"items":[', b",".join(parts), b"]}"))

    def watch(self, request: Request, target: Target, headers: tuple[tuple[str, str], ...]) -> App:
        """A stream of changes, its answer beginning with *headers*."""
        form = bodies.form_of(request.headers.get("accept", ""))
        return self._watches.stream(
            target.kind,
            target.namespace,
            watch_options(target.kind, request.query),
            form=form,
            tables=self._tables,
            include_object=_include_object(request.query),
            headers=headers,
        )


def _include_object(query: Mapping[str, str]) -> IncludeObject:
    chosen = query.get("includeObject", "") or "Metadata"
    if chosen not in ("None", "Metadata", "Object"):
        raise StatusError.bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{chosen[:64]}": must be'
            " 'Metadata', 'Object', 'None', or empty"
        )
    return chosen  # type: ignore[return-value]


def _go_type(kind: Kind) -> str:
    """What the API server calls the kind inside, which its refusals mention."""
    if not kind.built_in:
        return "*unstructured.Unstructured"
    return f"*{kind.resource.group.partition('.')[0] or 'core'}.{kind.resource.kind}"


def _rendered(status: int, obj: Obj, form: Form) -> Response:
    if form.shape != "object":
        obj = {**obj, "apiVersion": form.version}
    if not form.yaml:
        return json_response(status, obj)
    import yaml

    return Response(status, yaml.safe_dump(obj, sort_keys=True).encode(), (("Content-Type", "application/yaml"),))
