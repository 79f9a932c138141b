"""The lab from Python: as a context manager, side by side, and as the pytest fixtures that users get."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from podpass import Lab
from podpass.kube import config
from podpass.kube.client import Client
from podpass.kube.resources import CONFIGMAPS, NODES
from podpass.problems import PodpassError

USERS_TEST = """
import json, os, subprocess

def test_my_application(podpass_lab, podpass_environment):
    assert os.environ["KUBECONFIG"] == str(podpass_lab.paths.kubeconfig)
    done = subprocess.run(["kubectl", "get", "nodes", "-o", "name"], capture_output=True, text=True, check=True)
    assert done.stdout == "node/lab-node\\n"

def test_the_environment_is_as_it_was_before():
    assert "PODPASS_LAB" not in os.environ
"""


async def test_two_labs_live_side_by_side_and_know_nothing_of_each_other(tmp_path: Path) -> None:
    async with Lab("one", home=tmp_path, runtime="plain") as one, Lab("two", home=tmp_path, runtime="plain") as two:
        assert one.endpoints.api != two.endpoints.api
        assert one.endpoints.tenant_id != two.endpoints.tenant_id
        async with Client(config.from_kubeconfig([one.paths.kubeconfig])) as first:
            await first.create(CONFIGMAPS, {"metadata": {"name": "mine"}}, "default")
            assert [node["metadata"]["name"] for node in (await first.list(NODES)).items] == ["lab-node"]
        async with Client(config.from_kubeconfig([two.paths.kubeconfig])) as second:
            names = [found["metadata"]["name"] for found in (await second.list(CONFIGMAPS, "default")).items]
            assert names == ["kube-root-ca.crt"]


async def test_a_lab_of_the_same_name_runs_once(tmp_path: Path) -> None:
    async with Lab("one", home=tmp_path, runtime="plain"):
        with pytest.raises(PodpassError, match="already running"):
            async with Lab("one", home=tmp_path, runtime="plain"):
                pass


async def test_a_lab_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with Lab("one", home=tmp_path, runtime="plain") as lab:
        before = lab.endpoints
        lab.advance(3600)
        lab.set_faults({"propagation_delay_seconds": 5})
    async with Lab("one", home=tmp_path, runtime="plain") as again:
        assert again.endpoints == before
        assert again.clock.offset_seconds == 3600
        assert again.faults.propagation_delay_seconds == 5


def test_users_get_fixtures_from_the_installed_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_application.py").write_text(USERS_TEST)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PODPASS_", "PYTEST_"))}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("home", ["with space and ünicode", f"{'x' * 80}/{'y' * 60}"], ids=["spaces", "long"])
async def test_any_directory_can_be_the_home(tmp_path: Path, home: str) -> None:
    (tmp_path / home).mkdir(parents=True)
    async with Lab("one", home=tmp_path / home) as lab:
        assert lab.paths.control.exists()
        assert len(str(lab.paths.control).encode()) < 108, "the longest path of a unix socket"


async def test_a_scenario_that_a_service_refuses_changes_nothing(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "version: 1\n"
        "resourceGroups: [{name: g, subscription: lab}]\n"
        "identities: [{name: orders, resourceGroup: g}]\n"
        "roleAssignments: [{identity: orders, role: No such role, scope: {resourceGroup: g}}]\n"
    )
    with pytest.raises(PodpassError, match="No such role") as refused:
        async with Lab("one", home=tmp_path, scenario=scenario, runtime="plain"):
            pass
    assert refused.value.problem.code == "PP504"
    async with Lab("one", home=tmp_path, runtime="plain") as lab:
        assert lab.status()["identities"] == []
