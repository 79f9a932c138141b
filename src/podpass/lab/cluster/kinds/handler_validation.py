"""What is wrong with a container's probes and lifecycle hooks, in the API server's words.

Contract: Kubernetes API surface, sections 2.3 and 7.1.
"""

import re
from collections.abc import Iterator
from typing import Any

from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_HEADER = re.compile(r"[-A-Za-z0-9]+")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for"
    " validation is '[-A-Za-z0-9]+')"
)
_WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")
_SIGNALS = (
    *("SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT"),
    *("SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT"),
    *("SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2"),
    *("SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN"),
    *(f"SIGRTMIN+{number}" for number in range(1, 16)),
    *(f"SIGRTMAX-{number}" for number in range(14, 0, -1)),
    "SIGRTMAX",
)


def handlers(container: Obj, path: str, spec: Obj, *, only_runs: bool) -> Iterator[Cause]:
    """What is wrong with the probes and hooks of *container*; *only_runs* when it is to end before others start."""
    for member in (*PROBES, "lifecycle"):
        value = container.get(member)
        if value is None:
            continue
        place = f"{path}.{member}"
        if only_runs:
            yield forbidden_field(place, "may not be set for init containers without restartPolicy=Always")
        elif member == "lifecycle":
            yield from _lifecycle(value, place, spec)
        else:
            yield from _probe(value, place, member)


def _probe(probe: Obj, path: str, member: str) -> Iterator[Cause]:
    yield from _handler(probe, path, _PROBE_HANDLERS)
    for number in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from rules.at_least(f"{path}.{number}", probe.get(number), 0)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None:
        place = f"{path}.terminationGracePeriodSeconds"
        yield from rules.at_least(place, grace, 1)
        if member == "readinessProbe":
            yield invalid(place, grace, "must not be set for readinessProbes")
    threshold = probe.get("successThreshold")
    if member != "readinessProbe" and isinstance(threshold, int) and threshold not in (0, 1):
        yield invalid(f"{path}.successThreshold", threshold, "must be 1")


def _lifecycle(lifecycle: Obj, path: str, spec: Obj) -> Iterator[Cause]:
    for moment in ("postStart", "preStop"):
        if (handler := lifecycle.get(moment)) is None:
            continue
        yield from _handler(handler, f"{path}.{moment}", _HOOK_HANDLERS)
        grace = spec.get("terminationGracePeriodSeconds")
        seconds = (handler.get("sleep") or {}).get("seconds")
        if isinstance(seconds, int) and isinstance(grace, int) and not 0 <= seconds <= grace:
            yield invalid(
                f"{path}.{moment}.sleep",
                seconds,
                f"must be non-negative and less than terminationGracePeriodSeconds ({grace})",
            )
    if (signal := lifecycle.get("stopSignal")) is not None:
        system = (spec.get("os") or {}).get("name")
        if not system:
            yield forbidden_field(f"{path}.stopSignal", "may not be set for containers with empty `spec.os.name`")
        elif signal not in (signals := _WINDOWS_SIGNALS if system == "windows" else _SIGNALS):
            yield not_supported(f"{path}.stopSignal", signal, signals)


def _handler(handler: Obj, path: str, kinds: tuple[str, ...]) -> Iterator[Cause]:
    yield from rules.exactly_one(
        path,
        handler,
        kinds,
        missing="must specify a handler type",
        many="may not specify more than 1 handler type",
    )
    if (command := handler.get("exec")) is not None and not command.get("command"):
        yield required(f"{path}.exec.command")
    for member in ("httpGet", "tcpSocket", "grpc"):
        if (target := handler.get(member)) is not None:
            yield from _port(f"{path}.{member}.port", target.get("port"))
    request = handler.get("httpGet") or {}
    yield from rules.one_of(f"{path}.httpGet.scheme", request.get("scheme"), ("HTTP", "HTTPS"))
    for header in request.get("httpHeaders") or ():
        name = header.get("name") or ""
        if not _HEADER.fullmatch(name):
            yield invalid(f"{path}.httpGet.httpHeaders", name, _HEADER_TEXT)


def _port(path: str, port: Any) -> Iterator[Cause]:
    """What is wrong with a port that is given by its number or by its name."""
    if isinstance(port, int):
        yield from rules.port(path, port)
    elif not port:
        yield invalid(path, port or 0, "must be between 1 and 65535, inclusive")
    else:
        for text in rules.port_name_faults(str(port)):
            yield invalid(path, port, text)
