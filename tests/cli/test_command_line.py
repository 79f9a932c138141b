"""The command line's manners: examples first, results apart from notes, one-line errors, fixed exit codes."""

import json
from pathlib import Path

import pytest

from podpass import __version__
from podpass.cli import run
from podpass.problems import CATALOGUE


def test_without_arguments_there_are_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "podpass demo" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["lab", "upp"], ["demo", "--break", "nothing"], ["lab", "up", "--api-port", "x"]]
)
def test_wrong_usage_is_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.startswith("podpass: error: ")


def test_a_lab_that_does_not_run_is_a_sentence_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODPASS_HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["lab", "status", "--name", "nowhere"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "podpass: error: lab nowhere is not running",
        "cause: No process answers for lab nowhere.",
        "hint:  podpass lab up --name nowhere",
        "code:  PP103",
    ]


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "-a", "a" * 41])
def test_a_labs_name_never_becomes_a_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODPASS_HOME", str(tmp_path))
    assert run(["lab", "status", f"--name={name}"]) == 1
    assert "PP108" in capsys.readouterr().err


def test_problems_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["problem", "--output", "json"]) == 0
    assert [entry["code"] for entry in json.loads(capsys.readouterr().out)] == list(CATALOGUE)
    assert run(["problem", "pp103"]) == 0
    assert "is already" not in capsys.readouterr().out
    assert run(["problem", "PP999"]) == 1


@pytest.mark.parametrize("no_color", ["1", ""])
def test_colour_is_for_terminals_and_no_color_wins(
    no_color: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", no_color)
    run(["lab", "status", "--name", "A"])
    assert ("\x1b[" in capsys.readouterr().err) == (no_color == "")
