"""Role × action × scope over every call there is, made from the tables of calls themselves.

A call that is added to a table is in this test at once: it has an action, refuses whoever lacks it with the real
error, and lets pass who holds just that at its scope or above.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from podpass.azure.resourceids import GROUP_TYPE, SUBSCRIPTION_TYPE
from podpass.lab.arm.authorization import Permission, RoleDefinition
from podpass.lab.arm.catalogue import OPERATIONS, TYPES
from podpass.lab.arm.custom_roles import CustomRole
from podpass.lab.entra.directory import Application
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.http import call_of
from podpass.lab.keyvault.operations import (
    CertificateOperation,
    IssuerOperation,
    KeyOperation,
    Operation,
    SecretOperation,
)
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP, ELSEWHERE = f"{SUB}/resourceGroups/shop", f"{SUB}/resourceGroups/warehouse"
NAME = str(uuid.UUID(int=0xFEED))


@dataclass(frozen=True)
class Row:
    """A call, the action it takes and the scope where."""

    method: str
    path: str
    action: str
    scope: str

    def __str__(self) -> str:
        return f"{self.method} {self.path.removeprefix(SUB)}: {self.action}"


def address(type_path: str, *, tail: str = "") -> str:
    """A path below the group (or the subscription, for what lives there) that names one of the type."""
    if type_path.startswith(SUBSCRIPTION_TYPE):
        rest = type_path.removeprefix(SUBSCRIPTION_TYPE).strip("/")
        base = GROUP if rest.startswith("resourceGroups") else SUB
        return f"{base}/{rest.removeprefix('resourceGroups').strip('/')}".rstrip("/")
    namespace, *kinds = type_path.split("/")
    base = SUB if kinds[0] in ("locations", "providers") else GROUP
    return f"{base}/providers/{namespace}" + "".join(f"/{kind}/{NAME}" for kind in kinds) + tail


def rows() -> Iterator[Row]:
    for kind in TYPES:
        one = GROUP if kind.name == GROUP_TYPE else address(kind.name)
        parent = f"{SUB}/resourcegroups" if kind.name == GROUP_TYPE else one.rpartition("/")[0]
        scope = SUB if kind.name == GROUP_TYPE else parent.rpartition("/")[0]
        scope = scope.rpartition("/providers/")[0] if scope.endswith(kind.name.partition("/")[0]) else scope
        for method, verb in (
            ("GET", "read"),
            ("HEAD", "read"),
            ("PUT", "write"),
            ("PATCH", "write"),
            ("DELETE", "delete"),
        ):
            yield Row(method, one, f"{kind.name}/{verb}", one)
        yield Row("GET", parent, f"{kind.name}/read", scope)
    for operation in OPERATIONS:
        if operation.method == "POST":
            owner, _, tail = operation.path.rpartition("/")
            at = address(owner) if "/" in owner else f"{SUB}/providers/{owner}"
            yield Row("POST", f"{at}/{tail}", operation.action, at if "/" in owner else SUB)
            continue
        one = address(operation.path)
        if operation.action:
            scope = SUB if operation.path == f"{SUBSCRIPTION_TYPE}/locations" else one
            yield Row(operation.method, one, operation.action, scope)
        if operation.method == "GET" and operation.list_action and operation.path.startswith("Microsoft.Features"):
            yield Row("GET", one.rpartition("/")[0], operation.list_action, one.rpartition("/features")[0])


ROWS = tuple(rows())


@dataclass
class Asked:
    """Callers that hold one made role each."""

    world: World
    _callers: dict[tuple[Any, ...], Application] = field(default_factory=dict)

    def holder(self, permission: Permission, scope: str) -> Application:
        key = (permission, scope)
        if key not in self._callers:
            caller = self.world.application("caller")
            definition = RoleDefinition(str(uuid.uuid4()), str(key), "", (permission,), (SUB,), True)
            estate = self.world.arm.estate
            estate.definitions.put(CustomRole(TENANT, definition, "", "", "", ""))
            self.world.arm.seed.put_role_assignment(scope, definition.guid, caller.object_id)
            self._callers[key] = caller
        return self._callers[key]


@pytest.fixture
def asked(signing_key: SigningKey) -> Iterator[Asked]:
    world = World(signing_key)
    world.arm.seed.put_group(SUBSCRIPTION, "warehouse")
    yield Asked(world)
    world.store.close()


def test_every_call_takes_an_action_or_says_why_not() -> None:
    free = {operation.path for operation in OPERATIONS if not operation.action}
    listed = {operation.path for operation in OPERATIONS if operation.list_action == ""}
    # Whoever is signed in may ask which tenants and subscriptions are theirs and what they can read of a scope; an
    # operation shows itself to whom it may.
    assert {path for path in free if not path.endswith(("/operations", "/operationresults"))} == {
        "Microsoft.Resources/tenants",
        f"{SUBSCRIPTION_TYPE}/resources",
        f"{GROUP_TYPE}/resources",
    }
    assert listed == {SUBSCRIPTION_TYPE}
    for operation in OPERATIONS:
        assert operation.action == "" or operation.action.rpartition("/")[2] in ("read", "write", "delete", "action")


def test_the_table_has_every_call() -> None:
    called = {(row.method, row.action) for row in ROWS}
    for operation in OPERATIONS:
        assert not operation.action or (operation.method, operation.action) in called, operation
    assert len(ROWS) > 80


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_call_is_refused_without_its_action_and_passes_with_it(asked: Asked, row: Row) -> None:
    world = asked.world
    content = {} if row.method in ("PUT", "PATCH", "POST") else None

    async def refused(who: Application) -> bool:
        reply = await world.call(row.method, row.path, content, who=who)
        if reply.status != 403:
            return False
        if row.method != "HEAD":
            assert reply.code == "AuthorizationFailed", reply.body
            assert f"action '{row.action}' over scope '{row.scope}'".lower() in reply.message.lower()
        hop = world.hops[-1]
        assert (hop.outcome, hop.wire, hop.problem) == ("refused", "AuthorizationFailed", "PP305")
        return True

    hidden = row.method == "GET" and row.path == f"{SUB}/resourcegroups"
    assert await refused(world.application("stranger")) is not hidden
    everything_else = Permission(actions=("*",), not_actions=(row.action,))
    assert await refused(asked.holder(everything_else, SUB)) is not hidden
    just_this = Permission(actions=(row.action,))
    if row.scope.lower().startswith(GROUP.lower()):
        assert await refused(asked.holder(just_this, ELSEWHERE))
        assert not await refused(asked.holder(just_this, GROUP))
    assert not await refused(asked.holder(just_this, SUB))
    assert not await refused(asked.holder(Permission(actions=("*",)), SUB))
    # What a role permits of data opens nothing of management.
    assert await refused(asked.holder(Permission(data_actions=("*",)), SUB)) is not hidden


async def test_lists_show_what_the_caller_may_read_and_nothing_else(asked: Asked) -> None:
    world = asked.world
    mine, other = world.identity("mine"), world.identity("other")
    reader = asked.holder(Permission(actions=("*/read",)), mine.id)

    async def seen(path: str) -> list[str]:
        reply = await world.call("GET", path, who=reader)
        return [one["name"] for one in reply.body["value"]]

    identities = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    for path in (f"{GROUP}/{identities}", f"{SUB}/{identities}", f"{SUB}/resources", f"{GROUP}/resources"):
        assert await seen(path) == ["mine"], path
    assert await seen(f"{SUB}/resourcegroups") == []
    assert (await world.call("GET", other.id, who=reader)).status == 403
    assert [one["subscriptionId"] for one in (await world.call("GET", "/subscriptions", who=reader)).body["value"]] == [
        SUBSCRIPTION
    ]
    stranger = world.application("stranger")
    assert (await world.call("GET", f"{SUB}/resources", who=stranger)).body["value"] == []
    assert (await world.call("GET", "/subscriptions", who=stranger)).body["value"] == []
    assert (await world.call("GET", f"{GROUP}/{identities}", who=stranger)).code == "AuthorizationFailed"


async def test_an_operation_is_followed_by_who_began_it_and_who_may_read(asked: Asked) -> None:
    world = asked.world
    machine = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/m1"
    writer = asked.holder(Permission(actions=("Microsoft.Compute/virtualMachines/write",)), GROUP)
    begun = await world.call("PUT", machine, {"location": "eastus"}, who=writer)
    assert begun.status == 201
    for header in ("azure-asyncoperation", "location"):
        path = begun.headers[header].removeprefix("https://management.azure.com").partition("?")[0]
        assert (await world.call("GET", path, who=writer)).status in (200, 202)
        reader = asked.holder(Permission(actions=("Microsoft.Compute/virtualMachines/read",)), GROUP)
        assert (await world.call("GET", path, who=reader)).status in (200, 202)
        for other in (world.application("stranger"), asked.holder(Permission(actions=("*",)), ELSEWHERE)):
            refused = await world.call("GET", path, who=other)
            assert (refused.status, refused.code) == (403, "AuthorizationFailed")
            assert world.hops[-1].wire == "AuthorizationFailed"


async def test_a_delete_is_followed_to_its_end_though_the_right_to_it_goes_as_well(asked: Asked) -> None:
    world = asked.world
    cleaner = world.application("cleaner")
    machine = world.arm.seed.put_machine(world.group.id, "m1")
    world.arm.seed.put_role_assignment(machine.id, "Contributor", cleaner.object_id)
    begun = await world.call("DELETE", machine.id, who=cleaner)
    world.clock.advance(60)
    assert (await world.call("GET", machine.id, who=cleaner)).code == "AuthorizationFailed"
    path = begun.headers["location"].removeprefix("https://management.azure.com").partition("?")[0]
    assert (await world.call("GET", path, who=cleaner)).status in (200, 204)


@pytest.mark.parametrize("kind", ["virtualMachines", "virtualMachineScaleSets"])
async def test_whoever_gives_a_machine_an_identity_needs_the_right_to_it(asked: Asked, kind: str) -> None:
    world = asked.world
    identity = world.identity("mine")
    machine = f"{GROUP}/providers/Microsoft.Compute/{kind}/m1"
    body = {"location": "eastus", "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}}
    compute = Permission(actions=("Microsoft.Compute/*", "Microsoft.ManagedIdentity/userAssignedIdentities/read"))
    refused = await world.call("PUT", machine, body, who=asked.holder(compute, GROUP))
    assert (refused.status, refused.code) == (403, "LinkedAuthorizationFailed")
    assign = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    both = Permission(actions=("Microsoft.Compute/*", assign))
    assert (await world.call("PUT", machine, body, who=asked.holder(both, GROUP))).status == 201
    assert (await world.call("PATCH", machine, body, who=asked.holder(compute, GROUP))).status == 200


def vault_calls() -> Iterator[tuple[str, str]]:
    """Every method on every form of path that a vault may have."""
    for kind in ("secrets", "keys", "certificates"):
        for path in (
            kind, f"{kind}/one", f"{kind}/one/v1", f"{kind}/one/versions", f"{kind}/one/backup", f"{kind}/restore",
            f"{kind}/one/create", f"{kind}/one/rotate", f"{kind}/one/rotationpolicy", f"{kind}/one/import",
            f"{kind}/one/pending", f"{kind}/one/pending/merge", f"{kind}/one/policy", f"{kind}/issuers",
            f"{kind}/issuers/one", f"{kind}/contacts", f"deleted{kind}", f"deleted{kind}/one",
            f"deleted{kind}/one/recover",
            *(f"{kind}/one/v1/{verb}" for verb in ("encrypt", "decrypt", "sign", "verify", "wrapkey", "unwrapkey")),
        ):  # fmt: skip
            for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
                yield method, path


def reached(world: World) -> dict[Operation, tuple[str, str]]:
    found: dict[Operation, tuple[str, str]] = {}
    for method, path in vault_calls():
        try:
            _, call = call_of(world.keyvault.services, method, f"/{path}")
        except KeyVaultError:
            continue
        found.setdefault(call.operation, (method, path))
    return found


async def test_every_call_on_a_vault_takes_its_data_action(asked: Asked) -> None:
    world = asked.world
    vault = world.arm.seed.put_vault(world.group.id, "kv-table")
    other = world.arm.seed.put_vault(world.group.id, "kv-other")
    calls = reached(world)
    assert set(calls) >= {*SecretOperation, *KeyOperation, *CertificateOperation, *IssuerOperation}
    for operation, (method, path) in calls.items():

        async def denied(who: Application, method: str = method, path: str = path) -> bool:
            content = {} if method in ("PUT", "POST", "PATCH") else None
            reply = await world.vault(method, f"kv-table/{path}", content, who=who)
            if reply.status != 403:
                return False
            assert reply.body["error"]["innererror"]["code"] == "ForbiddenByRbac", reply.body
            return True

        assert await denied(world.owner), operation
        other_data = ("Microsoft.KeyVault/vaults/keys/read",) if operation.is_public else ()
        without = Permission(data_actions=("*",), not_data_actions=(operation.action, *other_data))
        assert await denied(asked.holder(without, vault.id)), operation
        just_this = Permission(data_actions=(operation.action,))
        assert await denied(asked.holder(just_this, other.id)), operation
        assert await denied(asked.holder(Permission(actions=("*",)), SUB)), operation
        for scope in (vault.id, GROUP):
            assert not await denied(asked.holder(just_this, scope)), operation
