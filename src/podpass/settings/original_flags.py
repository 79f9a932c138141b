"""Command lines written for the original components, read as they are meant.

The original's flags are those of Go: one dash is as good as two, and a switch may be told `=true`. Some concern what
podpass has no need of; such a flag is accepted, with the reason for those who look for its effect.
Contract: pod identity, sections 2.10 and 3.1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FLAG = re.compile(r"--?([A-Za-z][A-Za-z0-9_.-]*)(?:=(.*))?", re.DOTALL)
DEBUG_FROM = 4
"""The verbosity from which on lines are for whoever looks into the component."""


@dataclass(frozen=True, slots=True)
class Unused:
    """A flag that is accepted and has no effect. *why* is empty where nobody would look for one."""

    why: str = ""
    switch: bool = False


LOGGING: Mapping[str, Unused] = {
    **{
        name: Unused(switch=True)
        for name in (
            "logtostderr", "alsologtostderr", "skip_headers", "skip_log_headers", "add_dir_header", "one_output",
        )
    },
    **{
        name: Unused()
        for name in ("log_dir", "log_file", "log_file_max_size", "stderrthreshold", "vmodule", "log_backtrace_at")
    },
    "log-format": Unused("lines are JSON always"),
    "enableProfile": Unused("a profiler such as py-spy looks into the process without a server in it", switch=True),
}  # fmt: skip
MIC: Mapping[str, Unused] = {
    **LOGGING,
    "clientQps": Unused("the API server's own priority and fairness paces requests"),
    "enableScaleFeatures": Unused(switch=True),
    "config-map-name": Unused(),
    "type-upgrade-status-key": Unused(),
    "enable-type-upgrade": Unused("members are read in any letter case, so nothing needs to be rewritten", switch=True),
}
NMI: Mapping[str, Unused] = {
    **LOGGING,
    "MICNamespace": Unused("pods of MIC are excepted by an AzurePodIdentityException"),
    "host-ip": Unused(),
}


@dataclass(frozen=True, slots=True)
class Understood:
    """The arguments in podpass's own form, and what to tell of those that have no effect."""

    arguments: tuple[str, ...]
    notes: tuple[str, ...] = ()
    asks_version: bool = False


def understood(arguments: Sequence[str], unused: Mapping[str, Unused]) -> Understood:
    """*arguments* without those of *unused*; everything that is no flag of the original stays as it is."""
    kept: list[str] = []
    notes: list[str] = []
    left = list(arguments)
    asks_version = False
    while left:
        argument = left.pop(0)
        found = _FLAG.fullmatch(argument)
        if argument == "--" or found is None or argument == "-h":
            kept.append(argument)
            continue
        name, value = found[1], found[2]
        if name == "version":
            asks_version = value in (None, "true")
        elif name == "v":
            verbosity = left.pop(0) if value is None and left else value or ""
            if not verbosity.isdigit():
                kept.append(f"--v={verbosity}")
            elif int(verbosity) >= DEBUG_FROM:
                kept.append("--log-level=debug")
        elif name in unused:
            if value is None and not unused[name].switch and left:
                left.pop(0)
            if unused[name].why:
                notes.append(f"--{name} has no effect: {unused[name].why}")
        else:
            kept.append(f"--{name}" if value is None else f"--{name}={value}")
    return Understood(tuple(kept), tuple(notes), asks_version)
