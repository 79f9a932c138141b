"""The webhook as a process of its own."""

from pathlib import Path

from podpass.kube.client import Client
from podpass.serving.component import run_component
from podpass.telemetry.logging import Logger
from podpass.webhook.loop import run
from podpass.webhook.settings import Settings


async def run_process(settings: Settings, *, kubeconfig: Path | None = None) -> None:
    """Serve the cluster of *kubeconfig*, else of KUBECONFIG, else of this pod, until SIGTERM or SIGINT.

    Raises PodpassError where the user can mend what is wrong.
    """

    async def work(client: Client, log: Logger) -> None:
        await run(settings, client, log=log)

    ports = {
        settings.webhook_address.port: "--webhook-addr",
        settings.health_address.port: "--health-addr",
        settings.metrics_address.port: "--metrics-addr",
    }
    await run_component("webhook", work, log_level=settings.log_level, port_options=ports, kubeconfig=kubeconfig)
