"""Which runtime a lab's pods get: the sandbox where the machine allows it, plain processes elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from podpass.lab.listeners import PodSockets
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
    wanted: str,
    directory: Path,
    *,
    sockets: PodSockets,
    ca_bundle: Path,
    hidden: Iterable[Path],
    plain_environment: Mapping[str, str],
    shares_segment: bool = False,
) -> OpenedRuntime:
    """Start the runtime that is *wanted*: auto, sandbox or plain. It keeps its files in *directory*.

    Raises PodpassError PP109 when the sandbox was asked for and can't be had. *hidden* are directories no pod may see;
    *shares_segment* has the pods of a node on one segment of the sandbox's network, as kubenet has.
    """
    why = "it was asked for"
    if wanted != "plain":
        sandbox = SandboxRuntime(
            directory=directory,
            ca_bundle=ca_bundle,
            gateway_socket=sockets.gateway,
            api_socket=sockets.api,
            dns_socket=sockets.dns,
            relays=sockets.relays,
            hidden=hidden,
            shares_segment=shares_segment,
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
            why = "each pod has its own namespaces and no way out of the lab"
            if shares_segment:
                why += "; the pods of a node share a segment, as kubenet's do, so one can pose as another"
            return OpenedRuntime(sandbox, why)
    plain = PlainRuntime(directory=directory, environment=plain_environment)
    await plain.start()
    return OpenedRuntime(plain, f"{why}; {plain.note}")
