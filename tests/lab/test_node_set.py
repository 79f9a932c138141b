"""Which nodes a lab begins with, by what was kept, asked for, and said in a scenario."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.node.addresses import MOST_NODES
from podpass.lab.node_set import Kept, State, free_name, resized, wanted_nodes
from podpass.lab.nodes import node_name, node_number

ONE, TWO, THREE = "lab-node", "lab-node-2", "lab-node-3"
STATES: st.SearchStrategy[State] = st.sampled_from(["running", "stopped", "leaving"])
KEPT = st.dictionaries(st.integers(0, MOST_NODES - 1).map(node_name), STATES, max_size=12)


@pytest.mark.parametrize(
    ("kept", "asked", "scenario", "applied", "wanted"),
    [
        (None, 0, 0, True, {ONE: "running"}),
        (None, 0, 2, True, {ONE: "running", TWO: "running"}),
        (None, 3, 2, True, {ONE: "running", TWO: "running", THREE: "running"}),
        # A first start that failed after its scenario was kept.
        (None, 0, 2, False, {ONE: "running", TWO: "running"}),
        ({TWO: "stopped"}, 0, 3, False, {TWO: "stopped"}),
        ({TWO: "stopped"}, 0, 2, True, {ONE: "running", TWO: "stopped"}),
        ({ONE: "running", THREE: "stopped"}, 0, 1, True, {ONE: "running", THREE: "stopped"}),
        ({ONE: "running", THREE: "stopped"}, 1, 3, True, {ONE: "running", THREE: "leaving"}),
        ({ONE: "running", TWO: "leaving"}, 0, 0, False, {ONE: "running", TWO: "leaving"}),
        ({}, 0, 0, False, {}),
    ],
)
def test_the_nodes_of_a_start(kept: Kept | None, asked: int, scenario: int, applied: bool, wanted: Kept) -> None:
    found = wanted_nodes(kept, asked=asked, scenario=scenario, applied=applied)
    assert list(found.items()) == list(wanted.items())


@given(kept=KEPT, number=st.integers(0, 20))
def test_a_set_gets_its_size_and_forgets_no_removal(kept: dict[str, State], number: int) -> None:
    found = resized(kept, number)
    staying = {name: state for name, state in found.items() if state != "leaving"}
    assert len(staying) == number
    assert set(kept) <= set(found)
    assert all(state == kept.get(name, "running") for name, state in staying.items())
    assert resized(found, number) == found
    assert list(found) == sorted(found, key=node_number)


def test_there_is_an_end_of_names() -> None:
    every: dict[str, State] = {node_name(number): "running" for number in range(MOST_NODES)}
    del every["lab-node-7"]
    assert free_name(every) == "lab-node-7"
    with pytest.raises(ValueError, match="at most 250"):
        free_name({**every, "lab-node-7": "stopped"})
