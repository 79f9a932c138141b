import asyncio
import socket
from pathlib import Path

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.doors.dns import Addresses, answer, reply
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import NotLoopback, serve_dns
from podpass.lab.journal import Journal
from podpass.serving.server import bind_unix

GATEWAY, CLUSTER = "10.0.0.53", "10.96.0.1"
ADDRESSES = Addresses(gateway=GATEWAY, cluster=CLUSTER)
SECONDS = 5


def names() -> Names:
    table = Names()
    table.only_existing("keyvault", {"shop"}.__contains__)
    return table


def service(name: str, namespace: str) -> str | None:
    return "10.96.0.7" if (name, namespace) == ("redis", "shop") else None


def ask(name: str, kind: str = "A") -> DNSRecord:
    message = answer(DNSRecord.question(name, kind).pack(), names(), ADDRESSES, services=service)
    return DNSRecord.parse(message)


def addresses(said: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in said.rr]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("login.microsoftonline.com", GATEWAY),
        ("MANAGEMENT.azure.com", GATEWAY),
        ("graph.microsoft.com", GATEWAY),
        ("shop.vault.azure.net", GATEWAY),
        ("westeurope.oic.prod-aks.azure.com", GATEWAY),
        ("kubernetes.default.svc.cluster.local", CLUSTER),
        ("redis.shop.svc.cluster.local", "10.96.0.7"),
    ],
)
def test_known_name_has_one_address(name: str, address: str) -> None:
    said = ask(name)
    assert said.header.rcode == RCODE.NOERROR
    assert addresses(said) == [address]
    assert 0 < said.rr[0].ttl <= 30


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "vault.azure.net",
        "gone.vault.azure.net",
        "a.shop.vault.azure.net",
        "169.254.169.254",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "cluster.local",
        "kubernetes.shop.svc.cluster.local",
        "a.kubernetes.default.svc.cluster.local",
        "login.microsoftonline.com.shop.svc.cluster.local",
        "4.3.2.1.in-addr.arpa",
    ],
)
def test_any_other_name_does_not_exist(name: str) -> None:
    said = ask(name)
    assert said.header.rcode == RCODE.NXDOMAIN
    assert said.rr == []


def test_short_names_of_the_api_are_completed_from_the_search_list() -> None:
    search = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    for short in ("kubernetes.default", "kubernetes.default.svc"):
        found = [addresses(ask(f"{short}.{suffix}")) for suffix in search]
        assert [CLUSTER] in found


@pytest.mark.parametrize("kind", ["AAAA", "HTTPS", "SRV", "TXT", "MX"])
@pytest.mark.parametrize("name", ["login.microsoftonline.com", "shop.vault.azure.net"])
def test_other_types_of_a_known_name_are_empty_but_no_error(name: str, kind: str) -> None:
    said = ask(name, kind)
    assert (said.header.rcode, said.rr) == (RCODE.NOERROR, [])


def test_answer_repeats_id_and_question_as_they_were_written() -> None:
    query = DNSRecord(DNSHeader(id=4711, rd=1), q=DNSQuestion("LoGiN.MicrosoftOnline.com", QTYPE.A))
    said = DNSRecord.parse(answer(query.pack(), names(), ADDRESSES))
    assert (said.header.id, said.header.qr, said.header.rd, said.header.ra) == (4711, 1, 1, 1)
    assert str(said.q.qname) == "LoGiN.MicrosoftOnline.com."


def test_extension_record_is_answered_with_one() -> None:
    query = DNSRecord.question("login.microsoftonline.com")
    query.add_ar(EDNS0(udp_len=4096))
    said = DNSRecord.parse(answer(query.pack(), names(), ADDRESSES))
    assert [record.rtype for record in said.ar] == [QTYPE.OPT]
    assert addresses(said) == [GATEWAY]


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("example.com", "example.com"),
        ("gone.vault.azure.net", "gone.vault.azure.net"),
        ("example.com.shop.svc.cluster.local", ""),
        ("4.3.2.1.in-addr.arpa", ""),
        ("login.microsoftonline.com", ""),
    ],
)
def test_only_names_that_programs_asked_for_are_worth_recording(name: str, recorded: str) -> None:
    assert reply(DNSRecord.question(name).pack(), names(), ADDRESSES).unknown == recorded


def rcode_of(message: bytes) -> int:
    return int(DNSRecord.parse(message).header.rcode)


def test_damaged_query_is_a_format_error_with_its_id() -> None:
    said = answer(DNSRecord.question("example.com").pack()[:-3], names(), ADDRESSES)
    assert rcode_of(said) == RCODE.FORMERR


def test_more_questions_than_one_are_a_format_error() -> None:
    query = DNSRecord.question("example.com")
    query.add_question(DNSQuestion("example.org"))
    assert rcode_of(answer(query.pack(), names(), ADDRESSES)) == RCODE.FORMERR


def test_huge_query_is_a_format_error() -> None:
    query = DNSRecord.question("example.com").pack() + b"\0" * 2_000
    assert rcode_of(answer(query, names(), ADDRESSES)) == RCODE.FORMERR


def test_other_operations_are_not_implemented() -> None:
    query = bytearray(DNSRecord.question("example.com").pack())
    query[2] |= 5 << 3
    assert rcode_of(answer(bytes(query), names(), ADDRESSES)) == RCODE.NOTIMP


def test_other_classes_are_refused() -> None:
    query = DNSRecord(q=DNSQuestion("version.bind", QTYPE.TXT, 3)).pack()
    assert rcode_of(answer(query, names(), ADDRESSES)) == RCODE.REFUSED


@pytest.mark.parametrize("message", [b"", b"\0" * 11, DNSRecord.question("example.com").reply().pack()])
def test_what_is_no_query_gets_no_answer(message: bytes) -> None:
    assert answer(message, names(), ADDRESSES) == b""


@settings(deadline=None)
@given(st.binary(max_size=1_100))
def test_any_bytes_are_answered_or_dropped(message: bytes) -> None:
    said = answer(message, names(), ADDRESSES)
    assert said == b"" or said[:2] == message[:2]


@settings(deadline=None)
@given(st.data())
def test_any_damage_to_a_query_is_survived(data: st.DataObject) -> None:
    query = DNSRecord.question(data.draw(st.sampled_from(["login.microsoftonline.com", "a.b.example.com"])))
    query.add_ar(EDNS0())
    message = bytearray(query.pack())
    for _ in range(data.draw(st.integers(0, 5))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    said = answer(bytes(message), names(), ADDRESSES)
    assert said == b"" or DNSRecord.parse(said).header.qr == 1


# --- over a stream


async def exchange(path: Path, sent: bytes, count: int) -> list[DNSRecord]:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(sent)
            said = []
            for _ in range(count):
                length = int.from_bytes(await reader.readexactly(2))
                said.append(DNSRecord.parse(await reader.readexactly(length)))
            return said
        finally:
            writer.transport.abort()


def framed(name: str) -> bytes:
    message = DNSRecord.question(name).pack()
    return len(message).to_bytes(2) + bytes(message)


async def test_stream_answers_each_framed_query_in_order(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "dns.sock"
    async with serve_dns(bind_unix(path), names(), ADDRESSES, journal):
        said = await exchange(path, framed("login.microsoftonline.com") + framed("example.com"), 2)
    assert [answer.header.rcode for answer in said] == [RCODE.NOERROR, RCODE.NXDOMAIN]


async def test_stream_takes_queries_in_any_pieces(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "dns.sock"
    async with (
        serve_dns(bind_unix(path), names(), ADDRESSES, journal),
        asyncio.timeout(SECONDS),
    ):
        reader, writer = await asyncio.open_unix_connection(str(path))
        for byte in framed("login.microsoftonline.com"):
            writer.write(bytes([byte]))
            await writer.drain()
        assert int.from_bytes(await reader.readexactly(2)) > 12
        writer.transport.abort()


async def test_unknown_name_is_recorded_once(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "dns.sock"
    async with serve_dns(bind_unix(path), names(), ADDRESSES, journal):
        await exchange(path, framed("example.com") * 3 + framed("gone.vault.azure.net"), 4)
    hops = [event.hop for event in journal.events()]
    assert [(hop.whom, hop.what, hop.wire) for hop in hops] == [
        ("dns", "resolve example.com", "NXDOMAIN"),
        ("dns", "resolve gone.vault.azure.net", "NXDOMAIN"),
    ]
    assert hops[1].why == "keyvault has nothing named 'gone'"


async def test_open_streams_end_when_serving_does(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "dns.sock"
    async with asyncio.timeout(SECONDS):
        async with serve_dns(bind_unix(path), names(), ADDRESSES, journal):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(framed("example.com"))
            await reader.readexactly(2)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(10_000)
        writer.transport.abort()


async def test_name_server_is_not_offered_to_other_machines(journal: Journal) -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        with pytest.raises(NotLoopback):
            async with serve_dns(listener, names(), ADDRESSES, journal):
                pass
