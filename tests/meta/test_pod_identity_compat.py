"""The page that compares pod identity with the original names all that the code has, and tests that exist."""

import ast
import asyncio
import re

import pytest
from prometheus_client import CollectorRegistry

from podpass.mic import settings as mic_settings
from podpass.mic.metrics import MicMetrics
from podpass.nmi import settings as nmi_settings
from podpass.nmi.metrics import NmiMetrics
from podpass.settings import original_flags
from podpass.telemetry.health import Health, active, health_app
from podpass.telemetry.metrics import render
from tests.shell import ROOT

PAGE = ROOT / "docs/reference/pod-identity-compat.md"
TEXT = PAGE.read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("|") and "`tests/" in line]
VERDICTS = ("same", "better", "not there", "podpass's own")
# Prometheus's own words for the sums of a histogram.
DERIVED = re.compile(r"_(bucket|sum|count)$")
A = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 3, 4, 5, 10)
B = (0.5, 1, 5, 10, 30, 60, 120, 300, 600, 900, 1200)
C = (0.5, 1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)
BUCKETS = {
    "aadpodidentity_assigned_identity_addition_duration_seconds": A,
    "aadpodidentity_assigned_identity_deletion_duration_seconds": A,
    "aadpodidentity_assigned_identity_update_duration_seconds": A,
    "aadpodidentity_mic_cycle_duration_seconds": B,
    "aadpodidentity_cloud_provider_operations_duration_seconds": B,
    "aadpodidentity_nmi_operations_duration_seconds": C,
    "aadpodidentity_imds_operations_duration_seconds": A,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_row_has_a_verdict_and_a_test_that_exists(row: str) -> None:
    _, _what, verdict, shown, _ = row.split("|")
    assert verdict.strip().startswith(VERDICTS)
    path, _, name = shown.strip().strip("`").partition("::")
    module = ast.parse((ROOT / path).read_text())
    assert name in {each.name for each in module.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("options", [mic_settings.OPTIONS, nmi_settings.OPTIONS], ids=["mic", "nmi"])
def test_each_flag_is_on_the_page(options: tuple[mic_settings.Option, ...]) -> None:
    assert [option.flag for option in options if f"`{option.flag}`" not in TEXT] == []


@pytest.mark.parametrize("unused", [original_flags.MIC, original_flags.NMI], ids=["mic", "nmi"])
def test_each_flag_without_effect_is_on_the_page(unused: dict[str, object]) -> None:
    assert [name for name in unused if f"`--{name}`" not in TEXT] == []


def test_each_event_is_on_the_page() -> None:
    source = (ROOT / "src/podpass/mic/worker.py").read_text()
    reasons = set(re.findall(r'"((?:binding|status) [a-z ]+)"', source))
    assert len(reasons) == 5
    assert [reason for reason in reasons if f"| `{reason}` |" not in TEXT] == []


def test_every_metric_has_the_originals_name_and_its_buckets() -> None:
    registry = CollectorRegistry(auto_describe=True)
    mic, nmi = MicMetrics(registry), NmiMetrics(registry)
    mic.called("vmss_get", 1.0, failed=True)
    mic.written("addition", 1.0)
    mic.api_errors.labels("get_pod_list").inc()
    nmi.answered("token", 200, "shop", "r", 1.0)
    nmi.fetched("adal_token_msi", 1.0, failed=True)
    for metrics in (mic, nmi):
        metrics.failed_turns.labels("x").inc()
    text = render(registry).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    names = {name for name in names if not name.endswith("_created")}
    assert names == set(re.findall(r"`((?:aadpodidentity|podpass_\w+?)_\w+)`", TEXT))
    # Each sample goes by a name that is declared.
    for line in text.splitlines():
        if not line.startswith("#") and "_created" not in line:
            name = re.split(r"[{ ]", line)[0]
            assert name in names or DERIVED.sub("", name) in names, name
    for name, buckets in BUCKETS.items():
        found = re.findall(rf'^{name}_bucket{{.*le="([^"]+)"', text, re.MULTILINE)
        assert tuple(float(bound) for bound in found[: len(buckets)]) == buckets


async def test_health_says_active_as_the_original_does() -> None:
    leads = asyncio.Event()
    app = health_app(Health(state=active(leads)), None)

    async def said() -> bytes:
        parts: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            parts.append(message)

        await app({"type": "http", "method": "GET", "path": "/healthz", "query_string": b""}, _nothing, send)
        return bytes(parts[1]["body"])  # type: ignore[arg-type]

    assert await said() == b"Not Active"
    leads.set()
    assert await said() == b"Active"


async def _nothing() -> dict[str, object]:
    return {}
