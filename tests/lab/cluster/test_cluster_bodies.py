"""Request bodies that would keep a parser busy are refused before anything is built of them."""

import time

import pytest

from podpass.kube.status import StatusError
from podpass.lab.cluster.bodies import MAX_BODY_BYTES, decode_json, decode_yaml


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
    with pytest.raises(StatusError) as refused:
        decode_yaml(body)
    assert refused.value.code == 400
    # Seconds before there were bounds, on any machine; the limit is far from both.
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "body", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300, b"9" * 5_000 + b"x"]
)
def test_costly_json_is_refused(body: bytes) -> None:
    with pytest.raises(StatusError) as refused:
        decode_json(body)
    assert refused.value.code == 400


def test_a_large_manifest_is_read() -> None:
    assert len(decode_yaml(b"".join(b"key%d: value\n" % number for number in range(20_000)))) == 20_000
