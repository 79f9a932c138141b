"""Caches that answer: the stock client on both ports, keys, what stays and what goes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.redis import Caches, model
from podpass.lab.redis.driver import find_server
from tests.lab.arm.azure_world import SUBSCRIPTION, World

CACHE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop/providers/Microsoft.Cache/redis/votes"
HOST = "votes.redis.cache.windows.net"
SECONDS = 30
ONCE = Retry(NoBackoff(), 0)
"""Whoever is refused need not be refused for seconds."""

needs_server = pytest.mark.skipif(find_server() is None, reason="redis-server is not installed")


@dataclass
class Running:
    """Caches of a world while they run."""

    world: World
    caches: Caches
    ca: CertificateAuthority
    sockets: Path

    async def settled(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.caches.settled.wait()

    async def create(self, name: str = "votes", **properties: Any) -> None:
        sku = {"name": "Basic", "family": "C", "capacity": 0}
        body = {"location": "eastus", "properties": {"sku": sku, "enableNonSslPort": True, **properties}}
        made = await self.world.call("PUT", CACHE.replace("votes", name), body)
        assert made.status in (200, 201), made.body
        self.world.clock.advance(5)
        await self.settled()

    async def keys(self, name: str = "votes") -> tuple[str, str]:
        found = (await self.world.call("POST", f"{CACHE.replace('votes', name)}/listKeys")).body
        return found["primaryKey"], found["secondaryKey"]

    def ports(self, name: str = "votes") -> dict[str, int]:
        return next(one for one in self.caches.described() if one["name"] == name)

    async def client(self, password: str | None = None) -> "aioredis.Redis":
        password = (await self.keys())[0] if password is None else password
        return aioredis.Redis(host="127.0.0.1", port=self.ports()["port"], password=password or None, retry=ONCE)


@contextlib.asynccontextmanager
async def running(world: World, directory: Path, **more: Any) -> AsyncIterator[Running]:
    sockets = directory / "s"
    sockets.mkdir(exist_ok=True)
    ca = CertificateAuthority.open(directory / "ca")
    caches = Caches(
        world.store, world.journal, ca, world.arm.caches, directory=directory / "caches", sockets=sockets, **more
    )
    world.arm.on_caches_changed(caches.changed)
    task = asyncio.create_task(caches.run())
    try:
        found = Running(world, caches, ca, sockets)
        await found.settled()
        yield found
    finally:
        world.arm.estate.cache_listeners.clear()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@needs_server
async def test_the_client_counts_votes_with_either_key(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        for key in await lab.keys():
            async with await lab.client(key) as client:
                await client.incr("cats")
                assert (await client.info("server"))["redis_mode"] == "standalone"
        async with await lab.client() as client:
            assert await client.get("cats") == b"2"
        who = [hop.who for hop in world.hops if hop.whom == "redis"]
        assert who == ["program on the host"] * 3


@needs_server
async def test_a_client_that_trusts_the_lab_comes_by_tls(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create(enableNonSslPort=False)
        assert "port" not in lab.ports()
        primary, _ = await lab.keys()
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(lab.ca.pem)

        def vote() -> Any:
            # As the name is in the certificate, the name must be said; on the host the address is another.
            with redis.Redis(
                host="localhost",
                port=lab.ports()["ssl_port"],
                password=primary,
                ssl=True,
                ssl_ca_certs=str(ca_file),
                ssl_check_hostname=False,
            ) as client:
                return client.incr("cats")

        assert await asyncio.to_thread(vote) == 1
        context = lab.ca.client_context()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", lab.ports()["ssl_port"], ssl=context, server_hostname=HOST
        )
        writer.write(b"PING\r\nQUIT\r\n")
        assert (await reader.read()).startswith(b"-NOAUTH Authentication required.")
        writer.close()


@needs_server
@pytest.mark.parametrize(
    ("password", "says"),
    [("", "already authenticated"), ("nonsense", "invalid username-password pair")],
)
async def test_without_a_key_nothing_is_told(world: World, tmp_path: Path, password: str, says: str) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        async with await lab.client(password) as client:
            with pytest.raises(redis.AuthenticationError, match=says):
                await client.get("cats")


@needs_server
async def test_a_new_key_ends_the_old_one(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        old, other = await lab.keys()
        async with await lab.client() as client:
            await client.set("cats", 5)
        await world.call("POST", f"{CACHE}/regenerateKey", {"keyType": "Primary"})
        await lab.settled()
        for key in (other, (await lab.keys())[0]):
            async with await lab.client(key) as client:
                assert await client.get("cats") == b"5"
        async with await lab.client(old) as client:
            with pytest.raises(redis.AuthenticationError):
                await client.get("cats")


@needs_server
async def test_what_the_service_keeps_to_itself_is_unknown(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        async with await lab.client() as client:
            for command in ("CONFIG GET *", "SHUTDOWN", "ACL LIST", "DEBUG SLEEP 0", "REPLICAOF a 1"):
                with pytest.raises(redis.ResponseError, match="unknown command"):
                    await client.execute_command(*command.split())


@needs_server
async def test_a_cache_keeps_what_it_holds_over_restarts(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        before = lab.ports()
        async with await lab.client() as client:
            await client.set("cats", 5)
    async with running(world, tmp_path) as lab:
        assert lab.ports() == before
        async with await lab.client() as client:
            assert await client.get("cats") == b"5"


@needs_server
async def test_a_server_that_was_killed_is_started_again(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path, steady_seconds=0) as lab:
        await lab.create()
        async with await lab.client() as client:
            await client.set("cats", 5)
            pid = (await client.info("server"))["process_id"]
        lab.caches.settled.clear()
        os.kill(pid, signal.SIGTERM)
        await lab.settled()
        async with await lab.client() as client:
            assert await client.get("cats") == b"5"
            assert (await client.info("server"))["process_id"] != pid


@needs_server
async def test_the_server_of_a_lab_that_was_killed_is_ended_first(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        (guid,) = lab.caches._running
        (one,) = lab.caches._running.values()
        async with await lab.client() as client:
            await client.set("cats", 5)
        # Another lab takes over while this one's server still runs.
        one.watch.cancel()
        second = Caches(
            world.store, world.journal, lab.ca, world.arm.caches, directory=tmp_path / "caches", sockets=lab.sockets
        )
        task = asyncio.create_task(second.run())
        async with asyncio.timeout(SECONDS):
            await second.settled.wait()
        assert one.server.has_ended
        (taken,) = second.described()
        async with aioredis.Redis(port=taken["port"], password=(await lab.keys())[0]) as client:
            assert await client.get("cats") == b"5"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert guid in {path.name for path in (tmp_path / "caches").iterdir()}


@needs_server
async def test_a_flush_and_a_deletion_forget_everything(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        async with await lab.client() as client:
            await client.set("cats", 5)
        await world.call("POST", f"{CACHE}/flush")
        await lab.settled()
        async with await lab.client() as client:
            assert await client.get("cats") is None
            await client.set("cats", 6)
        await world.call("DELETE", CACHE)
        await lab.settled()
        assert lab.caches.described() == []
        assert list((tmp_path / "caches").iterdir()) == []
        assert lab.caches.pod_address("votes") == ""


@needs_server
async def test_doors_open_and_close_without_losing_anything(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        async with await lab.client() as client:
            await client.set("cats", 5)
            pid = (await client.info("server"))["process_id"]
        for change in ({"enableNonSslPort": False}, {"publicNetworkAccess": "Disabled"}):
            await world.call("PATCH", CACHE, {"properties": change})
            world.clock.advance(5)
            await lab.settled()
            assert "port" not in lab.ports()
        assert "ssl_port" not in lab.ports()
        back = {"enableNonSslPort": True, "publicNetworkAccess": "Enabled"}
        await world.call("PATCH", CACHE, {"properties": back})
        await lab.settled()
        async with await lab.client() as client:
            assert await client.get("cats") == b"5"
            assert (await client.info("server"))["process_id"] == pid


@needs_server
async def test_each_cache_has_an_address_of_its_own_in_pods(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        await lab.create("others")
        addresses = {name: lab.caches.pod_address(name) for name in ("votes", "others")}
        assert len(set(addresses.values())) == 2
        for name, address in addresses.items():
            (path,) = [path for at, port, path in model.pod_relays(lab.sockets) if (at, port) == (address, 6379)]
            primary, _ = await lab.keys(name)
            async with aioredis.Redis(unix_socket_path=str(path), password=primary) as client:
                await client.set("whose", name)
                assert await client.get("whose") == name.encode()


async def test_a_machine_without_a_server_says_so(world: World, tmp_path: Path) -> None:
    caches = Caches(
        world.store,
        world.journal,
        CertificateAuthority.open(tmp_path / "ca"),
        world.arm.caches,
        directory=tmp_path,
        sockets=tmp_path,
    )
    caches._program = None
    assert "redis-server is not installed" in caches.missing


def test_places_are_kept_and_given_again() -> None:
    taken: dict[str, int] = {}
    for number in range(model.MOST_IN_PODS):
        found = model.place(str(number), taken)
        assert found == number
        taken[str(number)] = number
    assert model.place("one more", taken) is None
    del taken["7"]
    assert model.place("one more", taken) == 7
    assert model.place("3", taken) == 3
    assert model.pod_address(0) == "172.18.1.1"


@needs_server
async def test_no_key_stands_in_files_or_arguments(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path) as lab:
        await lab.create()
        keys = await lab.keys()
        async with await lab.client() as client:
            pid = (await client.info("server"))["process_id"]
        texts = everything_said(pid, tmp_path / "caches")
        assert not [key for key in keys if any(key.encode() in text for text in texts)]


def everything_said(pid: int, directory: Path) -> list[bytes]:
    """The arguments of a process, where this machine tells them, and all files in a directory."""
    told = [Path(f"/proc/{pid}/cmdline"), *directory.rglob("*")]
    return [path.read_bytes() for path in told if path.is_file()]


@needs_server
async def test_a_server_that_ends_at_once_is_not_started_without_a_pause(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path, steady_seconds=600) as lab:
        await lab.create()
        (one,) = lab.caches._running.values()
        lab.caches.settled.clear()
        os.kill(one.server.pid, signal.SIGKILL)
        await lab.settled()
        assert lab.caches.notes() == ["the cache votes does not run: its server ended"]
        lab.caches.settled.clear()
        await lab.settled()
        assert lab.caches.notes() == []
        assert lab.ports()


@needs_server
async def test_a_cache_too_many_is_told_and_gets_the_next_free_place(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path, places=1) as lab:
        await lab.create()
        await lab.create("others")
        assert lab.caches.notes() == ["pods don't reach the cache others: there are too many caches"]
        assert lab.caches.pod_address("others") == ""
        await world.call("DELETE", CACHE)
        await lab.settled()
        assert lab.caches.notes() == []
        assert lab.caches.pod_address("others") == "172.18.1.1"
