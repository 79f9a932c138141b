"""Events of the journal as lines for a person."""

import io

from podpass.cli.journey import event_lines

EVENT = {"outcome": "refused", "who": "curl", "whom": "issuer", "why": "", "wire": "404", "problem": "", "decision": {}}


def test_what_a_client_sent_neither_steers_nor_fills_the_terminal() -> None:
    lines = event_lines({**EVENT, "what": "GET /\x1b[2J\r\n" + "a" * 7_000, "why": "b" * 7_000}, stream=io.StringIO())
    assert all(len(line) < 1_200 for line in lines)
    assert all(line.isprintable() for line in lines)
    assert "GET /\\x1b[2J\\r\\na" in lines[0]
    assert lines[0].endswith("… (7011 characters)")
