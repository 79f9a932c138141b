"""Every problem podpass can name. A code is never reused for another meaning.

PP1xx the machine and the lab, PP2xx the trust chain at Entra, PP3xx Key Vault and access, PP4xx the cluster and
its webhook, PP5xx files the user wrote.
"""

import string
from dataclasses import dataclass


class _Lenient(dict[str, object]):
    """Leaves `{name}` standing where no value was given: half a remedy is better than none."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _fill(text: str, values: dict[str, object]) -> str:
    return string.Formatter().vformat(text, (), _Lenient(values))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that goes wrong. *cause* and *remedy* hold `{names}` filled in from the decision that found it."""

    code: str
    title: str
    cause: str
    remedy: str
    wire: str = ""
    """The code by which the cloud's own service reports it, where it does."""
    reproduce: str = ""
    """A command that shows it in the lab, where one does."""

    @property
    def page(self) -> str:
        """The problem's page below docs/reference."""
        return f"problems/{self.code}.md"

    def cause_for(self, **values: object) -> str:
        return _fill(self.cause, values)

    def remedy_for(self, **values: object) -> str:
        return _fill(self.remedy, values)


_PROBLEMS = (
    Problem(
        "PP101",
        title="The port is in use",
        cause="Another program listens on {host}:{port}.",
        remedy="Stop that program, or choose another port with {option}.",
    ),
    Problem(
        "PP102",
        title="The lab is already running",
        cause="Lab {name} runs as process {pid}.",
        remedy="podpass lab status --name {name}",
    ),
    Problem(
        "PP103",
        title="The lab is not running",
        cause="No process answers for lab {name}.",
        remedy="podpass lab up --name {name}",
    ),
    Problem(
        "PP104",
        title="The lab did not become ready",
        cause="{reason}",
        remedy="Read the last lines of {log}.",
    ),
    Problem(
        "PP105",
        title="The disk is full",
        cause="Writing {path} failed: {reason}.",
        remedy="Free space there, or set PODPASS_HOME to a directory on another disk.",
    ),
    Problem(
        "PP106",
        title="A system tool is missing",
        cause="{tool} is not on the PATH.",
        remedy="{install}",
    ),
    Problem(
        "PP107",
        title="The lab's state can't be read",
        cause="{path}: {reason}.",
        remedy="podpass lab reset --name {name} --yes   (this deletes the lab's state)",
    ),
    Problem(
        "PP108",
        title="Not a lab's name",
        cause="{name!r} is not lower-case letters, digits and hyphens, at most 40 of them.",
        remedy="Choose a name such as dev or ci-1.",
    ),
    Problem(
        "PP109",
        title="The runtime can't be had on this machine",
        cause="{reason}",
        remedy="{remedy}",
    ),
    Problem(
        "PP110",
        title="The lab did not answer",
        cause="{reason}",
        remedy="podpass lab status --name {name}",
    ),
    Problem(
        "PP501",
        title="The scenario can't be used",
        cause="It does not say what the reference of the scenario file asks for.",
        remedy="Mend the lines named above in {source}; docs/reference/scenario.md lists every member.",
    ),
    Problem(
        "PP502",
        title="The file can't be read",
        cause="{path}: {reason}.",
        remedy="Give the path of a file you may read.",
    ),
    Problem(
        "PP503",
        title="Not a token",
        cause="{reason}",
        remedy="Give a file that holds one JWT, or pipe it in: podpass token inspect -",
    ),
)

CATALOGUE: dict[str, Problem] = {entry.code: entry for entry in _PROBLEMS}


def problem(code: str) -> Problem:
    """The catalogue's entry for *code*. Raises KeyError for a code that does not exist."""
    return CATALOGUE[code]
