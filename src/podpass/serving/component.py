"""A component as a process of its own: finds its cluster, logs, ends in order when it is told to."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from podpass.kube.client import Client
from podpass.kube.config import ConfigError, load
from podpass.kube.credentials import CredentialsFailed
from podpass.problems import PodpassError
from podpass.serving.server import PortInUse
from podpass.telemetry.logging import Logger, StandardHandler, make_logger


async def run_component(
    name: str,
    work: Callable[[Client, Logger], Awaitable[None]],
    *,
    log_level: str,
    port_options: Mapping[int, str],
    kubeconfig: Path | None = None,
) -> None:
    """Do *work* in the cluster of *kubeconfig*, else of KUBECONFIG, else of this pod, until SIGTERM or SIGINT.

    *port_options* names the option by which each port was chosen. Raises PodpassError where the user can mend what
    is wrong.
    """
    log = make_logger(name, level=log_level)
    handler = StandardHandler(log)
    logging.getLogger().addHandler(handler)
    try:
        async with (
            _stopped_by_signals(),
            Client(load(os.environ, path=kubeconfig), user_agent=f"podpass-{name}") as client,
        ):
            await work(client, log)
    except CredentialsFailed as error:
        raise ConfigError(str(error)) from error
    except PortInUse as error:
        option = port_options.get(error.port, "another address")
        raise PodpassError("PP101", str(error), host=error.host, port=error.port, option=option) from error
    finally:
        logging.getLogger().removeHandler(handler)


@contextlib.asynccontextmanager
async def _stopped_by_signals() -> AsyncIterator[None]:
    """Ends the body, without an error, at the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    body = asyncio.current_task()
    assert body is not None
    told = False

    def stop() -> None:
        nonlocal told
        if not told:
            told = True
            body.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        body.uncancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
