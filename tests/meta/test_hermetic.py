"""The whole demonstration in a network whose only way out is watched: nothing may go there.

The watched namespace has loopback and one veth pair that holds the default route, so an attempt to reach any
other address, a DNS server's included, would be seen as a packet on it.
"""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

WATCHER = textwrap.dedent(
    """
    import json, os, select, socket, subprocess, sys
    for command in (
        "link set lo up",
        "link add out type veth peer name far",
        "link set far up",
        "link set out up",
        "addr add 192.0.2.1/24 dev out",
        "route add default via 192.0.2.2 dev out",
        # A neighbour entry, or only an ARP question would be seen.
        "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    seen.bind(("out", 0))
    done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
    packets = []
    while select.select([seen], [], [], 0.2)[0]:
        packet = seen.recv(65536)
        kind = int.from_bytes(packet[12:14])
        # IPv6's own neighbour discovery speaks on every interface; it reaches nobody.
        if kind == 0x0800:
            packets.append(socket.inet_ntoa(packet[30:34]))
    print(json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr, "packets": packets}))
    """
)


def watched(*command: str, home: Path) -> dict[str, object]:
    namespace = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
    done = subprocess.run(
        [*namespace, sys.executable, "-c", WATCHER, *command],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "PODPASS_HOME": str(home)},
    )
    if done.returncode != 0:
        pytest.skip(f"no watched namespace on this machine: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture(autouse=True)
def _needs_tools() -> None:
    for tool in ("unshare", "ip"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def test_the_watcher_sees_a_packet_that_goes_out(tmp_path: Path) -> None:
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.7', 9))"
    assert watched(sys.executable, "-c", program, home=tmp_path)["packets"] == ["198.51.100.7"]


@pytest.mark.parametrize("runtime", ["auto", "plain"])
@pytest.mark.parametrize("fault", [None, "no-label"])
def test_the_demonstration_sends_nothing_outside(tmp_path: Path, runtime: str, fault: str | None) -> None:
    faults = ["--break", fault] if fault else []
    found = watched(sys.executable, "-m", "podpass", "demo", "--runtime", runtime, *faults, home=tmp_path)
    assert found["code"] == 0, f"{found['out']}\n{found['err']}"
    assert found["packets"] == []
