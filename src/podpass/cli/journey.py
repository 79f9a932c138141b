"""Events of the journal as lines for a person: who asked whom for what, how it ended, and why."""

import sys
from typing import Any

from podpass.cli.output import printable, styled
from podpass.problems import CATALOGUE

_STYLES = {"granted": "green", "done": "green", "refused": "red", "failed": "red", "noted": "yellow"}


def event_lines(event: dict[str, Any], *, colour_for: Any = None) -> list[str]:
    """The event as one line, and one more for each of: why, the wire code with its remedy."""
    stream = colour_for or sys.stdout
    outcome = styled(f"{event['outcome']:<8}", _STYLES.get(event["outcome"], "dim"), stream)
    whom = styled(f"{event['whom']:<8}", "bold", stream)
    lines = [f"{outcome} {whom} {printable(event['what'])}   {styled('for ' + printable(event['who']), 'dim', stream)}"]
    indent = " " * 18
    if event["why"]:
        lines.append(f"{indent}{printable(event['why'])}")
    if event["wire"] or event["problem"]:
        codes = " ".join(code for code in (event["wire"], event["problem"]) if code)
        lines.append(f"{indent}{styled(codes, 'yellow', stream)}")
    if entry := CATALOGUE.get(event["problem"]):
        lines.append(f"{indent}remedy: {printable(entry.remedy_for(**event['decision']))}")
    return lines


def print_event(event: dict[str, Any], *, new_trace: bool) -> None:
    if new_trace:
        print(styled(f"trace {event['trace']}", "dim", sys.stdout))
    for line in event_lines(event):
        print(f"  {line}")
    sys.stdout.flush()
