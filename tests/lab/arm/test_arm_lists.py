"""Lists in pages while things come and go, and what is kept beside resources so that a list reads no others."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.arm import Arm
from podpass.lab.arm.long_running import KEPT_SECONDS
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import SUBSCRIPTION, World

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
MACHINES = f"{GROUP}/providers/Microsoft.Compute/virtualMachines"
NAMES = st.sampled_from([f"app-{number:02}" for number in range(12)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    first=st.sets(NAMES, max_size=8),
    size=st.integers(1, 4),
    changes=st.lists(st.tuples(st.booleans(), NAMES), max_size=6),
)
async def test_what_stays_is_shown_once_while_others_come_and_go(
    signing_key: SigningKey, first: set[str], size: int, changes: list[tuple[bool, str]]
) -> None:
    world = World(signing_key)
    for name in first:
        world.identity(name)
    left, stayed, seen = list(changes), set(first), list[str]()
    path = f"{IDENTITIES}?$top={size}"
    while path:
        page = (await world.call("GET", path)).body
        seen += [one["name"] for one in page["value"]]
        path = (
            page.get("nextLink", "").removeprefix("https://management.azure.com").replace("&api-version=2024-11-01", "")
        )
        if left:
            made, name = left.pop()
            if made:
                world.identity(name)
            else:
                await world.call("DELETE", f"{IDENTITIES}/{name}")
                stayed.discard(name)
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)
    assert seen == sorted(seen)
    world.store.close()


async def test_a_lab_of_before_types_were_noted_lists_what_it_has(world: World) -> None:
    orders = world.identity("orders")
    with world.store.transaction() as connection:
        connection.execute("DELETE FROM documents WHERE service = 'arm' AND (kind LIKE 'of %' OR kind = 'meta')")
    assert (await world.call("GET", IDENTITIES)).body["value"] == []
    world.arm = Arm(world.store, world.clock, world.journal, world.directory, world.access_tokens)
    assert [one["id"] for one in (await world.call("GET", IDENTITIES)).body["value"]] == [orders.id]


async def test_what_is_deleted_is_in_no_list(world: World) -> None:
    world.identity("orders")
    await world.call("DELETE", GROUP)
    assert world.store.keys("arm", "of microsoft.managedidentity/userassignedidentities") == []


async def test_operations_are_forgotten_when_they_are_old_and_over(world: World) -> None:
    for number in range(3):
        await world.call("PUT", f"{MACHINES}/m{number}", {"location": "eastus"})
    assert len(world.store.keys("arm", "operation")) == 3
    world.clock.advance(KEPT_SECONDS + 60)
    last = await world.call("PUT", f"{MACHINES}/m9", {"location": "eastus"})
    assert len(world.store.keys("arm", "operation")) == 1
    place = last.headers["azure-asyncoperation"].removeprefix("https://management.azure.com").partition("?")[0]
    assert (await world.call("GET", place)).body["status"] == "InProgress"
