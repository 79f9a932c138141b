"""Which runtime a lab's pods get: the sandbox where the machine allows it, plain processes elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from podpass.lab.environment import LabPaths
from podpass.lab.listeners import socket_path
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.plain import PlainRuntime
from podpass.lab.node.runtime import Runtime, choose_runtime, probe
from podpass.lab.node.sandbox import SandboxRuntime
from podpass.problems import PodpassError

RUNTIMES = ("auto", "sandbox", "plain")


@dataclass(frozen=True, slots=True)
class OpenedRuntime:
    runtime: Runtime
    why: str
    """One sentence for `lab status`: what it gives, or why it is not the sandbox."""


async def open_runtime(
    wanted: str, paths: LabPaths, *, hidden: Iterable[Path], plain_environment: Mapping[str, str]
) -> OpenedRuntime:
    """Start the runtime that is *wanted*: auto, sandbox or plain.

    Raises PodpassError PP109 when the sandbox was asked for and can't be had. *hidden* are directories no pod may see.
    """
    why = "it was asked for"
    if wanted != "plain":
        sandbox = SandboxRuntime(
            directory=paths.node,
            ca_bundle=paths.ca_bundle,
            gateway_socket=socket_path(paths, "gateway_socket"),
            api_socket=socket_path(paths, "api_socket"),
            dns_socket=socket_path(paths, "dns_socket"),
            hidden=hidden,
        )
        try:
            # Trying it is the quickest probe; only a failure is worth finding out about.
            await sandbox.start()
        except FabricFailed as error:
            choice = choose_runtime(await probe())
            why = choice.why if choice.kind == "plain" else f"the sandbox failed: {error}"
            if wanted == "sandbox":
                raise PodpassError("PP109", reason=why, remedy="podpass lab up --runtime plain") from error
        else:
            return OpenedRuntime(sandbox, "each pod has its own namespaces and no way out of the lab")
    plain = PlainRuntime(directory=paths.node, environment=plain_environment)
    await plain.start()
    return OpenedRuntime(plain, f"{why}; {plain.note}")
