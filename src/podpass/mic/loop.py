"""MIC's process: everything it starts, owned in one place and stopped within ten seconds."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry

from podpass.kube.client import Client
from podpass.kube.events import EventRecorder
from podpass.kube.lease import Candidate, Election
from podpass.mic.assigned import AssignedIdentities
from podpass.mic.client import RETRY_SECONDS, Compute
from podpass.mic.cloud import BadCloud, CloudConfig, from_environment, from_file
from podpass.mic.controller import Controller
from podpass.mic.copies import Copies
from podpass.mic.ledger import Ledger
from podpass.mic.metrics import MicMetrics
from podpass.mic.settings import Settings
from podpass.mic.worker import Worker
from podpass.problems import PodpassError
from podpass.serving.component import kept, serving_status, telling_failures, user_agent
from podpass.telemetry.health import Health, active, all_read, flag
from podpass.telemetry.logging import Logger, make_logger
from podpass.telemetry.metrics import make_registry

COMPONENT = "aadpodidentity.k8s.io"
"""Who the events on the objects are from, as dashboards of the original expect."""


class WatchedCloud:
    """The cloud's configuration, read again when its file changes."""

    def __init__(self, path: Path | None, environ: Mapping[str, str], log: Logger) -> None:
        """Raises PodpassError when it can't be used."""
        self._path, self._log = path, log
        self._stamp: tuple[int, int] | None = None
        if path is None:
            try:
                self._config = from_environment(environ)
            except BadCloud as error:
                raise _refused("the environment", str(error)) from error
            return
        try:
            self._stamp = _stamp(path)
            self._config = from_file(path.read_text())
        except OSError as error:
            raise _refused(str(path), error.strerror or "can't be read") from error
        except BadCloud as error:
            raise _refused(str(path), str(error)) from error

    def __call__(self) -> CloudConfig:
        if self._path is not None:
            # Whoever writes the file may be in the middle of it: what was good before counts until it is whole.
            with contextlib.suppress(OSError):
                stamp = _stamp(self._path)
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._read(self._path)
        return self._config

    def _read(self, path: Path) -> None:
        try:
            self._config = from_file(path.read_text())
        except BadCloud as error:
            self._log.error("cloud.unusable", path=str(path), reason=str(error))
        else:
            self._log.info("cloud.read", path=str(path))


async def run(
    settings: Settings,
    client: Client,
    *,
    cloud: Callable[[], CloudConfig] | None = None,
    health_listener: socket.socket | None = None,
    metrics_listener: socket.socket | None = None,
    cloud_retry_seconds: tuple[float, ...] = RETRY_SECONDS,
    ready: asyncio.Event | None = None,
    log: Logger | None = None,
    registry: CollectorRegistry | None = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Work whenever this replica leads, until cancelled. *client* is open, and stays the caller's.

    *cloud* takes the place of the configuration that settings and environment name.
    *ready* is set once it leads and its copies are complete. Raises PodpassError when the cloud's configuration can't
    be used, LeadershipLost when another replica leads, PortInUse.
    """
    log = log if log is not None else make_logger("mic", level=settings.log_level)
    registry = registry if registry is not None else make_registry()
    metrics = MicMetrics(registry)
    config = cloud or WatchedCloud(settings.cloud_config, os.environ, log)
    health = Health()

    def immutable() -> Collection[str]:
        return settings.immutable | {config().cluster_identity.lower()}

    async with contextlib.AsyncExitStack() as stack:
        candidate = Candidate(
            settings.instance, settings.election_namespace, settings.election_name, settings.election_seconds
        )
        election = Election(
            client, candidate, on_failure=lambda error: log.warning("election.failed", reason=str(error))
        )
        health.state = active(election.leads)
        health.ready["leader"] = flag(election.leads, "another replica leads")
        status = serving_status(
            health, registry, health_listener or settings.health, metrics_listener or settings.metrics
        )
        await stack.enter_async_context(status)
        compute = await stack.enter_async_context(
            Compute(
                config,
                metrics,
                metadata_host=settings.metadata_host,
                retry_seconds=cloud_retry_seconds,
                user_agent=user_agent("mic", settings.user_agent),
                now=now,
            )
        )

        async def lead() -> None:
            metrics.elections.inc()
            log.info("mic.leads", instance=settings.instance)
            await _work(settings, client, compute, metrics, health, log, immutable, ready)

        log.info("mic.started", instance=settings.instance)
        try:
            await election.run(lead)
        finally:
            log.info("mic.stopped")


async def _work(
    settings: Settings,
    client: Client,
    compute: Compute,
    metrics: MicMetrics,
    health: Health,
    log: Logger,
    immutable: Callable[[], Collection[str]],
    ready: asyncio.Event | None,
) -> None:
    """All of a leader's work, until cancelled."""

    events = EventRecorder(client, COMPONENT)
    ledger = Ledger()
    copies = Copies(client, on_failure=telling_failures(metrics.failed_turns, log))
    assigned = AssignedIdentities(client, copies, metrics)
    worker = Worker(
        copies,
        ledger,
        assigned,
        compute,
        events,
        metrics,
        log,
        immutable=immutable,
        at_once=settings.at_once,
        max_retries=settings.max_retries,
        retry_seconds=settings.retry_seconds,
    )
    controller = Controller(settings, copies, ledger, assigned, worker, metrics, log)
    health.ready["objects"] = all_read(copies.missing)
    async with asyncio.TaskGroup() as group:
        group.create_task(kept("copies", copies.run, metrics.failed_turns, log))
        group.create_task(kept("events", events.run, metrics.failed_turns, log))
        group.create_task(controller.run())
        await copies.complete()
        if ready is not None:
            ready.set()


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _refused(where: str, reason: str) -> PodpassError:
    return PodpassError("PP403", where=where, reason=reason)
