"""The helper process from its start to its end: requests in, answers and notices out."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from .channel import Channel, Refused
from .networks import Networks, connect
from .processes import Processes
from .services import Services


class Fabric:
    """What this process keeps; without *networks* nothing has a network of its own."""

    def __init__(self, channel: Channel, *, sandboxed: bool) -> None:
        self.networks = Networks() if sandboxed else None
        self.services = Services(self.networks) if self.networks else None
        self.processes = Processes(channel, self.networks)


async def handle(request: dict[str, Any], descriptors: list[int], fabric: Fabric) -> tuple[dict[str, Any], list[int]]:
    """Do one request. Raises Refused, OSError."""
    networks, services, processes = fabric.networks, fabric.services, fabric.processes
    match request["op"]:
        case "hub" if networks:
            await networks.make_hub(request)
        case "node" if networks and services:
            networks.make_node(request)
            await services.node_changed()
        case "metadata" if networks:
            await networks.serve_metadata(request)
        case "remove-node" if networks and services:
            networks.remove_node(request["number"])
            await services.node_changed()
        case "pod" if networks:
            networks.make_pod(request)
        case "remove-pod" if networks and services:
            networks.remove_pod(request["pod"])
            await services.put(f"pod/{request['pod']}", [])
        case "service" if services:
            return {"troubles": await services.put(request["key"], request["ports"])}, []
        case "start":
            return await processes.start(request, descriptors), []
        case "exec":
            return await processes.execute(request, descriptors)
        case "signal":
            return {"delivered": processes.signal(request["container"], request["signal"])}, []
        case "dial" if networks:
            return {}, [await networks.dial(request["pod"], request["port"])]
        case "connect":
            return {}, [await connect(request["address"], request["port"])]
        case other:
            raise Refused(f"unknown operation {other!r}")
    return {}, []


async def serve(connection: socket.socket, *, sandboxed: bool) -> None:
    """Answer requests until the lab's side closes."""
    loop = asyncio.get_running_loop()
    channel = Channel(connection)
    fabric = Fabric(channel, sandboxed=sandboxed)
    processes = fabric.processes
    gone = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(request: dict[str, Any], descriptors: list[int]) -> None:
        answer_descriptors: list[int] = []
        try:
            result, answer_descriptors = await handle(request, descriptors, fabric)
            reply = {"id": request["id"], "ok": result, "fds": len(answer_descriptors)}
        except (Refused, OSError, KeyError, ValueError) as error:
            reply = {"id": request["id"], "error": str(error) or type(error).__name__}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        channel.send(reply, answer_descriptors)
        for descriptor in answer_descriptors:
            os.close(descriptor)

    def readable() -> None:
        messages = channel.receive()
        if messages is None:
            loop.remove_reader(connection)
            gone.set()
            return
        for request, descriptors in messages:
            task = loop.create_task(answer(request, descriptors))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        channel.send({"trouble": f"{context.get('message')}: {context.get('exception')!r}"})

    loop.set_exception_handler(tell)
    # From here on the lab hears of trouble through the channel; nobody reads this process's stderr any more.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    loop.add_signal_handler(signal.SIGCHLD, processes.reap)
    loop.add_signal_handler(signal.SIGTERM, gone.set)
    # A lab that was started with `&` or nohup ignores these, and its containers' programs would inherit that: what
    # has a handler here is as usual for them.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    loop.add_reader(connection, readable)
    channel.send({"ready": True})
    await gone.wait()
    processes.kill_everything()


def main(arguments: list[str]) -> None:
    descriptor, mode = arguments
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    run: Callable[[Awaitable[None]], None] = asyncio.run  # type: ignore[assignment]
    run(serve(connection, sandboxed=mode == "sandbox"))
    # Relays may still be open, and nothing is left to tidy: the kernel ends the namespaces with this process.
    os._exit(0)
