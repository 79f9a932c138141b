import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.status import StatusError
from podpass.lab.cluster import fields
from podpass.lab.cluster.fields import Field
from podpass.lab.cluster.requests.protobuf import MAX_DEPTH, Malformed, UnknownKind, decode_body, decode_object

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "kubernetes_protobuf.json").read_text())["vectors"]
PREFIX = b"k8s\x00"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def block(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return PREFIX + block(1, block(1, api_version.encode()) + block(2, kind.encode())) + block(2, raw)


def encoded(message: str, obj: dict[str, Any]) -> bytes:
    """The wire form of an object, written independently of the decoder: an oracle for the round trip."""
    out = b""
    for number, field in fields.message(message).items():
        if field.inline:
            out += block(number, encoded(field.type, obj))
        elif field.name in obj:
            value = obj[field.name]
            if field.shape == "list":
                out += b"".join(one(field, number, element) for element in value)
            elif field.shape == "map":
                for key, element in value.items():
                    out += block(number, block(1, key.encode()) + one(field, 2, element))
            else:
                out += one(field, number, value)
    return out


def one(field: Field, number: int, value: Any) -> bytes:
    match field.type:
        case "string":
            return block(number, value.encode())
        case "bytes":
            return block(number, base64.b64decode(value))
        case "bool" | "int32" | "int64":
            return varint(number << 3) + varint(int(value))
        case fields.QUANTITY:
            return block(number, block(1, value.encode()))
        case fields.INT_OR_STRING:
            if isinstance(value, str):
                return block(number, varint(8) + varint(1) + block(3, value.encode()))
            return block(number, varint(8) + varint(0) + varint(16) + varint(value))
        case _:
            return block(number, encoded(field.type, value))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["command"] for vector in VECTORS])
def test_what_kubectl_sends_is_read(vector: dict[str, Any]) -> None:
    assert decode_object(bytes.fromhex(vector["body"])) == vector["object"]


def test_a_pod_survives_the_round_trip() -> None:
    pod = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "generation": 3},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "priority": -10,
            "nodeSelector": {"disk": ""},
            "volumes": [
                {"name": "cfg", "configMap": {"name": "app", "defaultMode": 420, "optional": False}},
                {
                    "name": "token",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"audience": "a", "expirationSeconds": 3600, "path": "t"}},
                            {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                        ]
                    },
                },
            ],
            "containers": [
                {
                    "name": "c",
                    "image": "busybox",
                    "env": [
                        {"name": "EMPTY"},
                        {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                    "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                    "readinessProbe": {"tcpSocket": {"port": 80}},
                    "volumeMounts": [{"name": "cfg", "mountPath": "/etc/app", "readOnly": True}],
                }
            ],
        },
    }
    body = envelope("v1", "Pod", encoded("core.v1.Pod", pod))
    # On the way back, a variable's empty value is written out only where Kubernetes always writes it.
    assert decode_object(body) == {"apiVersion": "v1", "kind": "Pod", **pod}


def test_scalars_that_were_never_set_do_not_block_their_defaults() -> None:
    raw = block(2, block(3, b"") + block(9, b"") + varint(11 << 3) + varint(0))
    assert decode_object(envelope("v1", "Pod", raw))["spec"] == {}


def test_a_pointer_that_was_set_to_zero_is_kept() -> None:
    raw = block(2, varint(4 << 3) + varint(0) + varint(21 << 3) + varint(0))
    found = decode_object(envelope("v1", "Pod", raw))["spec"]
    assert found == {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}


def test_times_are_written_as_kubernetes_writes_them_and_empty_ones_left_out() -> None:
    moment = varint(8) + varint(1_700_000_000) + varint(16) + varint(123_456_789)
    lease = block(1, block(8, b"")) + block(2, block(3, moment))
    found = decode_object(envelope("coordination.k8s.io/v1", "Lease", lease))
    assert "creationTimestamp" not in found["metadata"]
    assert found["spec"]["acquireTime"] == "2023-11-14T22:13:20.123456Z"
    pod = decode_object(envelope("v1", "Pod", block(1, block(8, moment))))
    assert pod["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"


def test_unknown_fields_are_skipped() -> None:
    raw = block(1, block(1, b"web")) + block(99, b"?") + varint(98 << 3) + varint(7) + varint(97 << 3 | 5) + b"1234"
    assert decode_object(envelope("v1", "Pod", raw))["metadata"] == {"name": "web"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "prefix", id="empty"),
        pytest.param(b'{"kind":"Pod"}', "prefix", id="json"),
        pytest.param(PREFIX + b"\x0a\xff", "cut off", id="truncated"),
        pytest.param(PREFIX + b"\x0a" + b"\xff" * 11, "too long", id="endless-varint"),
        pytest.param(PREFIX + b"\x02\x00", "number 0", id="field-zero"),
        pytest.param(PREFIX + b"\x0b", "wire type 3", id="group"),
        pytest.param(envelope("v1", "Pod", varint(2 << 3) + b"\x01"), "not encoded as", id="number-for-message"),
        pytest.param(envelope("v1", "Pod", block(1, block(1, b"\xff\xfe"))), "UTF-8", id="not-utf8"),
        pytest.param(envelope("v1", "Pod", b"") + block(3, b"gzip"), "content encoding", id="compressed"),
        pytest.param(
            envelope("v1", "Secret", block(1, block(8, varint(8) + varint(1 << 60)))), "out of range", id="far-future"
        ),
    ],
)
def test_a_malformed_body_is_refused_with_its_fault(body: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        decode_object(body)
    with pytest.raises(StatusError) as caught:
        decode_body(body)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownKind, match='no kind "Widget" is registered for version "x'):
        decode_object(envelope("x.io/v1", "Widget", b""))


def test_nesting_is_bounded_by_the_kinds_themselves() -> None:
    def depth(message: str) -> int:
        inner = [each.type for each in fields.message(message).values() if each.type not in fields.SCALARS]
        return 1 + max((depth(each) for each in inner if each not in fields.SPECIAL), default=0)

    # A schema holds schemas; for those the decoder's own bound counts.
    bounded = [kind for kind in fields.kinds() if kind[1] != "CustomResourceDefinition"]
    deepest = max(depth(found) for kind in bounded if (found := fields.message_of(*kind)))
    assert deepest < MAX_DEPTH


def test_json_inside_a_body_that_is_nested_too_deep_is_refused() -> None:
    raw = b"[" * 100_000 + b"]" * 100_000
    managed = block(17, block(7, block(1, raw)))
    with pytest.raises(Malformed, match="does not hold JSON"):
        decode_object(envelope("v1", "Pod", block(1, managed)))


def test_the_number_of_values_is_bounded() -> None:
    empty_containers = b"\x12\x00" * 300_000
    with pytest.raises(Malformed, match="more than"):
        decode_object(envelope("v1", "Pod", block(2, empty_containers)))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_never_crash_the_decoder(data: bytes) -> None:
    for body in (data, PREFIX + data, envelope("v1", "Pod", data), envelope("v1", "Secret", data)):
        try:
            decode_object(body)
        except Malformed:
            continue


@given(st.data())
def test_a_changed_byte_never_crashes_the_decoder(data: st.DataObject) -> None:
    body = bytearray.fromhex(data.draw(st.sampled_from(VECTORS))["body"])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        decode_object(bytes(body))


NAMES = st.text(st.characters(codec="utf-8"), max_size=12)


@given(
    name=NAMES.filter(bool),
    labels=st.dictionaries(NAMES, NAMES, min_size=1, max_size=4),
    data=st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=4),
)
def test_secrets_survive_the_round_trip(name: str, labels: dict[str, str], data: dict[str, bytes]) -> None:
    secret = {
        "metadata": {"name": name, "labels": labels},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    body = envelope("v1", "Secret", encoded("core.v1.Secret", secret))
    assert decode_object(body) == {"apiVersion": "v1", "kind": "Secret", **secret}


def test_every_message_of_the_table_can_be_read() -> None:
    for api_version, kind in fields.kinds():
        message = fields.message_of(api_version, kind)
        assert message is not None
        todo, seen = [message], set[str]()
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            todo += [field.type for field in fields.message(current).values() if field.type not in fields.SCALARS]
