"""A client of deployments, and templates for it."""

from collections.abc import Mapping
from typing import Any

from tests.lab.arm.azure_world import SUBSCRIPTION, Reply, World

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
