"""NMI's process: everything it starts, owned in one place and stopped within ten seconds."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from podpass.kube.client import Client
from podpass.nmi import taint
from podpass.nmi.app import Nmi
from podpass.nmi.client import Upstream
from podpass.nmi.issuing import Issuing
from podpass.nmi.metrics import NmiMetrics
from podpass.nmi.network import Rules, RulesFailed
from podpass.nmi.objects import Objects
from podpass.nmi.redirection import Redirection
from podpass.nmi.settings import Settings
from podpass.serving.component import kept, serving_status, telling_failures, user_agent
from podpass.serving.connection import Limits, Refused
from podpass.serving.server import bind_tcp, serving
from podpass.telemetry.health import Health, active, all_read, flag
from podpass.telemetry.logging import Logger, make_logger
from podpass.telemetry.metrics import make_registry

GRACE_SECONDS = 5.0
LIMITS = Limits(peer_connections=200, unread_seconds=60.0)
"""One pod can take up its share of connections, and neither these nor an answer for ever."""
RULES_AGAIN_SECONDS = 5.0
"""After a failure, if rules are looked at less often than that."""


async def run(
    settings: Settings,
    client: Client,
    *,
    listener: socket.socket | None = None,
    health_listener: socket.socket | None = None,
    metrics_listener: socket.socket | None = None,
    rules: Rules | None = None,
    ready: asyncio.Event | None = None,
    log: Logger | None = None,
    registry: CollectorRegistry | None = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Answer pods until cancelled. *client* is open, and stays the caller's.

    Listeners are bound from the settings where none is given, and closed in any case. *ready* is set once requests are
    answered from complete copies and the rules lead them here. The rules are taken away at the end; RulesFailed is
    raised when they can't be. Raises PortInUse.
    """
    log = log if log is not None else make_logger("nmi", level=settings.log_level)
    registry = registry if registry is not None else make_registry()
    metrics = NmiMetrics(registry)
    health = Health()

    async with contextlib.AsyncExitStack() as stack:
        requests = listener or bind_tcp(settings.listen.host, settings.listen.port)
        stack.callback(requests.close)
        objects = Objects(client, settings, on_failure=telling_failures(metrics.failed_turns, log))
        if rules is None and settings.install_rules:
            rules = Rules(Redirection(settings.metadata, settings.listen), log)
        health.ready["objects"] = all_read(objects.missing)
        if rules is not None:
            health.state = active(rules.installed)
            health.ready["rules"] = flag(rules.installed, "the rules of redirection are not installed")
        status = serving_status(
            health, registry, health_listener or settings.health, metrics_listener or settings.metrics
        )
        await stack.enter_async_context(status)
        upstream = await stack.enter_async_context(
            Upstream(settings.metadata, user_agent=user_agent("nmi", settings.user_agent))
        )
        issuing = Issuing(upstream, client, metrics, now=now)
        nmi = Nmi(settings, objects, upstream, issuing, metrics, log, now=now)
        async with asyncio.TaskGroup() as group:
            group.create_task(kept("objects", objects.run, metrics.failed_turns, log))
            # A pod that is led here before the copies are complete is refused for no fault of its own.
            await objects.synced()
            refused = _telling_refusals(log)
            async with serving(nmi.app, [requests], grace_seconds=GRACE_SECONDS, limits=LIMITS, refused=refused):
                if rules is not None:
                    group.create_task(_kept(rules, settings, metrics, log))
                    await rules.installed.wait()
                log.info("nmi.started", port=requests.getsockname()[1], mode=settings.mode.value, node=settings.node)
                if settings.startup_taint:
                    group.create_task(taint.remove(client, settings.node, settings.startup_taint, log))
                if ready is not None:
                    ready.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    log.info("nmi.stopped")


def _telling_refusals(log: Logger) -> Callable[[Refused], None]:
    def refused(refusal: Refused) -> None:
        log.warning("connection.refused", remote=refusal.peer, status=refusal.status, why=refusal.why)

    return refused


async def _kept(rules: Rules, settings: Settings, metrics: NmiMetrics, log: Logger) -> None:
    """Keep the rules whole until cancelled; then take them away."""
    cut = settings.delete_conntrack
    try:
        while True:
            wait = settings.rules_interval_seconds
            try:
                await rules.repair()
                if cut:
                    await rules.cut_older_connections()
                    cut = False
            except RulesFailed as error:
                metrics.failed_turns.labels("rules").inc()
                log.error("rules.failed", reason=str(error))
                wait = min(wait, RULES_AGAIN_SECONDS)
            await asyncio.sleep(wait)
    finally:
        await asyncio.shield(rules.remove())
