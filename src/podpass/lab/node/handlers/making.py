"""One check made: of the network from the node, of a command inside the container."""

import asyncio

from podpass.lab.node.driver import FabricFailed, NotStarted
from podpass.lab.node.execution import run_to_end
from podpass.lab.node.handlers import network
from podpass.lab.node.handlers.checks import Check, Exec, GrpcHealth, HttpGet, Impossible, Sleep, TcpConnect
from podpass.lab.node.handlers.probing import Answer
from podpass.lab.node.runtime import ContainerProcess, Runtime


async def make(check: Check, runtime: Runtime, process: ContainerProcess, timeout_seconds: float) -> Answer:
    """The answer to *check* of the container that runs as *process*."""
    match check:
        case HttpGet():
            return await network.get(check, runtime, timeout_seconds)
        case TcpConnect():
            return await network.connects(check, runtime, timeout_seconds)
        case GrpcHealth():
            return await network.serves(check, runtime, timeout_seconds)
        case Sleep():
            await asyncio.sleep(check.seconds)
            return Answer(True)
        case Exec():
            return await _run(check, runtime, process, timeout_seconds)
        case Impossible():
            return Answer(None, check.message)


async def _run(check: Exec, runtime: Runtime, process: ContainerProcess, timeout_seconds: float) -> Answer:
    try:
        finished = await run_to_end(runtime, process, check.command, seconds=timeout_seconds)
    except TimeoutError:  # Which is an OSError too.
        return Answer(False, f'command timed out: "{" ".join(check.command)}" timed out after {timeout_seconds:g}s')
    except (NotStarted, FabricFailed, OSError) as error:
        return Answer(None, str(error))
    return Answer(finished.code == 0, finished.output.decode("utf-8", "replace"))
