"""The webhook in the lab's process, as a cluster runs it: its own TLS address, called over the network."""

import asyncio
import base64
from dataclasses import dataclass

from podpass.kube.client import Client
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.listeners import LOOPBACK, ClusterListeners, port_of
from podpass.lab.supervision import Supervision
from podpass.telemetry.logging import Logger
from podpass.webhook import Settings, run
from podpass.webhook.metrics import PATH


@dataclass(frozen=True, slots=True)
class RunningWebhook:
    """Where an API server calls it. *ready* is set once it has read every service account."""

    url: str
    ca_bundle: str
    """PEM in base64."""
    ready: asyncio.Event


def start_webhook(
    supervision: Supervision,
    listeners: ClusterListeners,
    ca: CertificateAuthority,
    client: Client,
    *,
    tenant_id: str,
    log: Logger,
) -> RunningWebhook:
    """Run it until *supervision* ends. *client* reads the service accounts."""
    settings = Settings.read({"AZURE_TENANT_ID": tenant_id})
    tls = ca.context_for(LOOPBACK)
    ready = asyncio.Event()

    async def webhook() -> None:
        await run(
            settings,
            client,
            listener=listeners.webhook.dup(),
            health_listener=listeners.webhook_health.dup(),
            metrics_listener=listeners.webhook_metrics.dup(),
            tls=tls,
            ready=ready,
            log=log.bind(component="webhook"),
        )

    supervision.start("webhook", webhook)
    url = f"https://{LOOPBACK}:{port_of(listeners.webhook)}{PATH}"
    return RunningWebhook(url, base64.b64encode(ca.pem).decode(), ready)
