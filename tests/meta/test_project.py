"""Rules of the project itself: rings, the wheel's contents, generated pages, nothing of one machine in the tree."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_inner_rings_do_not_import_outer_ones() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_generated_pages_are_up_to_date() -> None:
    from docs.generate import pages

    stale = [
        str(path.relative_to(ROOT)) for path, text in pages().items() if not path.exists() or path.read_text() != text
    ]
    assert not stale, f"run `make docs`: {stale}"


def test_every_problem_is_raised_somewhere() -> None:
    from podpass.problems import CATALOGUE

    catalogue = ROOT / "src/podpass/problems/catalogue.py"
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py") if path != catalogue)
    assert [code for code in CATALOGUE if f'"{code}"' not in source] == []


def test_the_tree_names_no_machine_and_no_registry() -> None:
    # Written apart, so that this file does not name what it looks for.
    forbidden = re.compile(
        "|".join(["/wo" + "rk/", "pypi" + r"\.org", "pythonhost" + "ed", "npmj" + r"s\.org", "deb" + r"ian\.org"])
    )
    hits = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix not in {".png"} and forbidden.search(path.read_text(errors="replace"))
    ]
    assert hits == []


@pytest.mark.parametrize("name", ["dev.txt", "az.txt"])
def test_pinned_requirements_have_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9._-]+==", text, re.MULTILINE)
    assert len(pinned) > 40
    assert text.count("--hash=sha256:") >= len(pinned)


def test_every_dependency_says_what_it_is_for() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    silent = [line for line in lines if re.match(r'\s+"[a-z][\w.\[\]-]*(>=|;).*",\s*$', line)]
    assert silent == [], "each needs a comment"


def test_components_need_fewer_than_ten_packages_besides_the_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[>=;\[ ]", entry)[0] for entry in project["dependencies"]}
    assert len(names - {"cyclopts", "rich"} - {"httptools", "uvloop"}) < 10


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return next(directory.glob("*.whl"))


def test_the_wheel_holds_the_package_its_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert all(name.startswith("podpass/") for name in inside)
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/podpass").rglob("*")
        if path.is_file()
        if "__pycache__" not in path.parts
    }
    manifests = {f"podpass/podidentity/manifests/{path.name}" for path in (ROOT / "deploy/pod-identity").iterdir()}
    assert inside == source | manifests
    assert "podpass/py.typed" in inside


def test_the_readme_shows_the_demonstrations_real_program() -> None:
    program = (ROOT / "src/podpass/lab/demo/program.py").read_text().split('"""', 2)[2].strip()
    assert f"```python\n{program}\n```" in (ROOT / "README.md").read_text()


def test_links_between_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


NETWORK_MODULES = {"client.py", "app.py", "loop.py", "driver.py", "http.py", "network.py"}
# Each binds or names sockets without speaking over them: listeners are handed to serving, the fabric is the pods'
# own network, and the hermetic wall only looks at addresses.
FABRIC = tuple(f"lab/node/fabric/{name}.py" for name in ("channel", "networks", "services", "serving"))
HANDLE_SOCKETS = {"lab/listeners.py", "lab/doors/hermetic.py", *FABRIC}


def test_only_the_modules_named_for_it_speak_to_the_network() -> None:
    source = ROOT / "src/podpass"
    reaching = re.compile(r"^\s*(?:import|from) (?:aiohttp|socket|http\.client)\b", re.MULTILINE)
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if path.name not in NETWORK_MODULES and path.parent.name != "serving" and reaching.search(path.read_text())
    }
    assert found == HANDLE_SOCKETS
