"""The definitions of pod identity and of the secrets store, as their charts install them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.cluster.core_api import MERGE
from tests.lab.cluster.customresources.custom_resources import definition, established, schema

ROOT = Path(__file__).parents[4]
POD_IDENTITY = ROOT / "deploy" / "pod-identity" / "00-crds.yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def provider_classes() -> dict[str, Any]:
    """SecretProviderClass: two versions of one schema, the older one deprecated, no status subresource."""
    data = {"type": "object", "properties": {"objectName": {"type": "string"}, "key": {"type": "string"}}}
    secret = {"type": "object", "properties": {
        "secretName": {"type": "string"}, "type": {"type": "string"}, "labels": TEXTS, "annotations": TEXTS,
        "data": {"type": "array", "items": data},
    }}  # fmt: skip
    spec = {"type": "object", "properties": {
        "provider": {"type": "string"}, "parameters": TEXTS, "secretObjects": {"type": "array", "items": secret},
    }}  # fmt: skip
    found = definition(
        "secretproviderclasses.secrets-store.csi.x-k8s.io", "SecretProviderClass", schema=schema(spec=spec)
    )
    older = {**found["spec"]["versions"][0], "name": "v1alpha1", "storage": False, "deprecated": True}
    found["spec"]["versions"].append(older)
    return found


async def test_the_kinds_of_pod_identity(cluster_keys: Path) -> None:
    definitions = list(yaml.safe_load_all(POD_IDENTITY.read_text()))
    path = "/apis/aadpodidentity.k8s.io/v1/namespaces/default"
    async with established(cluster_keys, *definitions) as api:
        found = (await api("GET", "/apis/aadpodidentity.k8s.io/v1")).body["resources"]
        assert sorted(each["name"] for each in found) == [
            "azureassignedidentities",
            "azureidentities",
            "azureidentitybindings",
            "azurepodidentityexceptions",
        ]
        identity = {
            "apiVersion": "aadpodidentity.k8s.io/v1",
            "kind": "AzureIdentity",
            "metadata": {"name": "a"},
            "spec": {"type": 0, "resourceID": "/subscriptions/s", "clientID": "c", "unheardOf": 1},
        }
        made = await api.made(f"{path}/azureidentities", identity)
        assert made["spec"] == {"type": 0, "resourceID": "/subscriptions/s", "clientID": "c"}
        table = (await api("GET", f"{path}/azureidentities", accept=TABLE)).body
        assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Type", "ClientID", "Age"]
        assert table["rows"][0]["cells"][1:3] == ["0", "c"]
        assigned = {"apiVersion": "aadpodidentity.k8s.io/v1", "kind": "AzureAssignedIdentity"}
        body = {**assigned, "metadata": {"name": "x"}, "spec": {}, "status": {"status": "Created"}}
        made = await api.made(f"{path}/azureassignedidentities", body)
        # No status subresource: the status is written through the object itself.
        assert made["status"] == {"status": "Created"}
        patch = {"status": {"status": "Assigned"}}
        answer = await api("PATCH", f"{path}/azureassignedidentities/x", patch, content_type=MERGE)
        assert answer.body["status"] == {"status": "Assigned"}


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
async def test_the_kinds_of_the_secrets_store(cluster_keys: Path, version: str) -> None:
    group = "secrets-store.csi.x-k8s.io"
    async with established(cluster_keys, provider_classes()) as api:
        body = {
            "apiVersion": f"{group}/{version}",
            "kind": "SecretProviderClass",
            "metadata": {"name": "a"},
            "spec": {"provider": "azure", "parameters": {"keyvaultName": "kv", "objects": "array:\n"}},
        }
        path = f"/apis/{group}/{version}/namespaces/default/secretproviderclasses"
        answer = await api("POST", path, body)
        assert answer.status == 201
        assert ("warning" in answer.headers) == (version == "v1alpha1")
        for each in ("v1", "v1alpha1"):
            found = (await api("GET", f"{path.replace(version, each)}/a")).body
            assert (found["apiVersion"], found["spec"]) == (f"{group}/{each}", body["spec"])
        refused = await api("POST", path, body | {"spec": {"parameters": {"usePodIdentity": False}}})
        assert refused.status == 422
        assert "spec.parameters.usePodIdentity in body must be of type string" in refused.body["message"]
