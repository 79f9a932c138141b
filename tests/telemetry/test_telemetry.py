"""Logs without secrets, metrics of one run, health with reasons."""

import asyncio
import io
import json
import logging
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter

from podpass.telemetry.colour import wants_colour
from podpass.telemetry.health import Health, flag, health_app
from podpass.telemetry.logging import StandardHandler, make_logger, redacted_json_line, redacting
from podpass.telemetry.metrics import make_registry, render

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
SECRETS = (TOKEN, "Bearer abcdefgh", "bAsIc\tYWJjOmRlZg==", "-----BEGIN PRIVATE KEY-----\nMIIE")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestLogs:
    def test_a_line_is_json_when_nobody_watches(self):
        out = io.StringIO()
        make_logger("webhook", stream=out).info("review.admitted", uid="u", operations=3)
        line = json.loads(out.getvalue())
        assert (line["event"], line["component"], line["level"]) == ("review.admitted", "webhook", "info")
        assert (line["uid"], line["operations"]) == ("u", 3)
        assert line["timestamp"].endswith("Z")

    def test_a_line_on_a_terminal_is_for_people(self):
        out = Terminal()
        make_logger("webhook", stream=out, environ={}).info("review.admitted", uid="u")
        assert "\x1b[" in out.getvalue()
        assert "review.admitted" in out.getvalue()

    @pytest.mark.parametrize(
        ("environ", "terminal", "colour"),
        [
            ({}, True, True),
            ({}, False, False),
            ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
            ({"FORCE_COLOR": "1"}, False, True),
        ],
    )
    def test_no_color_wins_over_force_color(self, environ, terminal, colour):
        assert wants_colour(Terminal() if terminal else io.StringIO(), environ) is colour

    @pytest.mark.parametrize("stream", [io.StringIO, Terminal])
    def test_secrets_are_replaced_wherever_they_stand(self, stream):
        out = stream()
        log = make_logger("x", stream=out)
        log.info(f"token.seen {TOKEN}", a=f"Bearer {TOKEN}", b={"deep": [TOKEN]}, c=TOKEN.encode())
        try:
            raise ValueError(f"bad token {TOKEN}")
        except ValueError:
            log.exception("loop.failed")
        for part in TOKEN.split("."):
            assert part not in out.getvalue()
        assert "sha256:" in out.getvalue()

    def test_below_the_level_nothing_is_written(self):
        out = io.StringIO()
        make_logger("x", level="warning", stream=out).info("a.happened")
        assert out.getvalue() == ""
        make_logger("x", level="trace", stream=out).debug("a.happened")
        assert out.getvalue() != ""

    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.lists(st.sampled_from([*SECRETS, " ", "\n", "\\", '"', "é", "x"]) | st.text(max_size=4)).map("".join)
            | st.integers()
            | st.none()
            | st.binary(max_size=4)
            | st.lists(st.sampled_from(SECRETS), max_size=2),
            max_size=4,
        )
    )
    def test_a_line_that_is_looked_at_as_a_whole_is_the_one_whose_values_are_looked_at_each(self, values):
        line = redacted_json_line(None, "info", {"level": "info", "timestamp": "t", **values})
        event = {"timestamp": "t", "level": "info", **values}
        assert line == msgspec.json.encode(redacting(None, "info", event)).decode()

    def test_what_libraries_log_is_redacted_too(self):
        out = io.StringIO()
        library = logging.Logger("library")
        library.addHandler(StandardHandler(make_logger("x", stream=out)))
        library.warning("sent %s", TOKEN)
        line = json.loads(out.getvalue())
        assert (line["event"], line["source"]) == ("library.reported", "library")
        assert TOKEN not in out.getvalue()

    def test_importing_configures_nothing(self):
        code = (
            "import logging, structlog, podpass.telemetry.logging, podpass.telemetry.metrics\n"
            "assert not structlog.is_configured() and not logging.getLogger().handlers"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestMetrics:
    def test_two_runs_do_not_share_a_counter(self):
        first, second = make_registry(), make_registry()
        Counter("things", "Things.", registry=first).inc()
        Counter("things", "Things.", registry=second)
        assert b"things_total 1.0" in render(first)
        assert b"things_total 0.0" in render(second)


async def ask(app, path: str, method: str = "GET", query: bytes = b"") -> tuple[int, str]:
    sent = []

    async def send(message) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "query_string": query}, None, send)
    return sent[0]["status"], sent[1]["body"].decode()


class TestHealth:
    async def test_a_failing_check_is_named_with_its_reason(self):
        synced = asyncio.Event()
        health = Health(ready={"copy": flag(synced, "not all read yet")})
        app = health_app(health, None)
        assert await ask(app, "/healthz") == (200, "ok")
        assert await ask(app, "/readyz") == (500, "[-]copy not all read yet\nfailed\n")
        synced.set()
        assert await ask(app, "/readyz") == (200, "ok")
        assert await ask(app, "/readyz", query=b"verbose") == (200, "[+]copy ok\nok\n")

    async def test_who_does_not_live_is_not_ready(self):
        health = Health(live={"loop": flag(asyncio.Event(), "it stopped")})
        assert (await ask(health_app(health, None), "/readyz"))[0] == 500

    async def test_a_check_that_hangs_fails(self, monkeypatch):
        monkeypatch.setattr("podpass.telemetry.health.CHECK_SECONDS", 0.01)

        async def hangs() -> str | None:
            await asyncio.Event().wait()
            return None

        status, text = await ask(health_app(Health(live={"slow": hangs}), None), "/healthz")
        assert status == 500
        assert "no result in time" in text

    async def test_metrics_are_served_where_there_is_a_registry(self):
        registry = make_registry(process=False)
        Counter("things", "Things.", registry=registry)
        assert "things_total 0.0" in (await ask(health_app(Health(), registry), "/metrics"))[1]
        assert (await ask(health_app(Health(), None), "/metrics"))[0] == 404
        assert (await ask(health_app(Health(), None), "/elsewhere"))[0] == 404
        assert (await ask(health_app(Health(), None), "/healthz", method="POST"))[0] == 405
