"""The webhook as a process of its own: finds the cluster, ends in order when it is told to."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from podpass.kube.client import Client
from podpass.kube.config import ConfigError, load
from podpass.kube.credentials import CredentialsFailed
from podpass.problems import PodpassError
from podpass.serving.server import PortInUse
from podpass.telemetry.logging import StandardHandler, make_logger
from podpass.webhook.loop import run
from podpass.webhook.settings import Settings


async def run_process(settings: Settings, *, kubeconfig: Path | None = None) -> None:
    """Serve the cluster of *kubeconfig*, else of KUBECONFIG, else of this pod, until SIGTERM or SIGINT.

    Raises PodpassError where the user can mend what is wrong.
    """
    log = make_logger("webhook", level=settings.log_level)
    handler = StandardHandler(log)
    logging.getLogger().addHandler(handler)
    try:
        async with (
            _stopped_by_signals(),
            Client(load(os.environ, path=kubeconfig), user_agent="podpass-webhook") as client,
        ):
            await run(settings, client, log=log)
    except CredentialsFailed as error:
        raise ConfigError(str(error)) from error
    except PortInUse as error:
        addresses = {
            settings.webhook_address.port: "--webhook-addr",
            settings.health_address.port: "--health-addr",
            settings.metrics_address.port: "--metrics-addr",
        }
        option = addresses.get(error.port, "another address")
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
