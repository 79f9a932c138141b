"""`podpass demo`: a throw-away lab in which a pod reads its secret, each hop shown as it happens."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Annotated, Any

from cyclopts import Parameter

from podpass.cli.journey import blamed, event_lines
from podpass.cli.output import Format, note, print_value, styled
from podpass.lab.control.client import Control, follow_live
from podpass.lab.control.starting import delete, start, stop
from podpass.lab.demo.plan import Break, Plan, mends_in_lab, plan, wrong_with
from podpass.lab.environment import Endpoints, LabPaths, state_home
from podpass.problems import CATALOGUE, PodpassError

POD_WITHIN_SECONDS = 90
LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Result:
    """How one run of the pod ended."""

    broken: str
    succeeded: bool
    expected: str
    """Fingerprint of the secret as it was stored."""
    output: str
    """What the program printed, or its error as the stock client words it."""
    wire: str
    problem: str
    reason: str
    remedy: str
    in_lab: str
    """The lab's own command that takes the fault back, for those that no cloud's API can make."""
    pod_seconds: float


def demo(
    *,
    broken: Annotated[Break | None, Parameter(name="--break")] = None,
    mend: Annotated[bool, Parameter(negative=())] = False,
    keep: Annotated[bool, Parameter(negative=())] = False,
    runtime: str = "auto",
    output: Annotated[Format, Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """A pod reads its secret with the stock Azure SDK and no password; each hop is shown.

    Example: podpass demo --break wrong-subject

    Parameters
    ----------
    broken:
        Run the same path with this one fault, and show the client's own error beside its reason and remedy.
    mend:
        After a fault was shown, apply the remedy and run the pod again.
    keep:
        Leave the lab up and say how to go on.
    runtime:
        How pods run: sandbox (namespaces), plain (processes), or auto.
    """
    began = time.monotonic()
    home = state_home(os.environ)
    paths = LabPaths.of(f"demo-{secrets.token_hex(3)}", home=home)
    show = _Show(quiet=output != "table")
    show.heading("The program in the pod")
    show.text(_program().split('"""', 2)[2].strip())
    try:
        show.heading("A cluster and a cloud on this machine")
        status = start(paths, home=home, runtime=runtime)
        show.text(f"ready after {status['ready_seconds']:.2f} s; pods run in: {status['runtime']['name']}")
        if runtime == "auto" and status["runtime"]["name"] == "plain":
            show.text(f"note: {status['runtime']['why']}")
        for remark in status["notes"]:
            show.text(f"note: {remark}")
        results = asyncio.run(_run(paths, Endpoints(**status["endpoints"]), broken, show, mend=mend))
    except BaseException as error:
        if isinstance(error, PodpassError) and error.problem.code == "PP104" and paths.log.exists():
            # The hint names the lab's log, which goes with the lab.
            note("\n".join(paths.log.read_text().splitlines()[-LOG_LINES:]))
        if not keep:
            _remove(paths)
        raise
    if keep:
        show.heading("The lab stays up")
        show.text(
            f'eval "$(podpass lab env --name {paths.name})"\nkubectl get pods -n shop\n'
            f"podpass lab journal --name {paths.name}\npodpass lab reset --name {paths.name} --yes"
        )
    else:
        _remove(paths)
    if output != "table":
        print_value([asdict(result) for result in results], output)
    else:
        show.text(f"\n{time.monotonic() - began:.1f} s in all")
    first, last = results[0], results[-1]
    as_wanted = first.succeeded == (broken is None) and (not mend or last.succeeded)
    return 0 if as_wanted else 1


def _program() -> str:
    return files("podpass.lab.demo").joinpath("program.py").read_text()


def _remove(paths: LabPaths) -> None:
    if Control(paths).running():
        stop(paths)
    delete(paths)


class _Show:
    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._short: dict[str, str] = {}
        self._start = time.monotonic()

    def heading(self, text: str) -> None:
        if not self._quiet:
            print(f"\n{styled(text, 'bold', sys.stdout)}", flush=True)
        else:
            note(text)

    def text(self, text: str) -> None:
        if not self._quiet:
            for line in text.splitlines():
                print(f"  {line}", flush=True)

    def shorten(self, **names: str) -> None:
        """Write `<name>` for each of these long texts in hops from now on, and say what they stand for."""
        self._short = {text: f"<{name}>" for name, text in names.items()}
        width = max(map(len, names)) + 2
        for text, name in self._short.items():
            self.text(f"{name:<{width}}  {text}")

    def start_clock(self) -> None:
        self._start = time.monotonic()

    def hop(self, event: dict[str, Any]) -> None:
        # What the issuer says of a request and what Entra says of the same one are one hop to a reader.
        if self._quiet or (event["whom"] == "issuer" and event["who"] != "entra"):
            return
        lines = [self._shortened(line) for line in event_lines({**event, "problem": ""}, stream=sys.stdout)]
        since = time.monotonic() - self._start
        print(f"  {since:5.2f}s {lines[0]}")
        for line in lines[1:]:
            print(f"         {line}")
        sys.stdout.flush()

    def _shortened(self, line: str) -> str:
        for text, name in self._short.items():
            line = line.replace(text, name)
        return line


async def _run(paths: LabPaths, endpoints: Endpoints, broken: Break | None, show: _Show, *, mend: bool) -> list[Result]:
    from podpass.lab.demo.client import operating

    suffix = secrets.token_hex(4)
    wanted = plan(issuer=endpoints.issuer, suffix=suffix, broken=broken)
    control = Control(paths)
    async with operating(endpoints, paths) as operator:
        show.heading("Set up through the same APIs a person would call")
        identity, stored = await operator.set_up_cloud(wanted)
        await operator.set_up_cluster(wanted, identity)
        show.text(
            f"identity {wanted.identity} trusts {wanted.subject}\n"
            f"secret {wanted.secret} ({stored}) is in {wanted.vault_url}"
        )
        show.shorten(
            issuer=endpoints.issuer, group=f"/subscriptions/{endpoints.subscription_id}/resourceGroups/{wanted.group}"
        )
        if broken is not None:
            show.text(f"{styled('broken on purpose:', 'yellow', sys.stdout)} {wrong_with(broken)}")
        results = [await _run_pod(operator, control, paths, wanted, stored, broken, show)]
        if mend and broken is not None:
            show.heading("The remedy applied")
            sound = plan(issuer=endpoints.issuer, suffix=suffix)
            await operator.delete_pod(wanted)
            _, stored = await operator.set_up_cloud(sound)
            results.append(await _run_pod(operator, control, paths, sound, stored, None, show))
    return results


async def _run_pod(
    operator: Any,
    control: Control,
    paths: LabPaths,
    wanted: Plan,
    stored: str,
    broken: Break | None,
    show: _Show,
) -> Result:
    control.set_faults(
        {"issuer_unreachable": wanted.issuer_unreachable, "cluster_skew_seconds": wanted.cluster_skew_seconds}
    )
    # The operator's own sign-in made Entra fetch the keys; forgetting them shows that hop as well.
    control.forget_issuer_keys()
    show.heading("The pod, hop by hop")
    show.start_clock()
    began = time.monotonic()
    before = int(control.status()["journal"]["newest"])
    events: list[dict[str, Any]] = []

    def seen(event: dict[str, Any]) -> None:
        events.append(event)
        show.hop(event)

    async with _following(paths, before, seen):
        await operator.start_pod(wanted, _program())
        try:
            async with asyncio.timeout(POD_WITHIN_SECONDS):
                pod = await operator.finished(wanted)
        except TimeoutError:
            reason = f"The pod did not end within {POD_WITHIN_SECONDS} s."
            raise PodpassError("PP110", reason=reason, name=paths.name) from None
    pod_seconds = time.monotonic() - began
    for event in control.journal(after=events[-1]["number"] if events else before):
        seen(event)
    log = await operator.log(wanted)
    succeeded = pod["status"]["phase"] == "Succeeded" and stored in log
    failure = None if succeeded else blamed(events)
    entry = CATALOGUE.get(failure["problem"]) if failure else None
    values = failure["decision"] if failure else {}
    result = Result(
        broken=str(broken or ""),
        succeeded=succeeded,
        expected=stored,
        output=log.strip() if succeeded else _client_error(log),
        wire=failure["wire"] if failure else "",
        problem=failure["problem"] if failure else "",
        reason=entry.cause_for(**values) if entry else "",
        remedy=entry.remedy_for(**values) if entry else "",
        in_lab=mends_in_lab(broken) if broken and not succeeded else "",
        pod_seconds=pod_seconds,
    )
    _show_result(result, show)
    return result


def _show_result(result: Result, show: _Show) -> None:
    if result.succeeded:
        show.heading("The pod's own output")
        show.text(
            f"{styled(result.output, 'green', sys.stdout)}\n"
            f"the secret in the vault is {result.expected}; {result.pod_seconds:.1f} s from pod to secret"
        )
        return
    show.heading("The client's own words")
    show.text(result.output)
    show.heading(f"The reason   {result.wire} {result.problem}")
    show.text(result.reason)
    show.heading("The remedy")
    show.text(result.remedy)
    if result.in_lab:
        show.text(f"in this lab the fault was set on purpose, and this takes it back:\n{result.in_lab}")


def _client_error(log: str) -> str:
    """What the program died of: the text of its last exception, without the frames."""
    lines = log.strip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
    if not starts:
        return "\n".join(lines[-10:])
    after = lines[starts[-1] + 1 :]
    first = next((number for number, line in enumerate(after) if line and not line.startswith(" ")), 0)
    return "\n".join(after[first : first + 24])


@asynccontextmanager
async def _following(paths: LabPaths, after: int, seen: Any) -> AsyncIterator[None]:
    """Tell *seen* of every event above *after* while the context is open."""

    async def follow() -> None:
        async for event in follow_live(paths, after=after):
            seen(event)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
