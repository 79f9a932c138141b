"""What a cache is to its server and to its clients: the configuration, the commands, the addresses."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from podpass.lab.arm import WantedCache
from podpass.lab.arm.caches import PORT, TLS_PORT
from podpass.lab.node.addresses import CLOUDS_RANGE

MOST_IN_PODS = 32
"""So many caches have an address in the pods' networks at a time."""
_NETWORK = CLOUDS_RANGE.removesuffix(".0/24")
NOT_OFFERED = (
    "ACL",
    "BGREWRITEAOF",
    "BGSAVE",
    "CONFIG",
    "DEBUG",
    "FAILOVER",
    "MIGRATE",
    "MODULE",
    "PSYNC",
    "REPLCONF",
    "REPLICAOF",
    "SAVE",
    "SHUTDOWN",
    "SLAVEOF",
    "SYNC",
)
"""Commands that the service keeps to itself; a client is told that they are unknown."""


def configuration(cache: WantedCache, *, directory: Path, socket: Path) -> str:
    """What its server is started with. It holds no password, but what tells whether one is right."""
    digests = " ".join(f"#{hashlib.sha256(key.encode()).hexdigest()}" for key in cache.keys)
    lines = (
        "port 0",
        f'unixsocket "{socket}"',
        "unixsocketperm 600",
        f'dir "{directory}"',
        f'pidfile "{directory / PID_FILE}"',
        f'logfile "{directory / "redis.log"}"',
        "loglevel warning",
        "daemonize no",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        f"maxmemory {cache.memory_bytes}",
        f"maxmemory-policy {cache.eviction}",
        f"maxclients {cache.connections}",
        *(f'rename-command {name} ""' for name in NOT_OFFERED),
        f"user default on {digests} ~* &* +@all",
    )
    return "\n".join(lines) + "\n"


PID_FILE = "redis.pid"


def place(guid: str, taken: Mapping[str, int], *, most: int = MOST_IN_PODS) -> int | None:
    """Which of the addresses in pods a cache gets: the one it had, or a free one; None when none is left."""
    if guid in taken:
        return taken[guid]
    given = set(taken.values())
    free = (number for number in range(most) if number not in given)
    return next(free, None)


def pod_address(number: int) -> str:
    """The address in the pods' networks of the place *number*."""
    return f"{_NETWORK}.{number + 1}"


def pod_socket(number: int, port: int) -> str:
    """The name of the unix socket that leads from a port of that address to the lab."""
    return f"c{number}-{port}.sock"


def pod_relays(sockets: Path) -> tuple[tuple[str, int, Path], ...]:
    """Every address, port and unix socket that a network of pods offers, whether or not there is a cache behind it."""
    return tuple(
        (pod_address(number), port, sockets / pod_socket(number, port))
        for number in range(MOST_IN_PODS)
        for port in (PORT, TLS_PORT)
    )
