"""Unlucky machines: full disks, damaged state, ports and output that can't be had, commands cut short."""

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths, labs
from podpass.problems import PodpassError

COMMAND = [sys.executable, "-m", "podpass"]


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[LabPaths]:
    """A lab that may or may not start."""
    paths = LabPaths.of("unlucky", home=tmp_path)
    yield paths
    with contextlib.suppress(PodpassError):
        stop(paths)


@pytest.fixture(scope="module")
def used_lab(tmp_path_factory: pytest.TempPathFactory) -> LabPaths:
    """A lab that ran and was stopped; copy it before damaging it."""
    home = tmp_path_factory.mktemp("used")
    paths = LabPaths.of("used", home=home)
    start(paths, home=home)
    stop(paths)
    return paths


@pytest.fixture
def damaged(used_lab: LabPaths, paths: LabPaths) -> LabPaths:
    import shutil

    shutil.copytree(used_lab.directory, paths.directory, ignore=shutil.ignore_patterns("*.sock"))
    return paths


def refusal(paths: LabPaths, **options: object) -> PodpassError:
    with pytest.raises(PodpassError) as refused:
        start(paths, home=paths.directory.parent.parent, **options)  # type: ignore[arg-type]
    assert "{" not in refused.value.cause + refused.value.hint, "a value is missing"
    assert "Traceback" not in str(refused.value)
    return refused.value


def on_disk(paths: LabPaths, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(paths.database)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("port", [99_999, -5])
def test_a_port_that_does_not_exist_is_named(paths: LabPaths, port: int) -> None:
    refused = refusal(paths, api_port=port)
    assert refused.problem.code == "PP112"
    assert f"127.0.0.1:{port}: there is no such port" in refused.cause
    assert "--api-port" in refused.hint


def test_a_port_in_use_is_named_with_its_option(paths: LabPaths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = refusal(paths, proxy_port=taken.getsockname()[1])
    assert refused.problem.code == "PP101"
    assert "--proxy-port" in refused.hint


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA user_version=99",
        "UPDATE documents SET body='{{{' WHERE kind='scenario'",
        "UPDATE documents SET body='{\"version\": 7}' WHERE kind='scenario'",
        "ALTER TABLE documents RENAME COLUMN body TO bodies",
    ],
)
def test_state_that_is_not_ours_is_said_to_be_and_reset_mends_it(damaged: LabPaths, statement: str) -> None:
    on_disk(damaged, statement)
    refused = refusal(damaged)
    assert refused.problem.code == "PP107"
    assert "lab reset" in refused.hint
    delete(damaged)
    assert start(damaged, home=damaged.directory.parent.parent)["ready"]


def test_ports_that_were_kept_and_can_not_be_are_exchanged(damaged: LabPaths) -> None:
    on_disk(damaged, "UPDATE documents SET body='70000' WHERE kind='port' AND key='api'")
    status = start(damaged, home=damaged.directory.parent.parent)
    assert any("70000" in remark for remark in status["notes"])


@pytest.mark.parametrize("file", ["ca/ca.key", "cluster/service-account.pem", "entra/entra-keys.json"])
def test_a_damaged_key_is_said_to_be(damaged: LabPaths, file: str) -> None:
    (damaged.keys / file).write_text("not a key\n")
    refused = refusal(damaged)
    assert refused.problem.code == "PP107"
    assert str(damaged.keys) in refused.cause


@pytest.mark.parametrize("name", ["lab.sqlite", "lab.lock", "kubeconfig"])
def test_a_directory_in_a_file_s_place_is_a_clear_sentence(paths: LabPaths, name: str) -> None:
    (paths.directory / name).mkdir(parents=True)
    assert refusal(paths).problem.code == "PP105"


def test_a_disk_that_fills_up_is_a_clear_sentence(paths: LabPaths) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses the write either way."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, limits[1]))
    try:
        refused = refusal(paths)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.problem.code == "PP105"
    assert "PODPASS_HOME" in refused.hint
    assert start(paths, home=paths.directory.parent.parent)["ready"], "and nothing half-written stands in the way"


def test_a_lab_that_dies_while_it_starts_is_said_to_have(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    refused = refusal(paths)
    assert refused.problem.code == "PP104"
    assert "ended with exit code 1" in refused.cause


def test_a_running_lab_is_not_deleted_under_its_feet(paths: LabPaths) -> None:
    start(paths, home=paths.directory.parent.parent)
    with pytest.raises(PodpassError, match="already running"):
        delete(paths)
    assert paths.database.exists()


def test_a_file_where_the_lab_would_be_is_not_called_gone(podpass, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "labs").mkdir()
    (tmp_path / "labs" / "default").write_text("")
    for arguments in (["lab", "reset", "--yes"], ["lab", "up"]):
        done = podpass(*arguments)
        assert done.returncode == 1
        assert "PP105" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "\x00", "a: &a [*a, *a]", "&a [" * 5_000, "[" * 50_000])
def test_a_scenario_of_nonsense_is_refused_with_its_place(paths: LabPaths, tmp_path: Path, text: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    refused = refusal(paths, scenario=file)
    assert refused.problem.code == "PP501"
    assert "line " in str(refused)
    assert not paths.database.exists(), "nothing was made for it"


def test_a_scenario_without_an_end_is_refused(paths: LabPaths, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    (large := tmp_path / "large.yaml").write_bytes(b"#" * 2_000_000)
    (binary := tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    for file, reason in (
        (Path("/dev/zero"), "regular"),
        (fifo, "regular"),
        (large, "larger"),
        (binary, "UTF-8"),
        (tmp_path, "directory"),
    ):
        refused = refusal(paths, scenario=file)
        assert refused.problem.code == "PP502"
        assert reason in refused.cause


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Tests that were started in the background ignore an interrupt, and what they start would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGINT, "A cluster and a cloud"),
        (signal.SIGINT, "The pod, hop by hop"),
        (signal.SIGTERM, "A cluster and a cloud"),
        (signal.SIGHUP, "The pod, hop by hop"),
    ],
)
@pytest.mark.usefixtures("_interruptible")
def test_a_demo_cut_short_leaves_no_lab_behind(tmp_path: Path, number: signal.Signals, after: str) -> None:
    environ = {**os.environ, "PODPASS_HOME": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, "demo"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith(after):
                break
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert errors == ""
    assert labs(tmp_path) == []
    assert not daemons_of(tmp_path)


def daemons_of(home: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "podpass.lab.daemon" in command and str(home) in command:
                found.append(entry.name)
    return found


def shell(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PODPASS_HOME": str(home), "PODPASS": " ".join(COMMAND)}
    return subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_output_that_nobody_reads_is_no_failure(tmp_path: Path) -> None:
    done = shell('$PODPASS demo | head -1; echo "${PIPESTATUS[0]}"', tmp_path)
    assert done.stdout.split() == ["0"]
    assert done.stderr == ""
    assert labs(tmp_path) == []


def test_output_that_is_closed_is_no_failure(tmp_path: Path) -> None:
    done = shell("$PODPASS lab list >&-", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell("$PODPASS lab status 2>&-", tmp_path).returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_on_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    for command in ("", "demo"):
        done = shell(f"$PODPASS {command} >/dev/full", tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("podpass: error: No space left on device")
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert labs(tmp_path) == []


NO_NAMESPACES = 'unshare -U -r bash -c "echo 0 > /proc/sys/user/max_user_namespaces && exec $PODPASS {}"'


def test_without_namespaces_the_demo_says_why_and_how_pods_run(tmp_path: Path) -> None:
    if shell(NO_NAMESPACES.format("--version"), tmp_path).returncode:
        pytest.skip("this machine has no namespaces to take away")
    done = shell(NO_NAMESPACES.format("demo"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pods run in: plain" in done.stdout
    assert "note: plain processes: " in done.stdout
    assert "read secret" in done.stdout
    forced = shell(NO_NAMESPACES.format("lab up --runtime sandbox"), tmp_path)
    assert forced.returncode == 1
    assert "PP109" in forced.stderr
    assert "podpass lab up --runtime plain" in forced.stderr
