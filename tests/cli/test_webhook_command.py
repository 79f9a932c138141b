"""`podpass webhook`: every documented flag is there, and bad settings are named all at once."""

import inspect

import pytest

from podpass.cli import run
from podpass.cli.webhook import webhook
from podpass.webhook.settings import OPTIONS


def test_the_command_has_exactly_the_documented_flags() -> None:
    flags = {f"--{name.replace('_', '-')}" for name in inspect.signature(webhook).parameters}
    documented = {option.flag for option in OPTIONS if option.flag}
    assert flags == documented | {"--kubeconfig", "--config"}


def test_bad_settings_are_all_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("AZURE_TENANT_ID", raising=False)
    assert run(["webhook", "--layout", "v9", "--webhook-addr", "nowhere"]) == 1
    said = capsys.readouterr().err
    assert "AZURE_TENANT_ID" in said
    assert "--layout" in said
    assert "--webhook-addr" in said


def test_a_cluster_that_is_not_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    assert run(["webhook"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("podpass: error: ")
    assert "code:  PP402" in said
