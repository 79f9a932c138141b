"""The text of a template: JSON, and what az and people write instead of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.arm.deployments.jsonc import NotJson, loads

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_json_is_read_as_json(value: Any, escaped: bool) -> None:
    assert loads(json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")) == value


@given(st.binary() | st.text().map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        loads(body)
    except NotJson as error:
        assert str(error)


READ = [
    (
        '{"properties": {"mode": "Incremental", template:{ // from a file\r\n  "a": 1,\r\n}}}',
        {"properties": {"mode": "Incremental", "template": {"a": 1}}},
    ),
    ("/* first */ {'a': 'it\"s', b: [1, 2,],}", {"a": 'it"s', "b": [1, 2]}),
    ('{"a": "[concat(\n  \'x\')]"}', {"a": "[concat(\n  'x')]"}),
    ('{"a": "//no comment /* nor this */"}', {"a": "//no comment /* nor this */"}),
    ('\ufeff{"a": -1.5e3, "b": true, "c": null}', {"a": -1500.0, "b": True, "c": None}),
    ('"\\ud83d\\ude00"', "\U0001f600"),
]


@pytest.mark.parametrize(("text", "value"), READ, ids=lambda value: str(value)[:30])
def test_templates_are_read_as_people_write_them(text: str, value: Any) -> None:
    assert loads(text.encode()) == value


REFUSED = [
    ("", "expected a value, found '' at line 1, position 1"),
    ('{"a" 1}', "expected ':', found '1}' at line 1, position 6"),
    ('{"a": 1\n "b": 2}', "expected ',' or '}', found '\"b\": 2}' at line 2, position 2"),
    ('{"a": "open', "expected the end of a text, found '\"open' at line 1, position 7"),
    ("[1] 2", "expected the end of the text, found '2' at line 1, position 5"),
    ('"\\x"', "expected an escape"),
    ('"\\u12g4"', "expected four hexadecimal digits"),
    ("[" * 200, "expected at most 100 levels"),
    ("nope", "expected a value, found 'nope'"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_refusal_says_what_is_wrong_where(text: str, reason: str) -> None:
    with pytest.raises(NotJson) as caught:
        loads(text.encode())
    assert reason in str(caught.value)
