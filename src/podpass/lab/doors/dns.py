"""What the lab's name server says: emulated names lead to the lab, every other name does not exist.

Pure: bytes in, bytes out. Names below a star exist only while the thing they name does, as in Azure's own DNS.
"""

import struct
from dataclasses import dataclass

from dnslib import CNAME, EDNS0, OPCODE, QTYPE, RCODE, RR, SRV, A, DNSError, DNSRecord
from dnslib.buffer import BufferError as DNSBufferError
from dnslib.label import DNSLabel, DNSLabelError

from podpass.lab.doors.cluster_names import FindService, Found, look_up
from podpass.lab.doors.names import CLUSTER_ZONE, Names, Nowhere, normalise, printable

TTL_SECONDS = 5
"""Short, because vaults come and go."""
MOST_ADDRESSES = 50
"""Of one name: a datagram holds no more, and a client takes the first that answers."""
_HEADER_BYTES = 12
_INTERNET = 1
_PAYLOAD_BYTES = 1_232
_MAX_QUERY = 1_024
_MAX_RECORDS = 4
"""A query carries one question and at most a few additional records (EDNS, a signature)."""
_DAMAGED = (DNSError, DNSBufferError, DNSLabelError, struct.error, ValueError, IndexError, RecursionError)


Services = FindService


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where names lead, as the asking pod reaches it; IPv4."""

    gateway: str
    cluster: str
    """The Kubernetes API."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The message to send back, empty for none, and what is worth recording about it."""

    message: bytes
    unknown: str = ""
    """The name that was asked for and does not exist; empty for names that search lists make up."""
    why: str = ""


def answer(query: bytes, names: Names, addresses: Addresses, *, services: Services | None = None) -> bytes:
    """The answer to one DNS message; empty when it deserves none. Never raises."""
    return reply(query, names, addresses, services=services).message


def reply(query: bytes, names: Names, addresses: Addresses, *, services: Services | None = None) -> Reply:
    """As `answer`, with what is worth recording.

    A for a known name: its address. Another type of a known name: NOERROR without records. An unknown name:
    NXDOMAIN. A message that can't be read: FORMERR, or nothing when it is no query. *services* finds what the names
    of the cluster's own zone mean.
    """
    if len(query) < _HEADER_BYTES or query[2] & 0x80:
        # Not even a header, or an answer: replying to those lets two servers talk for ever.
        return Reply(b"")
    _, flags, questions, *records = struct.unpack_from("!6H", query)
    if flags >> 11 & 0xF != OPCODE.QUERY:
        return Reply(_without_question(query, RCODE.NOTIMP))
    if len(query) > _MAX_QUERY or questions != 1 or sum(records) > _MAX_RECORDS:
        return Reply(_without_question(query, RCODE.FORMERR))
    try:
        return _decide(DNSRecord.parse(query), names, addresses, services)
    except _DAMAGED:
        return Reply(_without_question(query, RCODE.FORMERR))


def _decide(asked: DNSRecord, names: Names, addresses: Addresses, services: Services | None) -> Reply:
    said = asked.reply(ra=1, aa=1)
    if any(record.rtype == QTYPE.OPT for record in asked.ar):
        said.add_ar(EDNS0(udp_len=_PAYLOAD_BYTES))
    question = asked.questions[0]
    if question.qclass != _INTERNET:
        said.header.rcode = RCODE.REFUSED
        return Reply(said.pack())
    name = str(question.qname).removesuffix(".").lower()
    found = _in_zone(name, addresses, services) if _in_cluster(name) else _outside(name, names, addresses)
    if isinstance(found, Nowhere):
        said.header.rcode = RCODE.NXDOMAIN
        return Reply(said.pack(), "" if _made_up(name) else printable(name), found.why)
    target = question.qname
    if found.alias:
        said.add_answer(RR(target, QTYPE.CNAME, rdata=CNAME(found.alias), ttl=TTL_SECONDS))
        # What the other name means is said along, where the lab knows it.
        further = _outside(found.alias, names, addresses)
        target, found = DNSLabel(found.alias), Found() if isinstance(further, Nowhere) else further
    if question.qtype in (QTYPE.A, QTYPE.ANY):
        for address in found.addresses[:MOST_ADDRESSES]:
            said.add_answer(RR(target, QTYPE.A, rdata=A(address), ttl=TTL_SECONDS))
    if question.qtype in (QTYPE.SRV, QTYPE.ANY):
        for location in found.locations[:MOST_ADDRESSES]:
            record = SRV(priority=0, weight=100, port=location.port, target=location.host)
            said.add_answer(RR(target, QTYPE.SRV, rdata=record, ttl=TTL_SECONDS))
        for host, address in found.hosts[:MOST_ADDRESSES] if found.locations else ():
            said.add_ar(RR(host, QTYPE.A, rdata=A(address), ttl=TTL_SECONDS))
    return Reply(said.pack())


def _in_zone(name: str, addresses: Addresses, services: Services | None) -> Found | Nowhere:
    # Short forms are not answered here: pods complete them from the search list of their resolv.conf.
    if name == f"kubernetes.default.svc.{CLUSTER_ZONE}":
        return Found((addresses.cluster,))
    found = look_up(name, services) if services is not None else None
    return Nowhere(name, "the cluster has no such service") if found is None else found


def _outside(name: str, names: Names, addresses: Addresses) -> Found | Nowhere:
    found = names.resolve(name)
    if isinstance(found, Nowhere):
        return found
    if found.service == "cluster":
        return Nowhere(name, "the cluster's names end in cluster.local")
    address = names.pod_address(found)
    if address == "":
        return Nowhere(name, f"{found.service} gives '{found.label}' no address in pods")
    return Found((address or addresses.gateway,))


def _in_cluster(name: str) -> bool:
    return name == CLUSTER_ZONE or name.endswith(f".{CLUSTER_ZONE}")


def _made_up(name: str) -> bool:
    """Whether *name* was likely made from a search list or an address rather than asked for by a program."""
    return _in_cluster(name) or name.endswith(".arpa") or normalise(name) is None


def _without_question(query: bytes, rcode: int) -> bytes:
    # Written by hand: the message could not be read, so only its id and flags are known.
    identifier, flags = struct.unpack_from("!HH", query)
    opcode_and_rd = flags & 0x7900
    return struct.pack("!HHHHHH", identifier, 0x8000 | opcode_and_rd | rcode, 0, 0, 0, 0)
