"""MIC as a process of its own."""

from pathlib import Path

from podpass.kube.client import Client
from podpass.mic.loop import run
from podpass.mic.settings import Settings
from podpass.serving.component import run_component
from podpass.telemetry.logging import Logger


async def run_process(settings: Settings, *, kubeconfig: Path | None = None) -> None:
    """Work until SIGTERM or SIGINT. Raises PodpassError where the user can mend what is wrong, LeadershipLost.

    The cluster is that of *kubeconfig*, else of KUBECONFIG, else of this pod.
    """

    async def work(client: Client, log: Logger) -> None:
        await run(settings, client, log=log)

    ports = {settings.health.port: "--http-probe-port", settings.metrics.port: "--prometheus-port"}
    await run_component(
        "mic", work, log_level=settings.log_level, port_options=ports, kubeconfig=kubeconfig, told=settings.user_agent
    )
