"""What pods are to have, what is to be done about it, and the requests that do it."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.mic.assignment import MOST_IN_ONE_REQUEST, Present, difference, erroneous, patches
from podpass.mic.backoff import FIRST_SECONDS, LONGEST_SECONDS, Backoff
from podpass.mic.changes import changes
from podpass.mic.desired import MAX_NAME, Pod, Rules, Wanted, desired
from podpass.mic.ledger import Ledger
from podpass.mic.targets import Target, target_of
from podpass.mic.throttling import Throttle, retry_after_seconds
from podpass.podidentity.objects import AssignedIdentity, Binding, PodIdentity, Status, Unusable

GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"


def identity(name: str, namespace: str = "shop", *, is_namespaced: bool = False, version: str = "1") -> PodIdentity:
    return PodIdentity(
        namespace=namespace,
        name=name,
        resource_version=version,
        client_id=f"client-{name}",
        resource_id=f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        is_namespaced=is_namespaced,
    )


def binding(name: str, of: str, namespace: str = "shop", selector: str = "web", version: str = "1") -> Binding:
    return Binding(namespace=namespace, name=name, resource_version=version, identity=of, selector=selector)


def pod(
    name: str = "web-0", namespace: str = "shop", node: str = "node-a", phase: str = "Running", label: str = "web"
) -> Pod:
    return Pod(namespace=namespace, name=name, node=node, phase=phase, binding_label=label)


PLAIN = Rules()
IDENTITIES: dict[tuple[str, str], PodIdentity | Unusable] = {
    ("shop", "one"): identity("one"),
    ("shop", "two"): identity("two"),
    ("bank", "one"): identity("one", "bank"),
    ("bank", "own"): identity("own", "bank", is_namespaced=True),
    ("shop", "bad"): Unusable("invalid resource id"),
}


def wanted(of: Pod, *bindings: Binding, rules: Rules = PLAIN) -> list[Wanted]:
    return desired(of, bindings, lambda namespace, name: IDENTITIES.get((namespace, name)), rules)


@pytest.mark.parametrize(
    ("of", "bindings", "rules", "expected"),
    [
        (pod(), [binding("b", "one")], Rules(), [("default", "web-0-shop-one")]),
        (pod(), [binding("b", "one", "bank")], Rules(), [("default", "web-0-shop-one")]),
        (pod(), [binding("b", "one", "bank")], Rules(forced_namespaced=True), []),
        (pod(), [binding("b", "one")], Rules(forced_namespaced=True), [("shop", "web-0-shop-one")]),
        (pod(), [binding("b", "own", "bank")], Rules(), []),
        (pod(namespace="bank"), [binding("b", "own", "bank")], Rules(), [("bank", "web-0-bank-own")]),
        (
            pod(),
            [binding("b", "bad"), binding("c", "gone"), binding("d", "two")],
            Rules(),
            [("default", "web-0-shop-two")],
        ),
        (pod(), [binding("b", "one"), binding("a", "one")], Rules(), [("default", "web-0-shop-one")]),
        (pod(label=""), [binding("b", "one", selector="")], Rules(), []),
        (pod(), [binding("b", "one", selector="Web")], Rules(), []),
        (pod(node=""), [binding("b", "one")], Rules(), []),
        (pod(phase="Pending"), [binding("b", "one")], Rules(), [("default", "web-0-shop-one")]),
        (pod(phase="Succeeded"), [binding("b", "one")], Rules(), []),
        (pod(phase="Failed"), [binding("b", "one")], Rules(keep_for_ended_pods=True), [("default", "web-0-shop-one")]),
    ],
)
def test_what_a_pod_is_to_have(of: Pod, bindings: list[Binding], rules: Rules, expected: list[tuple[str, str]]) -> None:
    assert [each.key for each in wanted(of, *bindings, rules=rules)] == expected


def test_the_first_binding_by_name_counts() -> None:
    found = wanted(pod(), binding("z", "one"), binding("a", "one"))
    assert [each.binding.name for each in found] == ["a"]


def test_identities_of_one_name_in_two_namespaces_have_two_objects() -> None:
    found = wanted(pod(), binding("a", "one"), binding("b", "one", "bank"))
    assert len({each.key for each in found}) == 2
    assert {each.identity.namespace for each in found} == {"shop", "bank"}


def test_a_name_is_never_too_long() -> None:
    long = pod("w" * 200, "n" * 63)
    (first,), (second,) = wanted(long, binding("b", "one")), wanted(long, binding("b", "two"))
    assert len(first.name) <= MAX_NAME
    assert first.name != second.name


def held(each: Wanted, status: Status = "Assigned", **changed: object) -> AssignedIdentity:
    found = AssignedIdentity(
        namespace=each.namespace,
        name=each.name,
        identity=each.identity,
        binding=(each.binding.namespace, each.binding.name),
        binding_version=each.binding.resource_version,
        pod=each.pod.key,
        node=each.pod.node,
        status=status,
    )
    return dataclasses.replace(found, **changed)  # type: ignore[arg-type]


ONE, TWO = wanted(pod(), binding("a", "one"), binding("b", "two"))


@pytest.mark.parametrize(
    ("wish", "present", "expected"),
    [
        ([ONE], [], (1, 0, 0, 0)),
        ([ONE], [held(ONE)], (0, 0, 0, 0)),
        ([ONE], [held(ONE, "Created")], (0, 0, 1, 0)),
        ([ONE], [held(ONE, "Unassigned")], (0, 1, 0, 0)),
        ([ONE], [held(ONE, binding_version="0")], (0, 1, 0, 0)),
        ([ONE], [held(ONE, identity=identity("one", version="0"))], (0, 1, 0, 0)),
        ([ONE], [held(ONE, node="node-b")], (0, 1, 0, 0)),
        ([], [held(ONE), held(TWO)], (0, 0, 0, 2)),
        ([TWO], [held(ONE)], (1, 0, 0, 1)),
    ],
)
def test_what_is_to_be_done(
    wish: list[Wanted], present: list[AssignedIdentity], expected: tuple[int, int, int, int]
) -> None:
    found = changes(wish, present)
    assert (len(found.create), len(found.update), len(found.retry), len(found.delete)) == expected


def test_a_name_that_another_pod_has_is_left_to_it() -> None:
    """Pod `a-b` of `c` and pod `a` of `b-c` would have objects of one name."""
    (first,) = wanted(pod("a-b", "c"), binding("b", "one"))
    (second,) = wanted(pod("a", "b-c"), binding("b", "one"))
    assert first.name == second.name
    found = changes([second], [], others={first.key: held(first)})
    assert found.create[0].name != first.name
    assert found.create[0].name.startswith("a-b-c-one-")


@pytest.mark.parametrize(
    ("provider_id", "expected"),
    [
        (
            "azure:///subscriptions/S/resourceGroups/MC_g/providers/Microsoft.Compute/virtualMachineScaleSets/Pool/virtualMachines/0",
            Target("vmss", "s", "mc_g", "pool"),
        ),
        (
            "azure:///Subscriptions/s/resourcegroups/g/providers/Microsoft.Compute/virtualMachines/vm-1",
            Target("vm", "s", "g", "node-a"),
        ),
        ("", Target("vm", "", "", "node-a")),
        ("gce://project/zone/name", Target("vm", "", "", "node-a")),
    ],
)
def test_where_identities_are_put(provider_id: str, expected: Target) -> None:
    assert target_of("node-a", provider_id) == expected


def test_the_ledger_knows_what_a_machine_needs() -> None:
    ledger, target, other = Ledger(), Target("vmss", "s", "g", "a"), Target("vmss", "s", "g", "b")
    again = dataclasses.replace(ONE, pod=pod(namespace="bank"))
    resource_id = ONE.identity.resource_id.upper()
    ledger.put(ONE.pod.key, target, [ONE])
    ledger.put(again.pod.key, target, [again])
    assert ledger.is_needed(target, resource_id)
    assert not ledger.is_needed(other, resource_id)
    ledger.put(ONE.pod.key, target, [])
    assert ledger.is_needed(target, resource_id)
    ledger.put(again.pod.key, other, [again])
    assert not ledger.is_needed(target, resource_id)
    assert ledger.is_needed(other, resource_id)


IDS = st.sets(st.integers(0, 400).map(lambda number: f"/id/{number}"), max_size=400)
TYPES = st.sampled_from(["None", "UserAssigned", "SystemAssigned", "SystemAssigned, UserAssigned"])


@given(TYPES, IDS, IDS, IDS)
def test_patches_make_the_difference_and_no_more(
    type_: str, present: set[str], add: set[str], remove: set[str]
) -> None:
    before = Present(type_, frozenset(present if "User" in type_ else ()))
    found = difference(before, add, remove)
    ids = set(before.ids)
    for body in patches(before, found):
        named = body["identity"].get("userAssignedIdentities")
        if named is None:
            assert body["identity"]["type"] == ("SystemAssigned" if "System" in type_ else "None")
            ids = set()
            continue
        assert len(named) <= MOST_IN_ONE_REQUEST
        assert body["identity"]["type"] == ("SystemAssigned, UserAssigned" if "System" in type_ else "UserAssigned")
        ids |= {each for each, value in named.items() if value is not None}
        ids -= {each for each, value in named.items() if value is None}
    assert ids == (set(before.ids) - (remove - add)) | add


def test_no_difference_is_no_request() -> None:
    present = Present.of({"identity": {"type": "UserAssigned", "userAssignedIdentities": {"/ID/A": {}}}})
    assert not difference(present, ["/id/a"], ["/id/b"])
    assert patches(present, difference(present, ["/Id/A"], [])) == []


IDS_IN_ERROR = [identity(name).resource_id.lower() for name in ("a", "b", "c")]
A, B, C = (identity(name).resource_id for name in ("a", "b", "c"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (f"Code='x' FailedIdentityOperation: resource 'x' failed for '{A},{C}'", ["a", "c"]),
        (
            f"LinkedAuthorizationFailed: the client 'c' may not act on '{B.swapcase()}'",
            ["b"],
        ),
        (f"Other: '{B}'", []),
        ("FailedIdentityOperation without names", []),
    ],
)
def test_identities_that_an_error_names(error: str, expected: list[str]) -> None:
    assert [each[-1] for each in erroneous(error, IDS_IN_ERROR)] == expected


def test_back_off_doubles_and_has_an_end() -> None:
    now = 0.0
    backoff = Backoff(lambda: now)
    waits = []
    for _ in range(12):
        backoff.failed("k")
        waits.append(backoff.waits_seconds("k"))
    assert waits[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert waits[-1] == LONGEST_SECONDS
    now += LONGEST_SECONDS
    assert backoff.waits_seconds("k") == 0
    backoff.succeeded("k")
    backoff.failed("k")
    assert backoff.waits_seconds("k") == FIRST_SECONDS


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("17", 17),
        ("", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("-3", 0),
    ],
)
def test_retry_after(header: str, expected: float) -> None:
    assert retry_after_seconds(header, now=10.0) == expected


def test_a_throttled_call_waits_and_others_do_not() -> None:
    now = 100.0
    throttle = Throttle(lambda: now, lambda: now)
    throttle.note("VMSSGet", "30")
    assert throttle.waits_seconds("VMSSGet") == 30
    assert throttle.waits_seconds("VMSSUpdate") == 0
    assert throttle.message("VMSSGet").startswith("VMSSGet client throttled, retry after: 1970-01-01 00:02:10")
    throttle.note("VMSSGet", "1")
    assert throttle.waits_seconds("VMSSGet") == 30
    now += 31
    assert throttle.waits_seconds("VMSSGet") == 0


def test_a_wall_clock_that_is_put_back_stretches_no_wait() -> None:
    wall = 10_000.0
    throttle = Throttle(lambda: wall, lambda: 5.0)
    throttle.note("VMSSGet", "30")
    wall -= 3600
    assert throttle.waits_seconds("VMSSGet") == 30
