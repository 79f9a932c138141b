"""The verbs of the API, written once for all kinds: get, list, create, update, patch, apply, delete.

HTTP and the cluster's own controllers both come through here, so admission, validation and the bookkeeping of
metadata hold for everybody. Contract: Kubernetes API surface, sections 2.1, 2.6 to 2.8, 3.1.
"""

import copy
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import NAMESPACES, PODS, Resource
from podpass.kube.status import INVALID, Cause, StatusError
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.cluster import deletion, metadata
from podpass.lab.cluster.collection import Stored
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.extension import SYSTEM, Admission, AdmissionAttributes, FieldValidator, Operation, User
from podpass.lab.cluster.managedfields import server_side_apply, tracking
from podpass.lab.cluster.managedfields.tracking import Manager
from podpass.lab.cluster.registry import Kind, Registry
from podpass.lab.cluster.requests.options import Write
from podpass.lab.cluster.storage import Changed, Storage
from podpass.lab.cluster.write_rules import (
    KEPT_ON_UPDATE,
    SET_BY_SERVER,
    check_identity,
    check_shape,
    check_type,
    name_differs,
    only_writable,
    settle_namespace,
)
from podpass.lab.journal import Hop, Journal

ATTEMPTS = 5
"""How often a write without a resourceVersion is computed anew when another one was quicker."""
GENERATED_NAME_ATTEMPTS = 8

_encode = msgspec.json.Encoder().encode
Make = Callable[[Obj], Obj]
"""From the stored object, which it may change, to the one a write asks for."""


class Verbs:
    """What can be done with the objects of a cluster. Everything raises StatusError as the API would."""

    def __init__(self, registry: Registry, storage: Storage, clock: Clock, journal: Journal) -> None:
        self.registry = registry
        self.storage = storage
        self.clock = clock
        self._journal = journal
        self.admission: Admission | None = None
        self.check_fields: FieldValidator | None = None
        self._lists: dict[tuple[Resource, str], tuple[Kind, int, list[Obj]]] = {}

    # Reading

    def stored(self, kind: Kind, namespace: str, name: str) -> Stored:
        found = self.storage.get(kind.storage, namespace, name)
        if found is None:
            raise StatusError.not_found(kind.resource, name)
        return found

    def present(self, kind: Kind, stored: Stored) -> Obj:
        """A fresh copy of the object in the version of *kind*."""
        obj = {"kind": kind.storage.kind, "apiVersion": kind.storage.api_version, **stored.object()}
        if kind.from_stored is not None and kind.converts(stored.rv):
            return kind.from_stored(obj)
        obj["kind"], obj["apiVersion"] = kind.resource.kind, kind.resource.api_version
        return obj

    def encoded(self, kind: Kind, stored: Stored) -> bytes:
        """The object as JSON, without decoding it where nothing is to be converted."""
        if kind.converts(stored.rv):
            return _encode(self.present(kind, stored))
        return opening(kind) + stored.body[1:]

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj:
        kind = self.registry.of(resource)
        return self.present(kind, self.stored(kind, namespace, name))

    def find(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        found = self.storage.get(resource, namespace, name)
        return None if found is None else self.present(self.registry.of(resource), found)

    def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        kind, version = self.registry.of(resource), self.storage.version(resource)
        known = self._lists.get((resource, namespace))
        if known is not None and known[0] is kind and known[1] == version:
            return known[2]
        found = [self.present(kind, stored) for stored in self.storage.page(resource, namespace).items]
        # Authorization and admission ask for the same few small lists at every request.
        if len(found) <= 256:
            self._lists[resource, namespace] = (kind, version, found)
        return found

    def version(self, resource: Resource) -> int:
        return self.storage.version(resource)

    # Writing, for the cluster's own parts

    async def create(
        self, resource: Resource, obj: Obj, namespace: str = "", *, user: User = SYSTEM, dry_run: bool = False
    ) -> Obj:
        kind = self.registry.of(resource)
        return self.present(kind, await self.create_object(kind, obj, namespace, Write(user=user, dry_run=dry_run)))

    async def update(
        self, resource: Resource, obj: Obj, *, subresource: str = "", user: User = SYSTEM, dry_run: bool = False
    ) -> Obj:
        kind = self.registry.of(resource)
        write = Write(user=user, subresource=subresource, dry_run=dry_run)
        namespace, name = objects.key(obj)
        return self.present(kind, await self.change(kind, namespace, name, lambda _: copy.deepcopy(obj), write))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        options: Mapping[str, Any] | None = None,
        user: User = SYSTEM,
    ) -> Obj:
        kind = self.registry.of(resource)
        stored, _ = await self.delete_object(
            kind, namespace, name, deletion.delete_options(options, {}), Write(user=user)
        )
        return self.present(kind, stored)

    # Writing

    async def create_object(
        self, kind: Kind, obj: Obj, namespace: str, write: Write, *, applied: bool = False
    ) -> Stored:
        """Store a new object. *applied*: server-side apply made it and wrote its managedFields."""
        try:
            stored = await self._create(kind, obj, namespace, write, applied=applied)
        except StatusError as error:
            self._note(kind, "create", namespace, objects.name(obj), write, error)
            raise
        self._note(kind, "create", *stored.key, write)
        return stored

    async def _create(self, kind: Kind, obj: Obj, namespace: str, write: Write, *, applied: bool) -> Stored:
        check_type(kind, obj)
        check_shape(kind, obj)
        obj = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version, **obj}
        if kind.to_stored is not None:
            obj = kind.to_stored(obj)
        meta = obj["metadata"] = {key: value for key, value in obj["metadata"].items() if value is not None}
        settle_namespace(kind, meta, namespace)
        if meta.get("resourceVersion") and not applied and kind.built_in:
            raise StatusError.unnamed("resourceVersion should not be set on objects to be created")
        for member in SET_BY_SERVER:
            meta.pop(member, None)
        generate = not meta.get("name") and meta.get("generateName")
        self._check_namespace(kind, namespace, meta.get("name") or "")
        if kind.has_status and not kind.keeps_status_on_create:
            obj.pop("status", None)
        kind.prepare_create(obj)
        kind.default(obj)
        now = rfc3339(self.clock.now())
        if not applied:
            # What admission adds has no owner, and neither has a status that the client can't have sent.
            own = obj if kind.keeps_status_on_create or not kind.has_status else {**obj, "status": None}
            tracking.track(own, None, _manager(kind, write), _rules(kind), time=now, built_in=kind.built_in)
        owners = meta.get("managedFields")
        attributes = self._attributes(kind, "CREATE", namespace, meta.get("name") or "", write)
        if self.admission is not None:
            obj = await self.admission.admit(attributes, obj, None) or obj
            check_shape(kind, obj)
            kind.default(obj)
        meta = obj["metadata"]
        for attempt in range(GENERATED_NAME_ATTEMPTS):
            if generate:
                meta["name"] = metadata.generated_name(meta["generateName"])
            if not generate or self.storage.get(kind.storage, namespace, meta["name"]) is None:
                break
            if attempt == GENERATED_NAME_ATTEMPTS - 1:
                raise StatusError.already_exists(kind.resource, meta["name"], generated=True)
        if generate:
            # Some defaults are made from the name.
            kind.default(obj)
            meta = obj["metadata"]
        obj["metadata"] = {**meta, "uid": str(uuid.uuid4()), "creationTimestamp": now}
        kind.complete_create(obj)
        meta = obj["metadata"]
        causes = metadata.validate(kind, obj) + kind.validate_create(obj)
        if causes:
            raise StatusError.invalid(kind.resource, meta.get("name") or "", causes)
        if kind.has_generation:
            meta["generation"] = 1
        if owners is not None:
            meta["managedFields"] = owners
        if self.admission is not None:
            await self.admission.validate(attributes, obj, None)
        write.warnings.extend(kind.warn(obj, None))
        # Others were served while admission was under way.
        self._check_served(kind)
        self._check_namespace(kind, namespace, meta["name"])
        if self.storage.get(kind.storage, namespace, meta["name"]) is not None:
            raise StatusError.already_exists(kind.resource, meta["name"], generated=bool(generate))
        kind.allocate(obj, None)
        if write.dry_run:
            return _unstored(obj)
        return self.storage.create(kind.storage, (namespace, meta["name"]), obj)

    async def change(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        make: Make,
        write: Write,
        *,
        applied: bool = False,
    ) -> Stored:
        """Replace the object by what *make* turns it into. *applied*: it already wrote the managedFields."""
        for _ in range(ATTEMPTS):
            current = self.stored(kind, namespace, name)
            old = self.present(kind, current)
            try:
                return await self._change(kind, current, old, make(copy.deepcopy(old)), write, applied=applied)
            except Changed:
                continue
        raise StatusError.conflict(kind.resource, name)

    async def _change(self, kind: Kind, current: Stored, old: Obj, new: Obj, write: Write, *, applied: bool) -> Stored:
        check_type(kind, new)
        check_shape(kind, new)
        name = objects.name(old)
        meta = new["metadata"] = {key: value for key, value in new["metadata"].items() if value is not None}
        check_identity(kind, meta, old)
        version = meta.get("resourceVersion") or ""
        if (version and not version.isascii()) or (version and not version.isdigit()):
            raise StatusError.unnamed(f'strconv.ParseUint: parsing "{version[:64]}": invalid syntax')
        if version and version != str(current.rv):
            raise StatusError.conflict(kind.resource, name)
        if not version and (kind.needs_version or not kind.built_in):
            text = "Invalid value: 0: must be specified for an update"
            cause = Cause(INVALID, text, "metadata.resourceVersion")
            raise StatusError.invalid_kind(kind.resource.group, kind.resource.plural, name, [cause])
        meta["resourceVersion"] = str(current.rv)
        for member in KEPT_ON_UPDATE:
            if (member not in meta or member == "creationTimestamp") and member in old["metadata"]:
                meta[member] = old["metadata"][member]
        new = {**new, "kind": kind.resource.kind, "apiVersion": kind.resource.api_version}
        if kind.to_stored is not None:
            new, old = kind.to_stored(new), kind.to_stored(old)
        new = only_writable(kind, write.subresource, new, old)
        if not write.subresource:
            kind.prepare_update(new, old)
        kind.default(new)
        if not applied:
            now = rfc3339(self.clock.now())
            tracking.track(new, old, _manager(kind, write), _rules(kind), time=now, built_in=kind.built_in)
        owners = new["metadata"].get("managedFields")
        attributes = self._attributes(kind, "UPDATE", current.key[0], name, write)
        if self.admission is not None:
            new = await self.admission.admit(attributes, new, old) or new
            check_shape(kind, new)
            kind.default(new)
        causes = metadata.validate_change(new, old) + metadata.validate(kind, new) + kind.validate_update(new, old)
        if causes:
            raise StatusError.invalid(kind.resource, name, causes)
        meta = new["metadata"]
        meta["generation"] = old["metadata"].get("generation")
        if kind.has_generation and kind.generation_changed(new, old):
            meta["generation"] = int(meta["generation"] or 0) + 1
        if meta["generation"] is None:
            del meta["generation"]
        if owners is not None:
            meta["managedFields"] = owners
        else:
            meta.pop("managedFields", None)
        if self.admission is not None:
            await self.admission.validate(attributes, new, old)
        write.warnings.extend(each for each in kind.warn(new, old) if each not in write.warnings)
        if self.storage.get(kind.storage, *current.key) is not current:
            raise Changed
        if not write.subresource:
            kind.allocate(new, old)
        if write.dry_run:
            return _unstored(new, current.rv)
        if deletion.may_go(kind, new):
            return self.storage.delete(kind.storage, new, current)
        if new == old:
            return current
        return self.storage.update(kind.storage, new, current)

    async def apply(
        self, kind: Kind, namespace: str, name: str, config: Obj, write: Write, *, force: bool
    ) -> tuple[Stored, bool]:
        """Server-side apply; the second value says whether the object was created."""
        check_type(kind, config)
        check_shape(kind, config)
        meta = config["metadata"]
        if meta.get("managedFields"):
            raise StatusError.bad_request("metadata.managedFields must be nil")
        if (meta.get("name") or name) != name:
            raise StatusError.bad_request(name_differs(meta.get("name"), name))
        manager = Manager(write.manager, "Apply", kind.resource.api_version, write.subresource)
        config = {**config, "metadata": {**meta, "name": name}}
        rules, now = _rules(kind), rfc3339(self.clock.now())
        if self.storage.get(kind.storage, namespace, name) is None:
            if "create" not in kind.verbs:
                raise StatusError.method_not_allowed(kind.resource, "create")
            if write.subresource:
                raise StatusError.not_found(kind.resource, name)
            if meta.get("uid"):
                why = f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
                raise StatusError.conflict(kind.resource, name, why)
            made = server_side_apply.apply(None, config, manager, rules, time=now, force=force)
            return await self.create_object(kind, made.obj, namespace, write, applied=True), True

        def make(live: Obj) -> Obj:
            result = server_side_apply.apply(live, config, manager, rules, time=now, force=force)
            if result.conflicts:
                raise StatusError.apply_conflict(result.conflicts)
            return result.obj

        return await self.change(kind, namespace, name, make, write, applied=True), False

    async def delete_object(
        self, kind: Kind, namespace: str, name: str, options: DeleteOptions, write: Write
    ) -> tuple[Stored, bool]:
        """Delete, or begin to; the second value says whether the object is gone."""
        try:
            stored, gone = await self._delete(kind, namespace, name, options, write)
        except StatusError as error:
            self._note(kind, "delete", namespace, name, write, error)
            raise
        self._note(kind, "delete", namespace, name, write)
        return stored, gone

    async def _delete(
        self, kind: Kind, namespace: str, name: str, options: DeleteOptions, write: Write
    ) -> tuple[Stored, bool]:
        attributes = self._attributes(kind, "DELETE", namespace, name, write)
        for _ in range(ATTEMPTS):
            current = self.stored(kind, namespace, name)
            old = self.present(kind, current)
            deletion.check_preconditions(kind, old, options)
            if self.admission is not None:
                await self.admission.admit(attributes, None, old)
                await self.admission.validate(attributes, None, old)
            obj = {"kind": "", "apiVersion": "", **current.object()}
            kind.prepare_delete(obj, rfc3339(self.clock.now()))
            decision = deletion.decide(kind, obj, options, now=self.clock.now())
            if write.dry_run or options.dry_run:
                gone = isinstance(decision, deletion.Remove)
                return current, gone
            try:
                match decision:
                    case deletion.Remove(final):
                        return self.storage.delete(kind.storage, final, current), True
                    case deletion.Mark(marked):
                        return self.storage.update(kind.storage, marked, current), False
                    case deletion.Nothing():
                        return current, False
            except Changed:
                continue
        raise StatusError.conflict(kind.resource, name)

    def _check_served(self, kind: Kind) -> None:
        """Nothing can be made of a kind whose definition went in the meantime, or is on its way out."""
        resource = kind.resource
        found = self.registry.find(resource.group, resource.version, resource.plural)
        if found is None:
            raise StatusError.no_such_path()
        if "create" not in found.verbs:
            raise StatusError.method_not_allowed(resource, "create")

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        """Nothing can be made in a namespace that is missing, or on its way out."""
        if not kind.resource.namespaced:
            return
        found = self.storage.get(NAMESPACES, "", namespace)
        if found is None:
            raise StatusError.not_found(NAMESPACES, namespace)
        if b'"deletionTimestamp"' in found.body and objects.being_deleted(found.object()):
            raise StatusError.forbidden(
                kind.resource,
                name,
                f"unable to create new content in namespace {namespace} because it is being terminated",
                causes=[
                    Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
                ],
            )

    @staticmethod
    def _attributes(kind: Kind, operation: Operation, namespace: str, name: str, write: Write) -> AdmissionAttributes:
        return AdmissionAttributes(
            kind=kind,
            operation=operation,
            namespace=namespace,
            name=name,
            user=write.user,
            subresource=write.subresource,
            dry_run=write.dry_run,
            options=write.options,
            warnings=write.warnings,
        )

    def _note(
        self, kind: Kind, verb: str, namespace: str, name: str, write: Write, error: StatusError | None = None
    ) -> None:
        """Tell the journal what became of a pod: the step a person's journey starts with."""
        if kind.resource is not PODS or write.dry_run:
            return
        self._journal.record(
            Hop(
                who=write.user.name,
                whom="cluster",
                what=f"{verb} pod {namespace}/{name}",
                outcome="done" if error is None else "refused",
                why="" if error is None else str(error),
                wire="" if error is None else error.reason,
            )
        )


_OPENINGS: dict[tuple[str, str], bytes] = {}


def opening(kind: Kind) -> bytes:
    """What stands in front of a stored body, whose own brace is dropped."""
    place = (kind.resource.api_version, kind.resource.kind)
    found = _OPENINGS.get(place)
    if found is None:
        head = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version}
        found = _OPENINGS[place] = _encode(head)[:-1] + b","
    return found


def _manager(kind: Kind, write: Write) -> Manager:
    return Manager(write.manager, "Update", kind.resource.api_version, write.subresource)


def _rules(kind: Kind) -> Any:
    return kind.merge_rules


def _unstored(obj: Obj, rv: int = 0) -> Stored:
    """What a dry run answers: the object as it would be."""
    bare = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")}
    return Stored(objects.key(obj), rv, _encode(bare))
