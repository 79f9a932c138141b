"""Events of the journal as lines for a person: who asked whom for what, how it ended, and why."""

import sys
from typing import Any, TextIO

from podpass.cli.output import printable, styled
from podpass.problems import CATALOGUE

_STYLES = {"granted": "green", "done": "green", "refused": "red", "failed": "red", "noted": "yellow"}
_INDENT = " " * 9
_LONGEST = 1_000
"""A client's path may fill a screen; the whole text is in --output json."""


def event_lines(event: dict[str, Any], *, stream: TextIO) -> list[str]:
    """The event as a line of how it ended and who asked whom for what, and one more for each thing that says why."""
    outcome = styled(f"{event['outcome']:<8}", _STYLES.get(event["outcome"], "dim"), stream)
    whom = styled(printable(event["whom"]), "bold", stream)
    where = styled(f" [{printable(event['cluster'])}]", "dim", stream) if event.get("cluster") else ""
    lines = [f"{outcome} {asker(printable(event['who']))} → {whom}{where}: {_bounded(event['what'])}"]
    if event["why"]:
        lines.append(_INDENT + styled(_bounded(event["why"]), "dim", stream))
    if codes := " ".join(code for code in (event["wire"], event["problem"]) if code):
        lines.append(_INDENT + styled(codes, "yellow", stream))
    if entry := CATALOGUE.get(event["problem"]):
        lines.append(f"{_INDENT}remedy: {printable(entry.remedy_for(**event['decision']))}")
    return lines


def _bounded(text: str) -> str:
    shown = printable(text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}… ({len(text)} characters)"


def asker(who: str) -> str:
    """*who*, short: `appid … oid … (orders)` is known to people as orders."""
    name = who.rpartition(" (")[2].removesuffix(")")
    return name if who.startswith("appid ") and who.endswith(")") else who


def blamed(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The event that explains a failure: the last refusal with a known remedy, else the last remark with one."""
    known = [event for event in events if event["problem"]]
    refusals = [event for event in known if event["outcome"] in ("refused", "failed")]
    candidates = refusals or known
    return candidates[-1] if candidates else None


def print_event(event: dict[str, Any], *, new_trace: bool) -> None:
    if new_trace:
        print(styled(f"trace {event['trace']}", "dim", sys.stdout))
    for line in event_lines(event, stream=sys.stdout):
        print(f"  {line}")
    sys.stdout.flush()
