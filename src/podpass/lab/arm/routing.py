"""Which call an address and a method make, and which action it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.azure.resourceids import GROUP_TYPE, SUBSCRIPTION_TYPE
from podpass.lab.arm import errors, long_running, preconditions, providers
from podpass.lab.arm.authorization import Allowed
from podpass.lab.arm.catalogue import NOT_EMULATED_TYPES, OPERATIONS, TYPES
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.filters import clauses_of
from podpass.lab.arm.model import Answer, Call, Keyed, Resource, ResourceType, decoded_json
from podpass.lab.arm.namespaces import NOT_EMULATED_NAMESPACES
from podpass.lab.arm.paths import Address
from podpass.lab.arm.selection import selected

Run = Callable[[Estate, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a request, and what its caller must be allowed to do."""

    run: Run
    action: str
    """The action to be authorised at the address; empty when none is."""
    path: str
    """What it is a call on: a type, or a type's name with an action behind it."""
    lists: ResourceType | None = None
    """The type that a plain list shows."""


_OPERATIONS = {(operation.method, operation.path.lower()): operation for operation in OPERATIONS}
_OPERATION_PATHS = {operation.path.lower() for operation in OPERATIONS}
_TYPES = {kind.name.lower(): kind for kind in TYPES}
_NAMESPACES = {kind.name.partition("/")[0].lower() for kind in TYPES} | {"microsoft.authorization"}


def route(address: Address, method: str, api_version: str) -> Route:
    """The call to make. Raises ArmError: unknown provider or type, not emulated, wrong method."""
    if (registration := _registration(address, method)) is not None:
        return registration
    path = address.type.lower()
    operation = _OPERATIONS.get(("GET" if method == "HEAD" else method, path))
    if operation is not None:
        lists = bool(address.tail) and operation.list_action is not None
        return Route(operation.run, (operation.list_action or "") if lists else operation.action, operation.path)
    kind = _TYPES.get(path)
    if kind is not None and _is_placed(address, kind):
        if address.tail:
            if method != "GET":
                raise errors.method_not_allowed(method, kind.name)
            return Route(_list, f"{kind.name}/read", kind.name, lists=kind)
        if method in PLAIN:
            run, verb = PLAIN[method]
            return Route(run, f"{kind.name}/{verb}", kind.name)
    if kind is not None or path in _OPERATION_PATHS:
        raise errors.method_not_allowed(method, address.type)
    raise _unknown(address, api_version)


def _registration(address: Address, method: str) -> Route | None:
    """A call on a provider itself, which no resource type names; None for any other."""
    if address.id.type.lower() != SUBSCRIPTION_TYPE.lower():
        return None
    tail = address.tail.lower()
    path = f"providers/{{}}/{tail}".rstrip("/") if address.namespace else tail
    found = REGISTRATION.get((method, path))
    if found is None:
        return None
    run, action = found
    return Route(run, action.format(address.namespace), path)


REGISTRATION: Mapping[tuple[str, str], tuple[Run, str]] = {
    ("GET", "providers"): (providers.listed, f"{SUBSCRIPTION_TYPE}/providers/read"),
    ("GET", "providers/{}"): (providers.read, f"{SUBSCRIPTION_TYPE}/providers/read"),
    ("POST", "providers/{}/register"): (providers.register, "{}/register/action"),
    ("POST", "providers/{}/unregister"): (providers.unregister, "{}/unregister/action"),
}
"""The calls on a provider below a subscription, by method and path, and the action that each needs."""


def _is_placed(address: Address, kind: ResourceType) -> bool:
    """Whether the type is asked for where it lives: in a group, or as a list of the whole subscription."""
    depth = len(address.id.parts)
    if kind.name == GROUP_TYPE:
        return depth == 1
    if address.namespace:
        return depth == 1 and address.id.type.lower() in (SUBSCRIPTION_TYPE.lower(), GROUP_TYPE.lower())
    return depth == 2 and bool(address.id.group)


def _unknown(address: Address, api_version: str) -> ArmError:
    path = address.type
    namespace, _, rest = path.partition("/")
    if path.lower() in NOT_EMULATED_TYPES or namespace.lower() in NOT_EMULATED_NAMESPACES:
        return errors.not_emulated(path)
    if namespace.lower() in _NAMESPACES:
        return errors.invalid_type(namespace, rest, api_version)
    return errors.invalid_namespace(namespace)


def _get(estate: Estate, call: Call) -> Answer:
    resource = estate.require(call.address.id)
    if call.method == "HEAD":
        return Answer(204)
    document, kind = estate.shown(resource), estate.kind(resource.type)
    if kind is not None and (more := kind.expanded(resource, call.query.get("$expand", ""))):
        document["properties"] = {**document["properties"], **more}
    return Answer(200, document)


def _check_conditions(estate: Estate, call: Call) -> None:
    kind = estate.kind(call.address.id.type)
    if kind is not None and kind.tagged and (call.if_match or call.if_none_match):
        present = estate.get(call.address.id)
        preconditions.check(call, None if present is None else preconditions.tag_of(present))


def _put(estate: Estate, call: Call) -> Answer:
    _check_conditions(estate, call)
    written = estate.put(
        call.address.id,
        decoded_json(call.body),
        actor=call.actor,
        api_version=call.api_version,
        principal_id=call.principal_id,
    )
    status = 201 if written.created else 200
    return Answer(status, estate.shown(written.resource), headers=_followed(estate, written.resource, call))


def _patch(estate: Estate, call: Call) -> Answer:
    _check_conditions(estate, call)
    resource = estate.patch(
        call.address.id,
        decoded_json(call.body),
        actor=call.actor,
        api_version=call.api_version,
        principal_id=call.principal_id,
    )
    headers = _followed(estate, resource, call)
    # The clients of compute take no 202 here, and all others take a 200 with an operation to follow.
    return Answer(200, estate.shown(resource), headers=headers)


def _followed(estate: Estate, resource: Resource, call: Call) -> tuple[tuple[str, str], ...]:
    """The headers of a write that goes on; none where it has ended."""
    return long_running.begin(estate, resource, call) if resource.busy else ()


def _delete(estate: Estate, call: Call) -> Answer:
    _check_conditions(estate, call)
    leaving = estate.begin_delete(call.address.id)
    if leaving is not None:
        if leaving.busy:
            return Answer(202, headers=long_running.begin(estate, leaving, call))
        return Answer(200)
    kind = estate.kind(call.address.id.type)
    if kind is not None and kind.delete_absent_status == 404:
        raise estate.absent(call.address.id)
    return Answer(204)


def _list(estate: Estate, call: Call) -> Answer:
    kind = estate.kind(call.address.type)
    assert kind is not None
    keys = estate.listed(call.address.id, kind)
    if kind.name == GROUP_TYPE and (clauses := clauses_of(call.query)):
        keys = [key for key in keys if (one := estate.at(key)) is not None and selected(one, clauses)]

    def may_read(scope: str) -> bool:
        decision = estate.decide(principal_id=call.principal_id, action=f"{kind.name}/read", scope=scope)
        return isinstance(decision, Allowed)

    if not may_read(str(call.address.id)):
        keys = [key for key in keys if may_read(key)]

    def show(key: str) -> Mapping[str, Any] | None:
        found = estate.at(key)
        return None if found is None else estate.shown(found)

    return Answer(200, items=Keyed(keys, show))


PLAIN: dict[str, tuple[Run, str]] = {
    "GET": (_get, "read"),
    "HEAD": (_get, "read"),
    "PUT": (_put, "write"),
    "PATCH": (_patch, "write"),
    "DELETE": (_delete, "delete"),
}
