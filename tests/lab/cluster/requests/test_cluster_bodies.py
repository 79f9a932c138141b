"""Request bodies that would keep a parser busy are refused before anything is built of them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.cluster.requests.bodies import MAX_BODY_BYTES, Malformed, decode_json, decode_yaml


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 50_000,
        b"{" * 50_000,
        b"- " * 50_000,
        b"? " * 50_000,
        b"- a\n" * (MAX_BODY_BYTES // 4),
        b"a: &a [x]\nb: [*a, *a]",
        b"a: &a [*a]",
        b"a: b\n---\nc: d",
        b"\xff",
        b"a: !!python/object/apply:os.system [id]",
        b"&a [" * 1_000,
    ],
)
def test_costly_yaml_is_refused_quickly(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Malformed):
        decode_yaml(body)
    # Seconds before there were bounds, on any machine; the limit is far from both.
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "body", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300, b"9" * 5_000 + b"x"]
)
def test_costly_json_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_json(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"kind":', "unexpected end of JSON input"),
        (b'{"kind":"a', "unexpected end of JSON input"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"a":1} x', "invalid character 'x' after top-level value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":["]" 2]}', "invalid character '2' after array element"),
        (b'{"a":"x\ny"}', "invalid character '\\n' in string literal"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "invalid character '{' exceeded max depth"),
    ],
)
def test_what_is_no_json_is_named_as_the_api_server_names_it(body: bytes, why: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode_json(body)
    assert str(refused.value) == why


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0aeEtrufalsn\\ ', max_size=40).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_the_reading(body: bytes) -> None:
    try:
        decode_json(body)
    except Malformed as error:
        assert str(error)


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert decode_json(b'{"a":"\xff"}') == {"a": "\ufffd"}


def test_a_large_manifest_is_read() -> None:
    assert len(decode_yaml(b"".join(b"key%d: value\n" % number for number in range(20_000)))) == 20_000
