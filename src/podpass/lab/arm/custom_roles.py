"""The role definitions there are: the built-in ones, and those that a tenant has made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.authorization import Permission, RoleDefinition
from podpass.lab.arm.roles import BUILT_IN, BY_GUID
from podpass.lab.store import Recollection, Store

SERVICE = "arm-roles"
_KIND = "role-definition"


@dataclass(frozen=True, slots=True)
class CustomRole:
    """A role that a tenant made. Ids are in lower case, times as ARM writes them."""

    tenant_id: str
    definition: RoleDefinition
    created_on: str
    created_by: str
    updated_on: str
    updated_by: str


class RoleDefinitions:
    """Every role that can be assigned in the lab. A custom one is visible where it can be assigned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = Recollection(store, SERVICE)

    def all(self) -> Mapping[str, RoleDefinition]:
        """Every role by its GUID, in lower case."""
        return self._known.get("all", "", self._read_all)

    def at(self, scope: str, *, below: bool = False) -> list[RoleDefinition]:
        """The roles that can be assigned at *scope*; with *below* also those that can be below it only."""
        return [*BUILT_IN, *(one for one in self.custom_definitions() if _shows(one, scope, below=below))]

    def custom_definitions(self) -> tuple[RoleDefinition, ...]:
        return tuple(one.definition for one in self.custom())

    def custom(self) -> tuple[CustomRole, ...]:
        return self._known.get("custom", "", self._read_custom)

    def made(self, guid: str) -> CustomRole | None:
        """The custom role of this GUID."""
        return next((one for one in self.custom() if one.definition.guid == guid.lower()), None)

    def put(self, role: CustomRole) -> None:
        self._store.put(SERVICE, _KIND, role.definition.guid, role)

    def delete(self, guid: str) -> None:
        self._store.delete(SERVICE, _KIND, guid.lower())

    def _read_all(self, key: str) -> Mapping[str, RoleDefinition]:
        del key
        return {**BY_GUID, **{one.guid: one for one in self.custom_definitions()}}

    def _read_custom(self, key: str) -> tuple[CustomRole, ...]:
        del key
        return tuple(_stored(document) for _, document in self._store.items(SERVICE, _KIND))


def _shows(definition: RoleDefinition, scope: str, *, below: bool) -> bool:
    return definition.is_assignable_at(scope) or (below and definition.is_assignable_below(scope))


def _stored(document: dict[str, Any]) -> CustomRole:
    definition = document["definition"]
    permissions = tuple(
        Permission(**{name: tuple(actions) for name, actions in one.items()}) for one in definition["permissions"]
    )
    scopes = tuple(definition["assignable_scopes"])
    return CustomRole(
        **{
            **document,
            "definition": RoleDefinition(**{**definition, "permissions": permissions, "assignable_scopes": scopes}),
        }
    )
