"""The command line: `podpass NOUN VERB`. One module per noun, imported only when its noun is used."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cyclopts import App, CycloptsError

from podpass import __version__
from podpass.cli.output import DONE, FAILED, INTERRUPTED, USAGE, print_error
from podpass.problems import PodpassError

EXAMPLES = """\
Kubernetes pods reach Azure without stored secrets; the lab runs all of it on this machine.

  podpass demo                              a pod reads its secret, each hop shown
  podpass demo --break wrong-subject        the same with one fault, its reason and its remedy
  podpass lab up                            start a cluster and a cloud here
  eval "$(podpass lab env)"                 point kubectl and the Azure SDKs of this shell at them
  podpass lab journal --follow              who asked whom for what, and which rule decided
  podpass token inspect FILE                explain a token without showing its signature
  podpass webhook --help                    the admission webhook for a real cluster
  podpass doctor                            what is wrong on a cluster, by reading alone

podpass --help lists every command.
"""

app = App(
    name="podpass",
    help="Kubernetes pods reach Azure without stored secrets; with a lab that runs all of it on one machine.",
    version=__version__,
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
app.command("podpass.cli.demo:demo", name="demo", help="A pod reads its secret with the stock SDK; each hop is shown.")
app.command("podpass.cli.lab:app", name="lab", help="The cluster and the cloud on this machine.")
app.command("podpass.cli.token:app", name="token", help="Explain tokens.")
app.command("podpass.cli.problem:problem", name="problem", help="What a PPnnn code means and what mends it.")
app.command("podpass.cli.doctor:doctor", name="doctor", help="Look for what is wrong on a cluster; nothing is changed.")
app.command("podpass.cli.mic:app", name="mic", help="The controller of pod identity, for any cluster.")
app.command("podpass.cli.migrate:app", name="migrate", help="From pod identity to workload identity.")
app.command("podpass.cli.nmi:nmi", name="nmi", help="The node agent of pod identity, for any node.")
app.command("podpass.cli.webhook:webhook", name="webhook", help="The mutating admission webhook, for any cluster.")


@app.default
def examples() -> None:
    """Show a few things to try."""
    sys.stdout.write(EXAMPLES)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage, 3 problems found, 130 interrupted."""
    try:
        result = _as_the_original(arguments) if arguments[:1] in (["mic"], ["nmi"]) else app(list(arguments))
        sys.stdout.flush()
    except CycloptsError as error:
        print_error(str(error), hint="podpass --help")
        return USAGE
    except PodpassError as error:
        print_error(str(error), cause=error.cause, hint=error.hint, code=error.problem.code)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does; nothing is left to say to it.
        _discard_output()
        return DONE
    except OSError as error:
        print_error(error.strerror or str(error), cause=str(error.filename or "writing the output failed"))
        _discard_output()
        return FAILED
    return result if isinstance(result, int) else DONE


def _as_the_original(arguments: Sequence[str]) -> object:
    """Run a component that takes the original's place, and so its command lines."""
    from podpass.settings import original_flags

    component, *flags = arguments
    unused = original_flags.MIC if component == "mic" else original_flags.NMI
    found = original_flags.understood(flags, unused)
    if found.asks_version:
        sys.stdout.write(f"MIC Version: {__version__} - NMI Version: {__version__} - Commit: none - Date: none\n")
        return DONE
    for note in found.notes:
        sys.stderr.write(f"podpass: {note}\n")
    return app([component, *found.arguments])


def main() -> None:
    # A program started with its output closed has no stream at all there, and must not write into another file.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that what a command made for itself is removed."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt


def _discard_output() -> None:
    """Let the interpreter's last flush go nowhere: it would fail again, and say so."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
