"""The webhook's process: everything it starts, owned in one place and stopped within ten seconds."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry

from podpass.kube.client import Client
from podpass.kube.reflector import Failures
from podpass.serving.component import bind, kept, serving_status, telling_failures
from podpass.serving.server import serving
from podpass.telemetry.health import Health, flag
from podpass.telemetry.logging import Logger, make_logger
from podpass.telemetry.metrics import make_registry
from podpass.webhook.accounts import ServiceAccounts
from podpass.webhook.app import Webhook
from podpass.webhook.keeper import CertificateFiles, CertificateKeeper
from podpass.webhook.manifests import SERVICE
from podpass.webhook.metrics import WebhookMetrics
from podpass.webhook.settings import CertificateSource, Settings
from podpass.webhook.tls import ServingContext, serving_name

GRACE_SECONDS = 5.0
HANDSHAKE_SECONDS = 3.0


async def run(
    settings: Settings,
    client: Client,
    *,
    listener: socket.socket | None = None,
    health_listener: socket.socket | None = None,
    metrics_listener: socket.socket | None = None,
    tls: ssl.SSLContext | None = None,
    ready: asyncio.Event | None = None,
    log: Logger | None = None,
    registry: CollectorRegistry | None = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Serve admission reviews until cancelled. *client* is open, and stays the caller's.

    Listeners are bound from the settings where none is given, and closed in any case. With *tls* the certificate is
    the caller's and nothing is written to the cluster. *ready* is set once reviews are answered from a complete copy
    of the service accounts. Raises PortInUse.
    """
    log = log if log is not None else make_logger("webhook", level=settings.log_level)
    registry = registry if registry is not None else make_registry()
    metrics = WebhookMetrics(registry)
    health = Health()

    failed = telling_failures(metrics.failed_turns, log)
    async with contextlib.AsyncExitStack() as stack:
        reviews = listener or bind(settings.webhook_address)
        stack.callback(reviews.close)
        accounts = ServiceAccounts(client, on_failure=failed)
        loaded = asyncio.Event()
        keeper: CertificateKeeper | None = None
        if tls is None:
            context = ServingContext(settings.tls_min_version)
            keeper = _keeper(settings, client, context, loaded, metrics, log, now, failed)
            tls = context.context
        else:
            loaded.set()

        health.live["certificates"] = flag(loaded, "no certificate was loaded yet")
        health.live["tls"] = _handshake(reviews, serving_name(SERVICE, settings.namespace), loaded)
        health.ready["serviceaccounts"] = flag(accounts.synced, "the service accounts are not all read yet")
        if keeper is not None:
            health.ready["registration"] = _reason(keeper)
        status = serving_status(
            health, registry, health_listener or settings.health_address, metrics_listener or settings.metrics_address
        )
        await stack.enter_async_context(status)

        async with asyncio.TaskGroup() as group:
            group.create_task(kept("serviceaccounts", accounts.run, metrics.failed_turns, log))
            if keeper is not None:
                group.create_task(kept("certificates", keeper.run, metrics.failed_turns, log))
            await loaded.wait()
            webhook = Webhook(settings, accounts, metrics, log)
            async with serving(webhook.app, [reviews], tls=tls, grace_seconds=GRACE_SECONDS):
                log.info("webhook.started", port=_port(reviews), layout=settings.layout.value)
                await accounts.synced.wait()
                if ready is not None:
                    ready.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    log.info("webhook.stopped")


def _keeper(
    settings: Settings,
    client: Client,
    context: ServingContext,
    loaded: asyncio.Event,
    metrics: WebhookMetrics,
    log: Logger,
    now: Callable[[], float],
    failed: Failures,
) -> CertificateKeeper:
    directory = settings.certificate_directory
    if settings.certificates is CertificateSource.FILES:
        poll_seconds = settings.certificate_poll_seconds
        return CertificateFiles(directory, context, loaded, metrics, log, poll_seconds=poll_seconds)
    # Making certificates needs a library of 7 MiB, which a webhook with given files does without.
    from podpass.webhook.rotation import ClusterCertificate, OwnCertificate

    if settings.certificates is CertificateSource.SELF_SIGNED:
        return OwnCertificate(directory, settings.namespace, context, loaded, metrics, log, now=now)
    return ClusterCertificate(client, settings.namespace, context, loaded, metrics, log, now=now, on_failure=failed)


def _handshake(listener: socket.socket, name: str, loaded: asyncio.Event) -> Callable[[], Awaitable[str | None]]:
    """The check that a TLS connection to our own port works. Who we are is not in question, so nothing is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def check() -> str | None:
        if not loaded.is_set():
            return "not serving yet"
        try:
            host = "::1" if listener.getsockname()[0] == "::1" else "127.0.0.1"
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                _, writer = await asyncio.open_connection(host, _port(listener), ssl=context, server_hostname=name)
            writer.transport.abort()
        except (OSError, TimeoutError) as error:
            return f"no TLS connection to port {_port(listener)}: {type(error).__name__}"
        return None

    return check


def _reason(keeper: CertificateKeeper) -> Callable[[], Awaitable[str | None]]:
    async def check() -> str | None:
        return keeper.reason or None

    return check


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])
