"""NMI as a process of its own."""

from pathlib import Path

from podpass.kube.client import Client
from podpass.nmi.loop import run
from podpass.nmi.settings import Settings
from podpass.serving.component import run_component
from podpass.telemetry.logging import Logger


async def run_process(settings: Settings, *, kubeconfig: Path | None = None) -> None:
    """Answer the pods of this node until SIGTERM or SIGINT. Raises PodpassError where the user can mend what is wrong.

    The cluster is that of *kubeconfig*, else of KUBECONFIG, else of this pod.
    """

    async def work(client: Client, log: Logger) -> None:
        await run(settings, client, log=log)

    ports = {
        settings.listen.port: "--nmi-port",
        settings.health.port: "--http-probe-port",
        settings.metrics.port: "--prometheus-port",
    }
    await run_component(
        "nmi", work, log_level=settings.log_level, port_options=ports, kubeconfig=kubeconfig, told=settings.user_agent
    )
