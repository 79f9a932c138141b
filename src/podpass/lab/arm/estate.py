"""Everything that subscriptions hold, and the one set of rules by which it changes.

Requests over HTTP and the scenario's seeding go through the same methods. Each change is one transaction; each
method raises ArmError when ARM would refuse.
Contract: Azure HTTP surface, section 4.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from podpass.azure.resourceids import GROUP_TYPE, ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.assignments import RoleAssignments
from podpass.lab.arm.authorization import Allowed, Assignment, Denied, decide
from podpass.lab.arm.custom_roles import RoleDefinitions
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.hosting import ClusterHost, NoHost
from podpass.lab.arm.locks import Locks
from podpass.lab.arm.model import (
    LOCATIONS,
    Actor,
    Draft,
    Resource,
    ResourceType,
    Shaped,
    Subscription,
    location_name,
    timestamp,
)
from podpass.lab.arm.paths import resource_id
from podpass.lab.arm.preconditions import tag_of
from podpass.lab.clock import Clock
from podpass.lab.entra.directory import Directory
from podpass.lab.entra.people import People
from podpass.lab.store import Store

if TYPE_CHECKING:
    from podpass.lab.arm.deployments.service import Deployments
    from podpass.lab.arm.vault_secrets import VaultSecrets

SERVICE = "arm"
DELETING = "Deleting"
_MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class Written:
    """A resource after a PUT, and whether it is new."""

    resource: Resource
    created: bool


class Estate:
    """Subscriptions, groups, resources and role assignments of the lab."""

    def __init__(self, store: Store, clock: Clock, directory: Directory, types: Iterable[ResourceType]) -> None:
        self.store = store
        self.clock = clock
        self.directory = directory
        self.people = People(store)
        self.assignments = RoleAssignments(store)
        self.definitions = RoleDefinitions(store)
        self.locks = Locks(store)
        self.purge_listeners: list[Callable[[str], None]] = []
        """Told the hidden instance of a vault that is gone for good, within the purge's transaction."""
        self.cache_listeners: list[Callable[[], None]] = []
        """Told after what is wanted of the caches may have changed."""
        self.caches_refused = ""
        """Why there can be no caches here; empty when there can."""
        self.removal_listeners: list[Callable[[str], None]] = []
        """Told the key of what is gone with all that it held, within the removal's transaction."""
        self.settlers: list[Callable[[], None]] = []
        """Asked to bring what takes time up to now, before each request is answered."""
        self.cluster_host: ClusterHost = NoHost()
        """Whoever runs the managed clusters."""
        self.vault_secrets: VaultSecrets | None = None
        """The Key Vault, where there is one."""
        self.deployments: Deployments | None = None
        self.types = {kind.name.lower(): kind for kind in types}
        self._sort_by_type()

    def _sort_by_type(self) -> None:
        """Note the type of each resource that a lab of before this was noted has kept."""
        if self.store.get(SERVICE, "meta", "by-type") is None:
            with self.store.transaction():
                for key, document in self.store.items(SERVICE, "resource"):
                    self.store.put(SERVICE, _of(document["type"]), key, None)
                self.store.put(SERVICE, "meta", "by-type", True)

    # Subscriptions

    def subscription(self, subscription_id: str) -> Subscription | None:
        document = self.store.get(SERVICE, "subscription", subscription_id.lower())
        return None if document is None else Subscription(**document)

    def subscriptions(self) -> list[Subscription]:
        return [Subscription(**document) for _, document in self.store.items(SERVICE, "subscription")]

    def put_subscription(self, subscription: Subscription) -> None:
        self.store.put(SERVICE, "subscription", subscription.id.lower(), subscription)

    def is_registered(self, subscription_id: str, namespace: str) -> bool:
        """Whether the subscription may create resources of a provider; it may until it unregisters."""
        return self.store.get(SERVICE, "provider", f"{subscription_id}/{namespace}".lower()) != "Unregistered"

    def set_registered(self, subscription_id: str, namespace: str, *, registered: bool) -> None:
        state = "Registered" if registered else "Unregistered"
        self.store.put(SERVICE, "provider", f"{subscription_id}/{namespace}".lower(), state)

    # Access

    def decide(self, *, principal_id: str, action: str, scope: str, is_data_action: bool = False) -> Allowed | Denied:
        """Whether the principal may do *action* at *scope*, by the role assignments there are."""
        return decide(
            principal_id=principal_id,
            action=action,
            scope=scope,
            is_data_action=is_data_action,
            assignments=self.grants(principal_id),
            definitions=self.definitions.all(),
            groups=self.people.groups_of(principal_id),
        )

    def may_read(self, principal_id: str, resource: Resource) -> bool:
        decision = self.decide(principal_id=principal_id, action=f"{resource.type}/read", scope=resource.id)
        return isinstance(decision, Allowed)

    def grants(self, principal_id: str) -> list[Assignment]:
        """What the principal has been given, by itself or through groups."""
        holders = (principal_id, *self.people.groups_of(principal_id))
        return [held for one in holders for held in self.assignments.grants_of(one)]

    # Resources

    def kind(self, resource_type: str) -> ResourceType | None:
        return self.types.get(resource_type.lower())

    def get(self, wanted: ResourceId) -> Resource | None:
        return self.at(wanted.key)

    def at(self, key: str) -> Resource | None:
        """The resource of an id in lower case."""
        document = self.store.get(SERVICE, "resource", key)
        return None if document is None else Resource(**document)

    def require(self, wanted: ResourceId) -> Resource:
        """The resource. Raises ArmError as ARM does when it, its group or its subscription is absent."""
        self._require_base(wanted)
        found = self.get(wanted)
        if found is None:
            raise self.absent(wanted)
        return found

    def absent(self, wanted: ResourceId) -> Exception:
        """How ARM says that there is no such resource."""
        kind = self.kind(wanted.type)
        if kind is not None and kind.not_found is not None:
            return kind.not_found(wanted)
        if wanted.type.lower() == GROUP_TYPE.lower():
            return errors.group_not_found(wanted.name)
        name = "/".join(name for _, name in wanted.parts[-1].pairs)
        return errors.resource_not_found(kind.name if kind else wanted.type, name, wanted.group)

    def below(self, scope: ResourceId, resource_type: str = "") -> list[Resource]:
        """What lies below *scope*, at any depth; only of one type when it is given."""
        if resource_type:
            return [one for key in self._keys(scope, resource_type) if (one := self.at(key)) is not None]
        return [Resource(**document) for _, document in self.store.items(SERVICE, "resource", scope.key + "/")]

    def _keys(self, scope: ResourceId, resource_type: str) -> list[str]:
        return self.store.keys(SERVICE, _of(resource_type), scope.key + "/")

    def listed(self, scope: ResourceId, kind: ResourceType) -> list[str]:
        """The ids, in lower case and in order, of the resources of one type in a subscription, a group or a parent.

        Raises ArmError when that is absent.
        """
        self._require_base(scope)
        if scope.key != scope.subscription_id.key:
            self.require(scope)
        return self._keys(scope, kind.name)

    def put(
        self,
        wanted: ResourceId,
        content: Any,
        *,
        actor: Actor,
        api_version: str,
        principal_id: str = "",
        stated: Mapping[str, str] | None = None,
    ) -> Written:
        """Create the resource or replace it by *content*, decoded JSON. Read-only members in it are ignored.

        Without *principal_id* the lab itself writes, which may assign every identity and *stated* GUIDs.
        """
        kind = self._creatable(wanted)
        if principal_id:
            self.locks.check(f"{kind.name}/write", str(wanted))
        with self.store.transaction():
            subscription = self._require_base(wanted)
            existing = self.get(wanted)
            if existing is not None and existing.busy == DELETING:
                raise errors.being_deleted(kind.name, existing.name)
            holder = self.get(wanted.group_id) if existing is None and wanted.group else None
            if holder is not None and holder.busy == DELETING:
                raise errors.group_being_deleted(holder.name)
            body = _decoded(content, kind)
            if existing is None:
                namespace = kind.name.partition("/")[0]
                if not self.is_registered(subscription.id, namespace):
                    raise errors.not_registered(namespace)
                self._check_name(wanted, kind)
            located = self._location(wanted, kind, body.location, existing)
            tags = body.tags
            if tags is not None and len(tags) > _MAX_TAGS:
                raise errors.invalid_request(f"A resource can have at most {_MAX_TAGS} tags.", "TooManyTags")
            draft = Draft(
                id=wanted,
                body=body,
                existing=existing,
                subscription=subscription,
                api_version=api_version,
                actor=actor,
                principal_id=principal_id,
                stated=stated or {},
            )
            shaped = kind.shape(self, draft) if kind.shape else Shaped()
            resource = Resource(
                id=existing.id if existing else self._canonical(wanted, kind),
                name=existing.name if existing else wanted.name,
                type=kind.name,
                location=located,
                tags=(tags or {}) if kind.located else None,
                properties=shaped.properties,
                system_data=self._system_data(existing, actor) if kind.system_data else None,
                hidden=shaped.hidden,
                extra=shaped.extra,
                failure=shaped.failure,
            )
            seconds = kind.writing(self, resource) if kind.writing else kind.seconds
            if seconds != 0:
                state = "Creating" if existing is None else "Updating"
                resource = replace(resource, busy=state, busy_until=self._end_of(seconds))
            self.keep(resource)
            kind.written(self, resource, existing)
        return Written(resource, existing is None)

    def patch(
        self, wanted: ResourceId, content: Any, *, actor: Actor, api_version: str, principal_id: str = ""
    ) -> Resource:
        """Change the members that *content* names: tags are replaced, properties member by member."""
        if not isinstance(content, dict):
            raise errors.invalid_content("Expected `object`")
        present = self.require(wanted)
        merged: dict[str, Any] = {**present.to_dict(), **content}
        changes = content.get("properties")
        if isinstance(changes, dict):
            merged["properties"] = {**present.properties, **changes}
        if (kind := self.kind(present.type)) is not None:
            merged |= kind.patched(present, content)
        written = self.put(wanted, merged, actor=actor, api_version=api_version, principal_id=principal_id)
        return written.resource

    def delete(self, wanted: ResourceId) -> Resource | None:
        """Remove the resource and all it holds, with the role assignments and locks there; None when absent."""
        self._require_base(wanted)
        with self.store.transaction():
            present = self.get(wanted)
            if present is None:
                return None
            # The deepest first, so that whatever a child needs of its parent is still there.
            for resource in [*sorted(self.below(wanted), key=lambda one: -len(one.id.split("/"))), present]:
                kind = self.kind(resource.type)
                if kind is not None:
                    kind.removed(self, resource)
                self.store.delete(SERVICE, "resource", resource.id.lower())
                self.store.delete(SERVICE, _of(resource.type), resource.id.lower())
            self.assignments.delete_below(wanted.key)
            self.locks.delete_below(wanted.key)
            for tell in self.removal_listeners:
                tell(wanted.key)
        return present

    def begin_delete(self, wanted: ResourceId) -> Resource | None:
        """Remove the resource, or begin to; None when absent. What is `busy` in the answer is not gone yet."""
        self._require_base(wanted)
        with self.store.transaction():
            present = self.get(wanted)
            kind = self.kind(wanted.type)
            if present is None or present.busy == DELETING:
                return present
            seconds: float | None = kind.seconds if kind else 0.0
            if kind is not None and kind.deleting is not None:
                seconds = kind.deleting(self, present)
            if seconds == 0:
                self.delete(wanted)
                return replace(present, busy="")
            present = replace(present, busy=DELETING, busy_until=self._end_of(seconds), failure=None)
            self.keep(present)
            if seconds is not None:
                self.store.put(SERVICE, "deleting", wanted.key, present.busy_until)
        return present

    def _end_of(self, seconds: float | None) -> float | None:
        return None if seconds is None else self.clock.now() + seconds

    def settle(self) -> None:
        """End the deletes whose time has come, and have whatever else takes time brought up to now."""
        now = self.clock.now()
        for key, ends in self.store.items(SERVICE, "deleting"):
            if ends <= now:
                with self.store.transaction():
                    self.store.delete(SERVICE, "deleting", key)
                    self.delete(resource_id(key))
        for settle in self.settlers:
            settle()

    def shown(self, resource: Resource) -> dict[str, Any]:
        """The resource as ARM answers it now."""
        document, kind = resource.to_dict(), self.kind(resource.type)
        now = self.clock.now()
        busy = resource.is_busy(now)
        properties = kind.shown(resource, busy=busy) if kind is not None else resource.properties
        if busy or resource.failure is not None:
            properties = {**properties, "provisioningState": resource.provisioning_state(now)}
        document["properties"] = properties
        if kind is not None and kind.tagged:
            document["eTag"] = tag_of(resource)
        return document

    def subscription_of(self, resource: Resource) -> Subscription:
        found = self.subscription(resource_id(resource.id).subscription)
        assert found is not None
        return found

    def keep(self, resource: Resource) -> None:
        """Store the resource as it is."""
        key = resource.id.lower()
        with self.store.transaction():
            self.store.put(SERVICE, "resource", key, resource)
            self.store.put(SERVICE, _of(resource.type), key, None)

    # What must be there first

    def require_scope(self, scope: ResourceId) -> str:
        """*scope* in the letter case of what exists. Raises ArmError when its base does not exist.

        A scope below a resource, such as one secret of a vault, needs that resource only.
        """
        if not scope.parts:
            return ""
        subscription = self._require_base(scope)
        steps: list[ResourceId] = []
        current = scope
        while current.parts:
            steps.append(current)
            current = current.parent
        shown = ""
        for step in reversed(steps):
            found = self.get(step)
            if found is not None:
                shown = found.id
                continue
            if step.key == scope.subscription_id.key:
                shown = f"/subscriptions/{subscription.id}"
                continue
            if self.kind(step.type) is not None:
                raise self.absent(step)
            shown = str(step) if not shown else shown + str(step)[len(str(step.parent)) :]
        return shown

    def _require_base(self, wanted: ResourceId) -> Subscription:
        subscription = self.subscription(wanted.subscription)
        if subscription is None:
            raise errors.subscription_not_found(wanted.subscription)
        group = wanted.group_id
        if wanted.group and group.key != wanted.key and self.get(group) is None:
            raise errors.group_not_found(wanted.group)
        return subscription

    def _creatable(self, wanted: ResourceId) -> ResourceType:
        kind = self.kind(wanted.type)
        if kind is None:
            raise errors.not_emulated(wanted.type)
        if kind.shape is None and kind.name != GROUP_TYPE:
            raise errors.not_emulated(f"the creation of {kind.name}")
        return kind

    def _check_name(self, wanted: ResourceId, kind: ResourceType) -> None:
        rule = kind.name_rule
        if rule is not None and rule.pattern.fullmatch(wanted.name) is None:
            raise errors.invalid_request(rule.message.format(name=wanted.name), rule.code)
        parent = wanted.parent
        if self.kind(parent.type) is not None and self.get(parent) is None:
            raise errors.parent_not_found(kind.name, "/".join(name for _, name in parent.parts[-1].pairs))

    def _location(self, wanted: ResourceId, kind: ResourceType, given: str | None, existing: Resource | None) -> str:
        if not kind.located:
            return ""
        if existing is not None:
            if given and location_name(given) != existing.location:
                if kind.name == GROUP_TYPE:
                    raise errors.group_location_fixed(given, existing.location)
                raise errors.location_fixed(wanted.name, existing.location, kind.name)
            return existing.location
        if not given:
            raise errors.location_required()
        name = location_name(given)
        if name not in LOCATIONS:
            raise errors.location_not_available(given, kind.name, ",".join(LOCATIONS))
        return name

    def _canonical(self, wanted: ResourceId, kind: ResourceType) -> str:
        own_type = kind.name.rpartition("/")[2]
        if kind.name == GROUP_TYPE:
            return f"/subscriptions/{wanted.subscription.lower()}/resourceGroups/{wanted.name}"
        parent = self.get(wanted.parent)
        base = parent.id if parent is not None else str(wanted.parent)
        if len(wanted.parts[-1].pairs) > 1:
            return f"{base}/{own_type}/{wanted.name}"
        return f"{base}/providers/{kind.name}/{wanted.name}"

    def _system_data(self, existing: Resource | None, actor: Actor) -> dict[str, str]:
        now = timestamp(self.clock.now())
        created = {"createdBy": actor.id, "createdByType": actor.kind, "createdAt": now}
        if existing is not None and existing.system_data is not None:
            created = {name: existing.system_data[name] for name in created}
        return {**created, "lastModifiedBy": actor.id, "lastModifiedByType": actor.kind, "lastModifiedAt": now}


def _of(resource_type: str) -> str:
    """Under which kind the ids of a type's resources are kept, so that a list reads no others."""
    return f"of {resource_type.lower()}"


def parsed_id(text: str) -> ResourceId:
    """The id that *text* is. Raises ArmError."""
    try:
        return resource_id(text)
    except ValueError as error:
        raise errors.invalid_request(str(error), "LinkedInvalidPropertyId") from error


def _decoded(content: Any, kind: ResourceType) -> Any:
    if not isinstance(content, Mapping):
        raise errors.invalid_content("Expected `object`")
    try:
        return msgspec.convert(content, kind.body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise errors.invalid_content(str(error)) from error


__all__ = ["ArmError", "Estate", "Written", "parsed_id"]
