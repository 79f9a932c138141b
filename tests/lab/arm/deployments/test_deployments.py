"""Deployments of templates: what they make, how they are followed, and how they fail."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, Reply, World

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
SUBSCRIPTION_SCHEMA = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
VERSION = "2025-04-01"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
CREDENTIAL = f"{IDENTITY}/federatedIdentityCredentials"
VAULT = "Microsoft.KeyVault/vaults"
ROLES = "Microsoft.Authorization/roleAssignments"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def template(resources: Any = (), **sections: Any) -> dict[str, Any]:
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "resources": resources if isinstance(resources, dict) else list(resources),
        **({"languageVersion": "2.0"} if isinstance(resources, dict) else {}),
        **sections,
    }


def identity(name: str, **more: Any) -> dict[str, Any]:
    return {"type": IDENTITY, "apiVersion": "2023-01-31", "name": name, "location": "eastus", **more}


def vault(name: str, **more: Any) -> dict[str, Any]:
    properties = {"tenantId": "[subscription().tenantId]", "sku": {"family": "A", "name": "standard"}}
    properties |= {"enableRbacAuthorization": True}
    return {
        "type": VAULT,
        "apiVersion": "2023-07-01",
        "name": name,
        "location": "eastus",
        "properties": properties,
        **more,
    }


class Deploying:
    """Deploys to the world's group, and follows what comes of it."""

    def __init__(self, world: World, scope: str = GROUP) -> None:
        self.world, self.scope = world, scope

    def path(self, name: str) -> str:
        return f"{self.scope}/providers/Microsoft.Resources/deployments/{name}"

    async def begin(
        self, document: Any, parameters: Mapping[str, Any] | None = None, *, name: str = "main", **more: Any
    ) -> Reply:
        who = more.pop("who", None)
        location = {"location": more.pop("location")} if "location" in more else {}
        given = {
            key: value if isinstance(value, dict) and "reference" in value else {"value": value}
            for key, value in (parameters or {}).items()
        }
        body = {**location, "properties": {"mode": "Incremental", "template": document, "parameters": given, **more}}
        return await self.world.call("PUT", self.path(name), body, who=who, version=VERSION)

    async def post(self, action: str, document: Any, *, name: str = "main", **more: Any) -> Reply:
        body = {"properties": {"mode": "Incremental", "template": document, **more}}
        return await self.world.call("POST", f"{self.path(name)}/{action}", body, version=VERSION)

    async def end(self, name: str = "main") -> dict[str, Any]:
        """The deployment once a second of the lab's time has passed."""
        self.world.clock.advance(1)
        return dict((await self.world.call("GET", self.path(name), version=VERSION)).body["properties"])

    async def deploy(self, document: Any, parameters: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        reply = await self.begin(document, parameters, **more)
        assert reply.status in (200, 201), reply.body
        return await self.end(more.get("name", "main"))

    async def names(self, resource_type: str) -> list[str]:
        return [
            one["name"] for one in (await self.world.call("GET", f"{GROUP}/providers/{resource_type}")).body["value"]
        ]


@pytest.fixture
def deploying(world: World) -> Deploying:
    return Deploying(world)


async def test_a_deployment_is_followed_from_accepted_to_succeeded(deploying: Deploying) -> None:
    reply = await deploying.begin(template([identity("app")]))
    assert (reply.status, reply.body["properties"]["provisioningState"]) == (201, "Accepted")
    followed = reply.headers["azure-asyncoperation"].removeprefix("https://management.azure.com").split("?")[0]
    states = [(await deploying.world.call("GET", followed)).body["status"]]
    deploying.world.clock.advance(1)
    states.append((await deploying.world.call("GET", followed)).body["status"])
    assert states == ["Running", "Succeeded"]
    assert await deploying.names(IDENTITY) == ["app"]


async def test_what_stands_in_another_resource_is_known_once_that_is_there(deploying: Deploying) -> None:
    document = template(
        [
            identity("[parameters('name')]"),
            {
                "type": CREDENTIAL,
                "apiVersion": "2023-01-31",
                "name": "[format('{0}/{1}', parameters('name'), 'orders')]",
                "properties": {
                    "issuer": "https://issuer.example",
                    "subject": "system:serviceaccount:shop:orders",
                    "audiences": ["api://AzureADTokenExchange"],
                },
                "dependsOn": [f"[resourceId('{IDENTITY}', parameters('name'))]"],
            },
            vault("kv-deployed"),
            {
                "type": ROLES,
                "apiVersion": "2022-04-01",
                "name": "[guid(resourceGroup().id, parameters('name'), 'reader')]",
                "scope": f"[resourceId('{VAULT}', 'kv-deployed')]",
                "properties": {
                    "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{READER}",
                    "principalId": "[reference(parameters('name')).principalId]",
                    "principalType": "ServicePrincipal",
                },
                "dependsOn": [f"[resourceId('{VAULT}', 'kv-deployed')]"],
            },
        ],
        parameters={"name": {"type": "string", "minLength": 3}},
        outputs={
            "clientId": {
                "type": "string",
                "value": f"[reference(resourceId('{IDENTITY}', parameters('name')), '2023-01-31').clientId]",
            },
            "uri": {"type": "string", "value": "[reference('kv-deployed').vaultUri]"},
        },
    )
    ended = await deploying.deploy(document, {"name": "app"})
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    made = (await deploying.world.call("GET", f"{GROUP}/providers/{IDENTITY}/app")).body
    assert ended["outputs"] == {
        "clientId": {"type": "String", "value": made["properties"]["clientId"]},
        "uri": {"type": "String", "value": "https://kv-deployed.vault.azure.net/"},
    }
    assigned = (
        await deploying.world.call("GET", f"{GROUP}/providers/{VAULT}/kv-deployed/providers/{ROLES}?$filter=atScope()")
    ).body["value"]
    assert made["properties"]["principalId"] in [one["properties"]["principalId"] for one in assigned]
    assert len(ended["outputResources"]) == 4
    credentials = await deploying.world.call("GET", f"{GROUP}/providers/{CREDENTIAL.replace('/fed', '/app/fed')}")
    assert [one["name"] for one in credentials.body["value"]] == ["orders"]
    assert ended["dependencies"][0]["resourceName"] == "app/orders"
    assert TENANT
