"""`az deployment group`, `az deployment sub`, and the operations of both."""

import json
from pathlib import Path

import pytest

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
# With what people write into templates and JSON has not: comments, and a text that runs over a line.
TEMPLATE = """{
  // An identity, and what is told of it.
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {
    "name": { "type": "string" },
    "word": { "type": "securestring" } /* never shown */
  },
  "resources": [
    {
      "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
      "apiVersion": "2023-01-31",
      "name": "[parameters('name')]",
      "location": "[resourceGroup().location]",
      "tags": { "length": "[string(length(
        parameters('word')))]" }
    }
  ],
  "outputs": {
    "clientId": { "type": "string", "value": "[reference(parameters('name')).clientId]" }
  }
}
"""
WIDE = {
    "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "languageVersion": "2.0",
    "resources": {
        "group": {
            "type": "Microsoft.Resources/resourceGroups",
            "apiVersion": "2022-09-01",
            "name": "deployed-wide",
            "location": "northeurope",
        }
    },
    "outputs": {"where": {"type": "string", "value": "[deployment().location]"}},
}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.json"
    path.write_text(TEMPLATE)
    return path


def test_a_deployment_from_validation_to_deletion(az: Shell, template: Path) -> None:
    az("az group create -n deployed -l eastus")
    file = f"-g deployed --template-file {template} --parameters name=app word=hush-hush"
    assert az.json(f"az deployment group validate {file} --query properties.provisioningState") == "Succeeded"
    foreseen = az(f"az deployment group what-if {file}")
    assert f"+ {IDENTITIES}/app" in foreseen
    assert "Resource changes: 1 to create." in foreseen
    made = az.json(f"az deployment group create -n first {file}")["properties"]
    client = az("az identity show -g deployed -n app --query clientId -o tsv").strip()
    assert made["outputs"] == {"clientId": {"type": "String", "value": client}}
    assert made["parameters"]["word"] == {"type": "SecureString"}
    assert az.json("az identity show -g deployed -n app --query tags") == {"length": "9"}
    assert "= " + f"{IDENTITIES}/app" in az(f"az deployment group what-if {file}")
    assert az.json("az deployment group show -g deployed -n first --query properties.mode") == "Incremental"
    assert "first" in az("az deployment group list -g deployed -o table")
    told = az.json("az deployment operation group list -g deployed -n first --query '[].properties.targetResource.id'")
    assert [one.rpartition("/")[2] for one in told] == ["app"]
    exported = az.json("az deployment group export -g deployed -n first")
    assert exported["outputs"]["clientId"]["type"] == "string"
    az("az deployment group delete -g deployed -n first")
    assert "DeploymentNotFound" in az.refused("az deployment group show -g deployed -n first", 3)
    az("az group delete -n deployed --yes")


def test_what_is_wrong_is_told_before_and_after_the_beginning(az: Shell, template: Path, tmp_path: Path) -> None:
    az("az group create -n failing -l eastus")
    said = az.refused(f"az deployment group create -g failing --template-file {template} --parameters name=x word=y", 1)
    assert "DeploymentFailed" in said
    assert "InvalidResourceName" in said
    document = {"$schema": SCHEMA, "contentVersion": "1.0.0.0"}
    for resources, wanted in (
        ([{"type": IDENTITIES, "apiVersion": "2023-01-31", "name": "[nothing()]"}], "'nothing' is not valid"),
        (
            [{"type": IDENTITIES, "apiVersion": "2023-01-31", "name": "app", "location": "mars"}],
            "'mars' is not available",
        ),
    ):
        broken = tmp_path / "broken.json"
        broken.write_text(json.dumps({**document, "resources": resources}))
        assert wanted in az.refused(f"az deployment group validate -g failing --template-file {broken}", 1)
    az("az group delete -n failing --yes")


def test_a_deployment_to_the_subscription(az: Shell, tmp_path: Path) -> None:
    path = tmp_path / "wide.json"
    path.write_text(json.dumps(WIDE))
    made = az.json(f"az deployment sub create -n wide -l westeurope --template-file {path}")
    assert made["properties"]["outputs"]["where"]["value"] == "westeurope"
    assert az("az group show -n deployed-wide --query location -o tsv").strip() == "northeurope"
    assert "wide" in az("az deployment sub list -o table")
    told = az.json("az deployment operation sub list -n wide --query '[].properties.provisioningOperation'")
    assert sorted(told) == ["Create", "EvaluateDeploymentOutput"]
    az("az deployment sub delete -n wide; az group delete -n deployed-wide --yes")
