"""Which machine a node is: a table."""

from collections.abc import Mapping

import pytest

from podpass.lab.fleet.machines import machine_of

MACHINES = ("/s/a/virtualMachines/0", "/s/a/virtualMachines/1", "/s/b/virtualMachines/0")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({}, MACHINES[0], id="the-first"),
        pytest.param({"lab-node": MACHINES[0]}, MACHINES[1], id="the-next"),
        pytest.param({"lab-node": MACHINES[0].upper()}, MACHINES[1], id="in-any-letter-case"),
        pytest.param({"lab-node": MACHINES[1]}, MACHINES[0], id="a-gap"),
        pytest.param({"lab-node-2": MACHINES[2], "lab-node": MACHINES[0]}, MACHINES[2], id="the-one-it-was"),
        pytest.param({"lab-node-2": "/s/gone/virtualMachines/7"}, "/s/gone/virtualMachines/7", id="of-a-set-that-left"),
        pytest.param(dict(zip("abc", MACHINES, strict=True)), "", id="more-nodes-than-machines"),
    ],
)
def test_a_node_is_the_machine_it_was_or_the_first_free_one(known: Mapping[str, str], expected: str) -> None:
    assert machine_of("lab-node-2", MACHINES, known) == expected
