"""Each fault's remedy, taken literally from what podpass printed, makes the same pod work.

az is not part of this suite; its commands are carried out by the calls that az makes for them.
"""

import argparse
import shlex
from dataclasses import replace
from importlib.resources import files

import pytest

from podpass.cli.journey import blamed
from podpass.lab.demo.client import Identity, Operator
from podpass.lab.demo.plan import Break, Plan, mends_in_lab, plan
from podpass.problems import CATALOGUE
from tests.running_lab import RunningLab

PROGRAM = files("podpass.lab.demo").joinpath("program.py").read_text()


def options(command: list[str]) -> dict[str, str]:
    """The `--name value` pairs of a command line."""
    names = [word.removeprefix("--").replace("-", "_") for word in command if word.startswith("--")]
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}")
    return vars(parser.parse_known_args(command)[0])


async def as_az_does(operator: Operator, command: str) -> None:
    words = shlex.split(command)
    given = options(words)
    group = f"/subscriptions/{operator.endpoints.subscription_id}/resourceGroups/{given.get('resource_group')}"
    match words[1:4]:
        case ["identity", "federated-credential", "create" | "update"]:
            path = (
                f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{given['identity_name']}"
                f"/federatedIdentityCredentials/{given['name']}"
            )
            trust = {"issuer": given["issuer"], "subject": given["subject"], "audiences": [given["audiences"]]}
            await operator.arm("PUT", path, "2024-11-30", {"properties": trust})
        case ["role", "assignment", "create"]:
            await operator.assign(given["scope"], given["role"], given["assignee_object_id"])
        case _:
            raise AssertionError(f"no such az command is known here: {command}")


async def run_pod(operator: Operator, wanted: Plan, *, create: bool = True) -> bool:
    """Run the pod to its end; whether it read the secret."""
    if create:
        await operator.start_pod(wanted, PROGRAM)
    pod = await operator.finished(wanted)
    return str(pod["status"]["phase"]) == "Succeeded"


@pytest.mark.parametrize("broken", Break)
def test_the_remedy_as_printed_mends_the_fault(running_lab: RunningLab, broken: Break) -> None:
    endpoints = running_lab.endpoints
    # One namespace and identity for each fault, so that they can share a lab.
    name = broken.value
    faulty = plan(issuer=endpoints.issuer, suffix=name[:8], broken=broken)
    subject = faulty.subject if broken is Break.WRONG_SUBJECT else f"system:serviceaccount:{name}:orders"
    faulty = replace(faulty, namespace=name, identity=f"orders-{name}", subject=subject)

    async def set_up(operator: Operator) -> tuple[Identity, str]:
        identity, stored = await operator.set_up_cloud(faulty)
        await operator.set_up_cluster(faulty, identity)
        return identity, stored

    running_lab.operate(set_up)
    running_lab.control.set_faults(
        {"issuer_unreachable": faulty.issuer_unreachable, "cluster_skew_seconds": faulty.cluster_skew_seconds}
    )
    before = int(running_lab.control.status()["journal"]["newest"])
    try:
        assert not running_lab.operate(lambda operator: run_pod(operator, faulty))
        event = blamed(running_lab.control.journal(after=before))
        assert event is not None
        remedy = CATALOGUE[event["problem"]].remedy_for(**event["decision"])
        if mends_in_lab(broken):
            running_lab.control.set_faults({"issuer_unreachable": False, "cluster_skew_seconds": 0})
    finally:
        running_lab.control.set_faults({"issuer_unreachable": False, "cluster_skew_seconds": 0})

    recreated = False
    if remedy.startswith("az "):
        running_lab.operate(lambda operator: as_az_does(operator, remedy))
    elif remedy.startswith("kubectl "):
        command = remedy.splitlines()[0].partition("   (")[0]
        running_lab.run("bash", "-c", f"set -o pipefail; {command}", PATH=running_lab.path)
        recreated = broken is Break.NO_LABEL
    else:
        assert broken is Break.ISSUER_DOWN
        running_lab.run("bash", "-c", remedy)

    async def again(operator: Operator) -> bool:
        if not recreated and broken is not Break.EXPIRED:
            await operator.delete_pod(faulty)
        return await run_pod(operator, faulty, create=not recreated)

    assert running_lab.operate(again), f"still broken after: {remedy}"
