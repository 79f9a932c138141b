"""`podpass lab scenario check`: a file's faults, or what it declares, without a lab."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "scenario.yaml"


def test_a_good_file_is_counted(podpass: Callable[..., Any]) -> None:
    done = podpass("lab", "scenario", "check", str(EXAMPLE))
    assert (done.returncode, done.stderr) == (0, f"{EXAMPLE} is fine\n")
    assert "    3  vaults\n" in done.stdout


def test_every_fault_of_a_bad_file_is_named_with_its_line(podpass: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("version: 1\nidentites: []\nresourceGroups: [{name: a, subscription: labb}]\n")
    done = podpass("lab", "scenario", "check", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 2, column 12: identites: is not known here; did you mean identities?" in done.stderr
    assert "line 3, column 42: resourceGroups[0].subscription: 'labb' is not among subscriptions;" in done.stderr
    assert "PP501" in done.stderr
