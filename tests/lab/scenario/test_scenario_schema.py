"""The schema for editors says of every member what the reader says."""

import json
from typing import Any

from docs.scenario_schema import page
from podpass.lab.scenario.fields import members
from podpass.lab.scenario.model import Scenario

SCHEMA: dict[str, Any] = json.loads(page())


def test_every_member_is_in_the_schema() -> None:
    def check(entry: Any, shown: dict[str, Any]) -> None:
        assert {one.name for one in members(entry)} == shown["properties"].keys() - {"version"}
        assert shown["additionalProperties"] is False
        for one in members(entry):
            assert (one.name in shown["required"]) == (one.is_required and entry is not Scenario)
            if one.entry is not None:
                check(one.entry, SCHEMA["$defs"][one.entry.__name__.removesuffix("Entry")])

    check(Scenario, SCHEMA)


def test_every_reference_has_a_definition() -> None:
    text = page()
    for name in set(text.split('"#/$defs/')[1:]):
        assert name.partition('"')[0] in SCHEMA["$defs"]
