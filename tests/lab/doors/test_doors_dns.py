import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.cluster.services.view import Backend, ServicePort, ServiceState
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
    table.only_existing("redis", {"votes", "one-too-many"}.__contains__)
    table.addressed("redis", {"votes": "172.18.1.1", "one-too-many": ""}.__getitem__)
    return table


def backend(address: str, hostname: str = "", *, ready: bool = True, **ports: int) -> Backend:
    return Backend(address, {"sql": 5432, **ports}, ready, ready, False, hostname)


def state(name: str, **values: Any) -> ServiceState:
    kept = {"uid": "u", "kind": "ClusterIP", "cluster_ip": "", "external_name": "", "ports": (), "backends": ()}
    return ServiceState(namespace="shop", name=name, **{**kept, **values})


SERVICES = {
    each.name: each
    for each in (
        state("redis", cluster_ip="10.96.0.7", ports=(ServicePort("tls", 6379, "TCP"), ServicePort("d", 53, "UDP"))),
        state(
            "db",
            ports=(ServicePort("sql", 5432, "TCP"),),
            backends=(
                backend("10.244.0.5", "db-0"),
                backend("10.244.0.6"),
                backend("10.244.0.7", "db-2", ready=False),
            ),
        ),
        state("empty"),
        state("login", kind="ExternalName", external_name="Login.MicrosoftOnline.com."),
        state("elsewhere", kind="ExternalName", external_name="db.example.com"),
    )
}


def service(namespace: str, name: str) -> ServiceState | None:
    return SERVICES.get(name) if namespace == "shop" else None


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
        "a.b.cluster.local",
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


ZONE = "shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param(f"db.{ZONE}", ["10.244.0.5", "10.244.0.6"], id="headless-service-names-its-ready-pods"),
        pytest.param(f"db-0.db.{ZONE}", ["10.244.0.5"], id="pod-by-its-hostname"),
        pytest.param(f"10-244-0-6.db.{ZONE}", ["10.244.0.6"], id="pod-without-hostname-by-its-address"),
        pytest.param("10-244-0-9.shop.pod.cluster.local", ["10.244.0.9"], id="any-pod-by-its-address"),
    ],
)
def test_pods_have_names_too(name: str, found: list[str]) -> None:
    assert addresses(ask(name)) == found


@pytest.mark.parametrize(
    "name",
    [f"empty.{ZONE}", f"db-2.db.{ZONE}", f"db-0.redis.{ZONE}", f"_no._tcp.redis.{ZONE}", f"_tls._udp.redis.{ZONE}"],
)
def test_what_has_nothing_ready_behind_it_does_not_exist(name: str) -> None:
    assert ask(name).header.rcode == RCODE.NXDOMAIN


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param(f"_tls._tcp.redis.{ZONE}", [(6379, f"redis.{ZONE}.")], id="service"),
        pytest.param(f"_d._udp.redis.{ZONE}", [(53, f"redis.{ZONE}.")], id="udp"),
        pytest.param(
            f"_sql._tcp.db.{ZONE}", [(5432, f"db-0.db.{ZONE}."), (5432, f"10-244-0-6.db.{ZONE}.")], id="headless"
        ),
    ],
)
def test_named_ports_are_found_with_their_hosts(name: str, said: list[tuple[int, str]]) -> None:
    found = ask(name, "SRV")
    assert [(record.rdata.port, str(record.rdata.target)) for record in found.rr] == said
    assert [str(record.rname) for record in found.ar] == [host for _, host in said]


def test_a_service_that_is_only_another_name_leads_on() -> None:
    known, unknown = ask(f"login.{ZONE}"), ask(f"elsewhere.{ZONE}")
    assert addresses(known) == ["login.microsoftonline.com.", GATEWAY]
    assert str(known.rr[1].rname) == "login.microsoftonline.com."
    assert (unknown.header.rcode, addresses(unknown)) == (RCODE.NOERROR, ["db.example.com."])


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


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("votes.redis.cache.windows.net", ["172.18.1.1"]),
        ("one-too-many.redis.cache.windows.net", []),
        ("nobody.redis.cache.windows.net", []),
    ],
)
def test_what_names_no_host_in_its_protocol_has_an_address_of_its_own(name: str, found: list[str]) -> None:
    said = DNSRecord.parse(answer(DNSRecord.question(name).pack(), names(), ADDRESSES))
    assert [str(record.rdata) for record in said.rr] == found
    assert said.header.rcode == (RCODE.NOERROR if found else RCODE.NXDOMAIN)
