"""What the answers to a probe mean: one probe's settings, where it stands, and where it stands after an answer.

Contract: Kubernetes API surface, section 7.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from podpass.kube.objects import Obj

ProbeKind = Literal["startup", "liveness", "readiness"]
KINDS: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")
FIRST_TRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of a container; times are seconds."""

    kind: ProbeKind
    handler: Obj
    initial_delay: float
    period: float
    timeout: float
    success_threshold: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt gave: *passed* is None when the attempt itself could not be made."""

    passed: bool | None
    output: str = ""
    warning: bool = False
    """Passed, with something that its author should know."""
    answered: bool = False
    """Something was said by the other side, whatever it was."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is held of a container, and the row of equal answers since it was last otherwise."""

    healthy: bool | None
    last: bool | None = None
    row: int = 0


AT_START: dict[ProbeKind, Standing] = {
    # Not ready and not started until shown; alive until shown otherwise.
    "startup": Standing(None),
    "liveness": Standing(True),
    "readiness": Standing(False),
}


def probes_of(container: Obj) -> dict[ProbeKind, Probe]:
    """The probes of *container* by kind."""
    found = {}
    for kind in KINDS:
        if probe := container.get(f"{kind}Probe"):
            found[kind] = Probe(
                kind=kind,
                handler=probe,
                initial_delay=float(probe.get("initialDelaySeconds") or 0),
                period=float(probe.get("periodSeconds") or 10),
                timeout=float(probe.get("timeoutSeconds") or 1),
                success_threshold=int(probe.get("successThreshold") or 1),
                failure_threshold=int(probe.get("failureThreshold") or 3),
            )
    return found


def after(probe: Probe, standing: Standing, passed: bool) -> Standing:
    """Where *probe* stands after one more answer: it changes when a threshold is reached."""
    row = standing.row + 1 if standing.last is passed else 1
    threshold = probe.success_threshold if passed else probe.failure_threshold
    return Standing(passed if row >= threshold else standing.healthy, passed, row)


def attempts(probe: Probe) -> Iterator[tuple[float, bool]]:
    """When *probe* is tried, in seconds after its initial delay, and whether a failure counts.

    A program is rarely up in the moment of its start, and the kubelet's own first attempt falls anywhere within the
    first period. So an attempt can fail for the first time after one period; what shall become true is looked for
    before that as well, soon and then ever more rarely.
    """
    if probe.kind != "liveness":
        early = min(FIRST_TRY_SECONDS, probe.period / 2)
        while early < probe.period:
            yield early, False
            early *= 2
    number = 1
    while True:
        yield number * probe.period, True
        number += 1


def event(probe: Probe, answer: Answer) -> tuple[str, str] | None:
    """Reason and message of the event that tells of *answer*; None for one that is no news."""
    word = probe.kind.capitalize()
    if answer.passed is None:
        return "Unhealthy", f"{word} probe errored and resulted in unknown state: {answer.output}"
    if not answer.passed:
        return "Unhealthy", f"{word} probe failed: {answer.output}"
    if answer.warning:
        return "ProbeWarning", f"{word} probe warning: {answer.output}"
    return None
