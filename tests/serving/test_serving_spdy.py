"""SPDY frames: what a client's bytes mean however they arrive, and what is refused."""

import contextlib
import struct
import zlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.serving.spdy import (
    DICTIONARY,
    MOST_CONTROL_BYTES,
    Data,
    Decoder,
    Encoder,
    Event,
    GoAway,
    Opened,
    Ping,
    ProtocolError,
    Reset,
)

_NAMES = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=12)
_HEADERS = st.dictionaries(_NAMES, st.text(max_size=20), max_size=5)


class Peer:
    """A client's half, which the code under test has no use for."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(zdict=DICTIONARY)

    def block(self, headers: Mapping[str, str], count: int | None = None) -> bytes:
        block = struct.pack(">I", len(headers) if count is None else count)
        for pair in headers.items():
            block += b"".join(struct.pack(">I", len(text.encode())) + text.encode() for text in pair)
        return self._packer.compress(block) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def control(self, kind: int, body: bytes, *, flags: int = 0, version: int = 3) -> bytes:
        return struct.pack(">II", 1 << 31 | version << 16 | kind, flags << 24 | len(body)) + body

    def open(self, stream: int, headers: Mapping[str, str], *, ended: bool = False) -> bytes:
        return self.control(1, struct.pack(">IIH", stream, 0, 0) + self.block(headers), flags=ended)


def test_the_dictionary_is_that_of_the_protocol() -> None:
    # The number that stands in every peer's first compressed block.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(
    st.lists(
        st.one_of(
            st.builds(Opened, st.integers(1, 9), _HEADERS, st.booleans()),
            st.builds(Data, st.integers(1, 9), st.binary(max_size=40), st.booleans()),
            st.builds(Reset, st.integers(1, 9)),
            st.builds(Ping, st.integers(1, 9)),
            st.just(GoAway()),
        ),
        max_size=8,
    ),
    st.integers(1, 30),
)
def test_frames_mean_the_same_in_whatever_pieces_they_arrive(events: list[Event], size: int) -> None:
    peer, decoder = Peer(), Decoder()
    sent = b""
    for event in events:
        match event:
            case Opened():
                sent += peer.open(event.stream, event.headers, ended=event.ended)
            case Data():
                sent += Encoder().data(event.stream, event.data, ended=event.ended)
            case Reset():
                sent += Encoder().reset(event.stream, 5)
            case Ping():
                sent += Encoder().ping(event.number)
            case GoAway():
                sent += Encoder().go_away(0)
    found = [event for start in range(0, len(sent), size) for event in decoder.feed(sent[start : start + size])]
    assert _joined(found) == _joined(events)


def _joined(events: list[Event]) -> list[Event]:
    """Data of one frame may come in several events; only its bytes and its end count."""
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Data) and isinstance(last, Data) and last.stream == event.stream and not last.ended:
            joined[-1] = Data(event.stream, last.data + event.data, event.ended)
        else:
            joined.append(event)
    return joined


@given(st.binary(max_size=300))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        Decoder().feed(data)


def test_a_reply_can_be_read_by_the_peer() -> None:
    encoder, unpacker = Encoder(), zlib.decompressobj(zdict=DICTIONARY)
    for stream in (1, 3):
        reply = encoder.reply(stream, {"Streamtype": "data"})
        assert struct.unpack_from(">II", reply) == (0x80030002, len(reply) - 8)
        assert struct.unpack_from(">I", reply, 8) == (stream,)
        assert unpacker.decompress(reply[12:]) == b"\0\0\0\1\0\0\0\x0astreamtype\0\0\0\4data"


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(Peer().control(6, b"\0\0\0\1", version=2), id="another-version"),
        pytest.param(Peer().open(0, {}), id="stream-zero"),
        pytest.param(struct.pack(">II", 0x80030001, MOST_CONTROL_BYTES + 1), id="large-control-frame"),
        pytest.param(Peer().control(1, bytes(10) + b"not deflate"), id="not-compressed"),
        pytest.param(Peer().control(1, b"\0\0\0\1" + bytes(6) + Peer().block({}, count=7)), id="headers-missing"),
        pytest.param(Peer().control(1, b"\0\0\0\1" + bytes(6) + Peer().block({}, count=1 << 31)), id="many-headers"),
        pytest.param(Peer().open(1, {"a": "x" * 1_000_000}), id="headers-that-unpack-to-much"),
        pytest.param(Peer().control(6, b""), id="ping-without-number"),
    ],
)
def test_what_makes_no_sense_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(frame)
