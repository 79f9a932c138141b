"""The present state of a lab's clouds, as a scenario that recreates it.

Not said, and named in the comments of the file where it would stand: the values of secrets (unless asked for), key
pairs and passwords, which the recreated lab makes anew; older versions and what was deleted; what is in clusters.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from podpass.lab.filling.clouds import Clouds
from podpass.lab.filling.finding import Finding
from podpass.lab.filling.parts import PARTS
from podpass.lab.scenario.fields import members
from podpass.lab.scenario.file import MAX_BYTES
from podpass.lab.scenario.model import FaultsEntry, Scenario
from podpass.lab.scenario.writing import write


def exported(clouds: Clouds, *, with_secret_values: bool = False) -> tuple[Scenario, dict[str, list[str]]]:
    """The scenario, and by section what it can't say."""
    finding = Finding(clouds=clouds, with_secret_values=with_secret_values)
    entries: dict[str, list[Callable[[], Any]]] = {}
    for part in PARTS:
        for found in part.there(finding):
            finding.keep(part.section, found, principal=part.principal)
            entries.setdefault(part.section, []).append(found.entry)
    said = {
        member.attribute: tuple(make() for make in entries.get(member.name, ()))
        for member in members(Scenario)
        if member.form == "entries"
    }
    return Scenario(**said, faults=_faults(clouds)), finding.notes


def export(clouds: Clouds, *, with_secret_values: bool = False) -> str:
    """The text of the scenario file."""
    scenario, notes = exported(clouds, with_secret_values=with_secret_values)
    head = ["Written by podpass lab export."]
    count = sum(map(len, notes.values()))
    if count:
        head.append(f"{count} remark{'s' if count > 1 else ''} below on what a scenario can't say.")
    if with_secret_values:
        head.append("It holds the values of secrets: keep it from others.")
    text = write(scenario, head=head, notes=notes)
    if len(text.encode()) <= MAX_BYTES:
        return text
    return write(scenario, head=[*head, f"It is larger than the {MAX_BYTES} bytes that a lab reads."], notes=notes)


def _faults(clouds: Clouds) -> FaultsEntry | None:
    known = {member.attribute for member in members(FaultsEntry)}
    entry = FaultsEntry(**{name: value for name, value in asdict(clouds.faults).items() if name in known})
    return None if entry == FaultsEntry() else entry
