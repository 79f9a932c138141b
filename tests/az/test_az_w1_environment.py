"""The environment of the first walkthrough three ways: a scenario, a script of az, and a template. One meaning."""

import json
import re
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.shell import EXAMPLES, SIGN_IN, Shell, shell_in_a_lab
from tests.stock_az import needs_az, warm_az

pytestmark = [*needs_az]

FORMS = EXAMPLES / "w1"
GROUP = "azcli"
_GENERATED = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{24}\b|\b[0-9a-f]{8}\b"
)
_OF_THE_MAKING = frozenset({"systemData", "createdOn", "createdBy", "updatedOn", "updatedBy", "eTag", "resourceUID"})
_OF_AZ = frozenset({"bootstrapProfile", "storageProfile", "scaleSetPriority", "upgradeSettings"})
"""What `az aks create` says of every cluster, whether asked or not."""


@pytest.fixture(scope="module")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    lab = shell_in_a_lab(tmp_path_factory.mktemp("w1"), scenario=FORMS / "scenario.yaml")
    with lab as shell, warm_az(shell.environment) as directory:
        shell.put_first(directory)
        shell(SIGN_IN)
        yield shell


def reader(az: Shell) -> Callable[[str], Any]:
    """Reads from Resource Manager, with the token that az has; az itself takes a second for each answer."""
    subscription, token = az.json("az account get-access-token --query '[subscription, accessToken]'")
    trust = ssl.create_default_context(cafile=az.environment["REQUESTS_CA_BUNDLE"])
    proxy = urllib.request.ProxyHandler({"https": az.environment["HTTPS_PROXY"]})
    opener = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=trust))

    def get(path: str) -> Any:
        url = f"https://management.azure.com/subscriptions/{subscription}/{path}{'&' if '?' in path else '?'}"
        request = urllib.request.Request(f"{url}api-version=2024-11-01", headers={"Authorization": f"Bearer {token}"})
        with opener.open(request) as answer:
            return json.load(answer)

    return get


def environment(get: Callable[[str], Any]) -> dict[str, Any]:
    """Everything that Resource Manager has of the group, by its type and name, without what is generated."""
    base = f"resourceGroups/{GROUP}"
    identities = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    listed = get(f"{base}/resources")["value"]
    found = [get(base), *(get(f"{base}/providers/{one['type']}/{one['name']}") for one in listed)]
    for one in get(f"{base}/{identities}")["value"]:
        found += get(f"{base}/{identities}/{one['name']}/federatedIdentityCredentials")["value"]
    roles = get(f"{base}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()")["value"]
    found += [one for one in roles if one["properties"]["scope"].endswith(GROUP)]
    return {f"{one['type']} {known(one['name'])}": meant(one) for one in found}


def known(text: str) -> str:
    return _GENERATED.sub("GENERATED", text)


def meant(value: Any) -> Any:
    """A document without generated ids, and without members that say nothing."""
    if isinstance(value, Mapping):
        inner = {known(name): meant(one) for name, one in value.items() if name not in _OF_THE_MAKING | _OF_AZ}
        return {name: one for name, one in inner.items() if one not in (None, False, "", [], {})}
    if isinstance(value, list):
        return [meant(one) for one in value]
    return known(value) if isinstance(value, str) else value


def test_three_forms_make_the_same_resources(az: Shell) -> None:
    get = reader(az)
    by_scenario = environment(get)
    az(f"az group delete -n {GROUP} --yes")
    printed = az(f"{FORMS}/environment.sh {GROUP} westeurope")
    by_script = environment(get)
    assert az(f"{FORMS}/environment.sh {GROUP} westeurope") == printed
    az(f"az group delete -n {GROUP} --yes; az group create -n {GROUP} -l westeurope")
    outputs = az.json(
        f"az deployment group create -g {GROUP} --template-file {FORMS}/azuredeploy.json"
        f" --parameters {FORMS}/azuredeploy.parameters.json --query properties.outputs"
    )
    by_template = environment(get)
    assert by_script == by_template
    assert by_scenario == by_template
    assert sorted(key.split()[0].rpartition("/")[2] for key in by_template) == [
        "federatedIdentityCredentials",
        "managedClusters",
        "resourceGroups",
        "roleAssignments",
        "userAssignedIdentities",
    ]
    credential = next(one for key, one in by_template.items() if "federated" in key)["properties"]
    assert credential["subject"] == "system:serviceaccount:azcli:azcli-sa"
    names = [line.partition("=")[0] for line in printed.splitlines()]
    assert sorted(names) == sorted(outputs)
