"""Which calls on the Azure side a test makes, with which clients: recorded once, checked whenever the test runs.

`pytest --record-azure` writes what the tests that it runs prove to tests/azure_proofs.json; run it without xdist, as
each worker would write a file of its own. Without that option, a test that the file names has to make the calls again
that are put down to it. What the lab's gateway saw is believed, so a client is who its User-Agent says.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import pytest

from docs.azure_proofs import PLAIN_CLIENT, PROOFS, proofs
from podpass.lab.doors.traffic import Traffic
from tests.running_lab import RunningLab
from tests.shell import Shell

GATEWAYS: list[Traffic] = []
"""Of the gateways that tests have opened in this process."""
IN_PROCESS: list[dict[str, Any]] = []
"""Requests that went straight into an app."""
_SDK = re.compile(r"azsdk-(python|js|go|net|java)-([a-z0-9-]+)/")
_NAMES = {
    "python": "azure-{}",
    "js": "@azure/{}",
    "go": "azure-sdk-for-go {}",
    "net": "Azure SDK for .NET {}",
    "java": "Azure SDK for Java {}",
}


def client_of(user_agent: str) -> str:
    """The client that a User-Agent names."""
    if "AZURECLI/" in user_agent:
        return "az"
    if "Terraform" in user_agent or "HashiCorp" in user_agent:
        return "Terraform"
    if (found := _SDK.search(user_agent)) is not None:
        return _NAMES[found[1]].format(found[2])
    return PLAIN_CLIENT


Proof = tuple[str, str, str]
"""Service, call, client."""


@dataclass(slots=True)
class Watch:
    """What the gateways had seen when a test began."""

    gateways: int = field(default_factory=lambda: len(GATEWAYS))
    in_process: int = field(default_factory=lambda: len(IN_PROCESS))
    labs: list[tuple[RunningLab, int]] = field(default_factory=list)

    @classmethod
    def begin(cls, item: pytest.Item) -> "Watch":
        watch = cls()
        for value in getattr(item, "funcargs", {}).values():
            lab = value.lab if isinstance(value, Shell) else value
            if isinstance(lab, RunningLab) and lab not in [one for one, _ in watch.labs]:
                watch.labs.append((lab, max((one["number"] for one in lab.control.traffic()), default=0)))
        return watch

    def seen(self) -> dict[Proof, set[str]]:
        """The calls that succeeded, with the API versions."""
        requests = [*IN_PROCESS[self.in_process :]]
        requests += [asdict(one) for traffic in GATEWAYS[self.gateways :] for one in traffic.after(0)]
        for lab, number in self.labs:
            requests += lab.control.traffic(after=number)
        return proven(requests)


def proven(requests: Iterable[dict[str, Any]]) -> dict[Proof, set[str]]:
    # Imported here, as every run of any test comes by this module: it takes all services of the Azure side.
    from docs.azure_coverage import key_of

    found: dict[Proof, set[str]] = defaultdict(set)
    for one in requests:
        if one["status"] < 400 and (key := key_of(one["service"], one["method"], one["path"], _graph())):
            found[one["service"], key, client_of(one["client"])] |= {one["api_version"]} - {""}
    return found


@cache
def _graph() -> Any:
    from docs.azure_coverage import graph_operations

    return graph_operations()


@cache
def expected() -> dict[str, set[Proof]]:
    """What each test has to prove again."""
    found: dict[str, set[Proof]] = defaultdict(set)
    for service, calls in proofs().items():
        for key, clients in calls.items():
            for client, proof in clients.items():
                found[proof["test"]].add((service, key, client))
    return found


def check(test: str, seen: Iterable[Proof]) -> None:
    """Raises AssertionError when the test no longer does what is put down to it."""
    lost = expected()[test] - set(seen)
    calls = "; ".join(f"{key} of {service} by {client}" for service, key, client in sorted(lost))
    assert not lost, f"no longer proven: {calls}. If that is right: pytest --record-azure {test}, then make docs"


@dataclass(slots=True)
class Recording:
    """Collects what tests prove, and writes the file."""

    found: dict[str, dict[Proof, set[str]]] = field(default_factory=lambda: defaultdict(dict))

    def keep(self, test: str, seen: dict[Proof, set[str]]) -> None:
        for proof, versions in seen.items():
            self.found[test][proof] = self.found[test].get(proof, set()) | versions

    def write(self, ran: set[str]) -> None:
        """What is proven by a test that was not run stays as it is put down."""
        from docs.azure_coverage import rows

        document: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
        for service, calls in proofs().items():
            for key, clients in calls.items():
                for client, proof in clients.items():
                    if proof["test"] not in ran:
                        document[service][key][client] = proof
        for test in sorted(self.found):
            for (service, key, client), versions in self.found[test].items():
                kept = document[service][key].get(client)
                # One test is enough, and the file stays small; versions are those of that test.
                if kept is None or len(kept["versions"]) < len(versions):
                    document[service][key][client] = {"test": test, "versions": sorted(versions)}
        known = {(row.service, row.key) for row in rows()}
        shown = {
            service: {key: document[service][key] for key in sorted(document[service]) if (service, key) in known}
            for service in sorted(document)
        }
        PROOFS.write_text(json.dumps(shown, indent=1, sort_keys=True) + "\n")
