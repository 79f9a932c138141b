"""The table of what the Kubernetes API does names tests that exist, or says plainly what is missing."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "kubernetes.md"
_ROW = re.compile(r"\| (?P<what>.+?) \| (?P<proof>.+?) \|")
_TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def rows() -> list[tuple[str, str]]:
    """What each row of every table is about, and how it is proved."""
    found = (_ROW.fullmatch(line.strip()) for line in PAGE.read_text().splitlines())
    return [
        (row["what"], row["proof"])
        for row in found
        if row is not None and not set(row["what"]) <= set("-: ") and row["proof"] != "Proof"
    ]


def _tests() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        names.setdefault(path.name, set()).update(re.findall(r"def (test_\w+)", path.read_text()))
    return names


def test_every_row_names_a_test_that_exists_or_a_gap() -> None:
    tests, faults = _tests(), []
    for what, proof in rows():
        if proof.startswith("gap: "):
            continue
        named = _TEST.findall(proof)
        if not named:
            faults.append(f"{what}: neither a test nor `gap: reason`")
        faults += [f"{what}: no {file}::{test}" for file, test in named if test not in tests.get(file, ())]
    assert not faults, "\n".join(faults)


def test_nothing_is_listed_twice() -> None:
    listed = [what for what, _ in rows()]
    assert len(listed) > 50
    assert {what for what in listed if listed.count(what) > 1} == set()


def test_every_line_of_a_table_has_two_cells() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and line != "|---|---|"]
    assert [line for line in lines if not _ROW.fullmatch(line)] == []
