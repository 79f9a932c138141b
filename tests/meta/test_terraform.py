"""The Terraform module for the real cloud, which nothing here can run: read, and held against the template that can.

Its format is `terraform fmt`'s: two blanks for each level, one blank line between blocks, and the equals signs of
arguments on neighbouring lines in one column.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "deploy/terraform/workload-identity"
FILES = sorted(MODULE.glob("*.tf"))
TEMPLATE = json.loads((ROOT / "docs/examples/w1/azuredeploy.json").read_text())
# What Terraform calls the types of the template; the group is the template's surroundings.
TYPES = {
    "azurerm_kubernetes_cluster": "Microsoft.ContainerService/managedClusters",
    "azurerm_user_assigned_identity": "Microsoft.ManagedIdentity/userAssignedIdentities",
    "azurerm_federated_identity_credential": (
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
    ),
    "azurerm_role_assignment": "Microsoft.Authorization/roleAssignments",
}


def plain(value: Any) -> Any:
    """What hcl2 read, without the quotes that it leaves around texts and names, and without its own marks."""
    if isinstance(value, dict):
        return {plain(name): plain(one) for name, one in value.items() if not name.startswith("__")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value[1:-1] if isinstance(value, str) and value[:1] == value[-1:] == '"' else value


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    """The module's blocks by kind, with those of all files together."""
    blocks: dict[str, Any] = {}
    for path in FILES:
        for kind, found in plain(hcl2.loads(path.read_text())).items():
            blocks.setdefault(kind, []).extend(found)
    return blocks


def resource(module: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = (block[kind]["this"] for block in module["resource"] if kind in block)
    return dict(found)


def test_it_makes_what_the_template_makes(module: dict[str, Any]) -> None:
    kinds = {name for block in module["resource"] for name in block}
    assert kinds == {"azurerm_resource_group", *TYPES}
    assert {one["type"] for one in TEMPLATE["resources"]} == set(TYPES.values())
    cluster = resource(module, "azurerm_kubernetes_cluster")
    assert (cluster["oidc_issuer_enabled"], cluster["workload_identity_enabled"]) == (True, True)
    credential = resource(module, "azurerm_federated_identity_credential")
    assert credential["audience"] == ["api://AzureADTokenExchange"]
    assert credential["subject"] == "system:serviceaccount:${var.namespace}:${var.service_account}"
    assert "azurerm_kubernetes_cluster.this.oidc_issuer_url" in credential["issuer"]


def test_its_names_and_outputs_are_the_templates(module: dict[str, Any]) -> None:
    variables = {name: body for block in module["variable"] for name, body in block.items()}
    for name, parameter in (
        ("cluster_name", "clusterName"),
        ("node_count", "nodeCount"),
        ("identity_name", "identityName"),
        ("namespace", "namespace"),
        ("service_account", "serviceAccount"),
    ):
        assert variables[name]["default"] == TEMPLATE["parameters"][parameter]["defaultValue"]
    outputs = {name for block in module["output"] for name in block}
    assert outputs == {re.sub(r"([A-Z])", r"_\1", name).lower() for name in TEMPLATE["outputs"]}
    assert all("description" in body for body in variables.values())


def test_it_says_that_it_is_not_run_here() -> None:
    assert "not run by podpass's tests" in (MODULE / "README.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_has_the_canonical_format(path: Path) -> None:
    text = path.read_text()
    assert text.endswith("}\n")
    assert "\t" not in text
    assert "\n\n\n" not in text
    level = 0
    for line in text.splitlines():
        assert line == line.rstrip()
        level -= line.lstrip().startswith(("}", "]"))
        if line:
            assert len(line) - len(line.lstrip()) == 2 * level, line
        level += line.endswith(("{", "["))
    assert level == 0
    arguments = re.compile(r"(?P<before> *[\w-]+ *)= \S.*[^{\[]")
    for is_argument, lines in itertools.groupby(text.splitlines(), key=lambda line: bool(arguments.fullmatch(line))):
        columns = {line.index("=") for line in lines} if is_argument else set()
        assert len(columns) <= 1, f"the arguments of {path.name} are not in line"
