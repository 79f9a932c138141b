"""The name in a ClientHello, as OpenSSL writes it; in parts, in several records, and in nonsense."""

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.serving.client_hello import LONGEST, server_name

NAME = "red-1.hcp.westeurope.azmk8s.io"


def hello(name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    written = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), written, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return written.read()


WHOLE = hello(NAME)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("name", "found"), [(NAME, NAME), ("A.Example", "a.example"), (None, ""), ("127.0.0.1", "")])
def test_the_name_is_the_one_that_was_asked_for(name: str | None, found: str, version: ssl.TLSVersion) -> None:
    assert server_name(hello(name, version)) == found


def test_more_is_wanted_until_the_message_is_whole() -> None:
    assert [server_name(WHOLE[:length]) for length in range(len(WHOLE))] == [None] * len(WHOLE)
    assert server_name(WHOLE + b"what follows") == NAME


@given(st.integers(1, len(WHOLE) - 6))
def test_a_message_may_come_in_several_records(at: int) -> None:
    message = WHOLE[5:]
    parts = message[:at], message[at:]
    assert server_name(b"".join(WHOLE[:3] + len(part).to_bytes(2) + part for part in parts)) == NAME


@given(st.binary(max_size=400))
def test_nonsense_never_breaks_it(data: bytes) -> None:
    for prefix in (b"", b"\x16\x03\x01", WHOLE[:5], WHOLE[:60]):
        assert server_name(prefix + data) in {None, "", NAME} or isinstance(server_name(prefix + data), str)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x15\x03\x01\x00\x02\x01\x00", b"\x16\x03\x01\x00\x01\x02"])
def test_what_is_no_greeting_asks_for_nobody(data: bytes) -> None:
    assert server_name(data) == ""


def test_a_message_that_never_ends_is_given_up() -> None:
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x4000 - 4)
    more = b"\x16\x03\x01\x40\x00" + bytes(0x4000)
    assert server_name(record) is None
    assert server_name((record + more * 4)[:LONGEST]) == ""
