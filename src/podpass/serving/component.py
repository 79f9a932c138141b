"""What every component does alike: as a process, with its listeners, its background work, its health."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import NoReturn

from prometheus_client import CollectorRegistry, Counter

from podpass.kube.client import Client
from podpass.kube.config import ConfigError, load
from podpass.kube.credentials import CredentialsFailed
from podpass.kube.reflector import Failures
from podpass.kube.resources import Resource
from podpass.problems import PodpassError
from podpass.serving.server import PortInUse, bind_tcp, serving
from podpass.settings.values import Address
from podpass.telemetry.health import Health, health_app
from podpass.telemetry.logging import Logger, StandardHandler, make_logger

RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0


async def run_component(
    name: str,
    work: Callable[[Client, Logger], Awaitable[None]],
    *,
    log_level: str,
    port_options: Mapping[int, str],
    kubeconfig: Path | None = None,
    told: str = "",
) -> None:
    """Do *work* in the cluster of *kubeconfig*, else of KUBECONFIG, else of this pod, until SIGTERM or SIGINT.

    *port_options* names the option by which each port was chosen, *told* is what the user wants its User-Agent to say
    too. Raises PodpassError where the user can mend what is wrong.
    """
    log = make_logger(name, level=log_level)
    handler = StandardHandler(log)
    logging.getLogger().addHandler(handler)
    try:
        async with (
            _stopped_by_signals(),
            Client(load(os.environ, path=kubeconfig), user_agent=user_agent(name, told)) as client,
        ):
            await work(client, log)
    except CredentialsFailed as error:
        raise ConfigError(str(error)) from error
    except PortInUse as error:
        option = port_options.get(error.port, "another address")
        raise PodpassError("PP101", str(error), host=error.host, port=error.port, option=option) from error
    finally:
        logging.getLogger().removeHandler(handler)


def user_agent(name: str, told: str = "") -> str:
    """How a component calls itself to the servers that it asks: by its name, then what the user adds."""
    return f"podpass-{name} {told}".rstrip()


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


def bind(address: Address) -> socket.socket:
    """A listener; without a host on every interface, of both families where there are two. Raises PortInUse."""
    if address.host:
        return bind_tcp(address.host, address.port)
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(PortInUse):
            return bind_tcp("::", address.port)
    return bind_tcp("0.0.0.0", address.port)  # noqa: S104 - callers come from outside the pod


@contextlib.asynccontextmanager
async def serving_status(
    health: Health,
    registry: CollectorRegistry,
    health_at: Address | socket.socket,
    metrics_at: Address | socket.socket,
) -> AsyncIterator[None]:
    """Answer /healthz, /readyz and /metrics, at one address or at two. Raises PortInUse."""
    with contextlib.ExitStack() as stack:
        places = [health_at] if health_at == metrics_at else [health_at, metrics_at]
        sockets = []
        for place in places:
            sockets.append(bind(place) if isinstance(place, Address) else place)
            stack.callback(sockets[-1].close)
        async with serving(health_app(health, registry), sockets, grace_seconds=1.0):
            yield


def telling_failures(failed_turns: Counter, log: Logger) -> Failures:
    """Counts and logs each failed turn of a reflector. *failed_turns* is labelled by what failed."""

    def failed(resource: Resource, error: Exception, wait_seconds: float) -> None:
        failed_turns.labels(resource.plural).inc()
        log.warning(
            "reflector.failed", resource=resource.plural, reason=str(error), wait_seconds=round(wait_seconds, 2)
        )

    return failed


async def kept(name: str, work: Callable[[], Awaitable[None]], failed_turns: Counter, log: Logger) -> NoReturn:
    """Run *work*, which has no end, again and again: a fault in it is reported and must not take the component down."""
    wait = RESTART_SECONDS
    while True:
        started = time.monotonic()
        try:
            await work()
        except Exception:
            failed_turns.labels(name).inc()
            log.exception("loop.failed", loop=name, wait_seconds=wait)
        if time.monotonic() - started > LONGEST_RESTART_SECONDS:
            wait = RESTART_SECONDS
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_RESTART_SECONDS)
