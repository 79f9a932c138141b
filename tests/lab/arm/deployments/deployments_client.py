"""Run as a program: uses the stock DeploymentsMgmtClient as a tool would, and prints what it saw as JSON.

Takes the subscription and the group; reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the client is
replaced; proxy and trust come from the environment.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient as AsyncDeploymentsMgmtClient
from azure.mgmt.resource.deployments.models import (
    Deployment,
    DeploymentParameter,
    DeploymentProperties,
    DeploymentWhatIf,
    DeploymentWhatIfProperties,
)

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
seen: dict[str, Any] = {}


def _issue() -> AccessToken:
    return AccessToken(Path(os.environ["PODPASS_TEST_TOKEN"]).read_text(), 4_000_000_000)


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return _issue()


class AsyncCredential:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return _issue()

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> "AsyncCredential":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


TEMPLATE = {
    "$schema": SCHEMA,
    "contentVersion": "1.0.0.0",
    "parameters": {"name": {"type": "string"}, "word": {"type": "securestring"}},
    "resources": [
        {
            "type": IDENTITY,
            "apiVersion": "2023-01-31",
            "name": "[parameters('name')]",
            "location": "[resourceGroup().location]",
        }
    ],
    "outputs": {"clientId": {"type": "string", "value": "[reference(parameters('name')).clientId]"}},
}


def wanted(name: str, **parameters: Any) -> Deployment:
    given = {
        key: DeploymentParameter(value=value) for key, value in {"name": name, "word": "hush", **parameters}.items()
    }
    return Deployment(properties=DeploymentProperties(template=TEMPLATE, parameters=given, mode="Incremental"))


def refusal(error: HttpResponseError) -> list[Any]:
    return [error.status_code, error.error.code if error.error else ""]


def synchronously(subscription: str, group: str) -> None:
    client = DeploymentsMgmtClient(Credential(), subscription)
    deployments = client.deployments
    seen["existed"] = deployments.check_existence(group, "main")
    checked = deployments.begin_validate(group, "main", wanted("app")).result()
    seen["checked"] = [checked.properties.provisioning_state, len(checked.properties.validated_resources)]
    try:
        deployments.begin_validate(group, "main", wanted("app", other=1)).result()
    except HttpResponseError as error:
        seen["wrong"] = refusal(error)
    properties = wanted("app").properties
    what_if = DeploymentWhatIf(
        properties=DeploymentWhatIfProperties(template=TEMPLATE, parameters=properties.parameters, mode="Incremental")
    )
    foreseen = deployments.begin_what_if(group, "main", what_if).result()
    seen["foreseen"] = [foreseen.status, [change.change_type for change in foreseen.properties.changes]]
    poller = deployments.begin_create_or_update(group, "main", wanted("app"))
    seen["accepted"] = poller.status()
    made = poller.result()
    seen["made"] = [made.properties.provisioning_state, sorted(made.properties.outputs), made.properties.mode]
    seen["word"] = made.properties.parameters["word"]
    seen["exists"] = deployments.check_existence(group, "main")
    seen["got"] = deployments.get(group, "main").name
    seen["listed"] = [
        one.name for one in deployments.list_by_resource_group(group, filter="provisioningState eq 'Succeeded'")
    ]
    seen["exported"] = deployments.export_template(group, "main").template == TEMPLATE
    told = list(client.deployment_operations.list(group, "main"))
    seen["operations"] = [one.properties.provisioning_operation for one in told]
    one = client.deployment_operations.get(group, "main", told[-1].operation_id)
    seen["target"] = one.properties.target_resource.resource_name
    try:
        deployments.begin_create_or_update(group, "main", wanted("app", other=1)).result()
    except HttpResponseError as error:
        seen["refused"] = refusal(error)
    try:
        deployments.cancel(group, "main")
    except HttpResponseError as error:
        seen["cancelled"] = refusal(error)
    deployments.begin_delete(group, "main").result()
    seen["left"] = [one.name for one in deployments.list_by_resource_group(group)]


async def asynchronously(subscription: str, group: str) -> None:
    async with AsyncCredential() as credential, AsyncDeploymentsMgmtClient(credential, subscription) as client:
        poller = await client.deployments.begin_create_or_update(group, "later", wanted("later"))
        made = await poller.result()
        seen["later"] = made.properties.provisioning_state
        seen["later_listed"] = [one.name async for one in client.deployments.list_by_resource_group(group)]
        await (await client.deployments.begin_delete(group, "later")).result()


if __name__ == "__main__":
    synchronously(*sys.argv[1:3])
    asyncio.run(asynchronously(*sys.argv[1:3]))
    print(json.dumps(seen))
