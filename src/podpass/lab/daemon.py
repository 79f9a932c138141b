"""A lab as a process of its own: `python -m podpass.lab.daemon`, started by `podpass lab up`.

It tells its starter how the start went through one pipe (a JSON line), writes its log to its standard error, and
stops on SIGTERM, on SIGINT, or when asked through its control socket.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podpass.importing import for_good, without_system_roots
from podpass.problems import PodpassError

if TYPE_CHECKING:
    from podpass.lab.assembly import Lab


def main() -> None:
    parser = argparse.ArgumentParser(prog="podpass.lab.daemon")
    parser.add_argument("name")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--scenario", type=Path)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--api-port", type=int, default=0)
    parser.add_argument("--proxy-port", type=int, default=0)
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--context", default="")
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--ready-fd", type=int)
    options = parser.parse_args()

    try:
        with for_good(), without_system_roots():
            from podpass.lab.assembly import Lab

        _run(Lab, options)
    except PodpassError as error:
        _tell(options.ready_fd, error.members())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the starter must hear of any failure; the log holds the rest
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        _tell(options.ready_fd, {"error": "the lab failed", "code": "PP104", "values": {"reason": reason}})
        sys.exit(1)


def _run(lab_class: "type[Lab]", options: argparse.Namespace) -> None:
    from podpass.lab.doors.hermetic import hermetic, new_event_loop, recording

    async def live() -> None:
        lab = lab_class(
            options.name,
            home=options.home,
            scenario=options.scenario,
            runtime=options.runtime,
            api_port=options.api_port,
            proxy_port=options.proxy_port,
            kubeconfig=options.kubeconfig,
            context=options.context,
            nodes=options.nodes,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lab.stop_requested.set)
        async with lab:
            with hermetic(recording(lab.journal, loop)):
                if _tell(options.ready_fd, {"ready": True, **lab.status()}):
                    await lab.stop_requested.wait()

    # The wall stands from the first moment; only what it turns away is recorded once there is a journal.
    with hermetic(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(live())


def _tell(descriptor: int | None, message: dict[str, Any]) -> bool:
    """Write one line to the starter and close the pipe; False when the starter went away, and nobody wants the lab."""
    if descriptor is None:
        return True
    try:
        with os.fdopen(descriptor, "w") as pipe:
            pipe.write(json.dumps(message) + "\n")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
