"""Deployments of templates: what they make, how they are followed, and how they fail."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from podpass.azure.resourceids import ResourceId
from podpass.lab.store import Store
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import SUBSCRIPTION, World
from tests.lab.arm.deployments.deploying import (
    CREDENTIAL,
    GROUP,
    IDENTITY,
    READER,
    ROLES,
    SCHEMA,
    SUBSCRIPTION_SCHEMA,
    VAULT,
    VERSION,
    Deploying,
    identity,
    template,
    vault,
)


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


async def test_symbolic_names_loops_conditions_and_existing_resources(deploying: Deploying) -> None:
    deploying.world.identity("there")
    document = template(
        {
            "there": {"existing": True, "type": IDENTITY, "apiVersion": "2023-01-31", "name": "there"},
            "apps": identity(
                "[format('app-{0}', variables('names')[copyIndex()])]",
                copy={"name": "apps", "count": "[length(variables('names'))]"},
            ),
            "never": identity("never", condition="[parameters('never')]"),
            "credential": {
                "type": CREDENTIAL,
                "apiVersion": "2023-01-31",
                "name": "app-one/pods",
                "properties": {
                    "issuer": "https://issuer.example",
                    "subject": "[reference('there').clientId]",
                    "audiences": ["[resourceInfo('apps[1]').name]"],
                },
                "dependsOn": ["apps", "never"],
            },
        },
        parameters={"never": {"type": "bool", "defaultValue": False}},
        variables={"copy": [{"name": "names", "count": 2, "input": "[createArray('one', 'two')[copyIndex('names')]]"}]},
        outputs={
            "all": {"type": "array", "value": "[map(references('apps'), lambda('x', lambdaVariables('x').clientId))]"},
            "each": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}},
            "left": {"type": "string", "condition": "[parameters('never')]", "value": "[fail('never asked')]"},
        },
    )
    ended = await deploying.deploy(document)
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    assert await deploying.names(IDENTITY) == ["app-one", "app-two", "there"]
    assert len(set(ended["outputs"]["all"]["value"])) == 2
    assert ended["outputs"]["each"]["value"] == [0, 1]
    assert "left" not in ended["outputs"]
    made = (
        await deploying.world.call("GET", f"{GROUP}/providers/{IDENTITY}/app-one/federatedIdentityCredentials/pods")
    ).body
    assert made["properties"]["audiences"] == ["app-two"]


async def test_a_deployment_within_one_gets_its_parameters_and_gives_its_outputs(deploying: Deploying) -> None:
    inner = template(
        [identity("[parameters('name')]")],
        parameters={"name": {"type": "string"}, "word": {"type": "securestring"}},
        outputs={"id": {"type": "string", "value": f"[resourceId('{IDENTITY}', parameters('name'))]"}},
    )
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "inner",
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {"name": {"value": "[variables('name')]"}, "word": {"value": "hush-hush"}},
            "template": inner,
        },
    }
    outer = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "outer",
        "properties": {
            "mode": "Incremental",
            "template": template(
                [identity("[format('{0}-2', variables('name'))]", tags={"id": "[reference('inner').outputs.id.value]"})]
            ),
        },
    }
    document = template([nested, outer], variables={"name": "nested"})
    ended = await deploying.deploy(document)
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    made = (await deploying.world.call("GET", f"{GROUP}/providers/{IDENTITY}/nested-2")).body
    assert made["tags"]["id"] == f"{GROUP}/providers/{IDENTITY}/nested"
    listed = (await deploying.world.call("GET", f"{GROUP}/providers/Microsoft.Resources/deployments")).body["value"]
    assert {one["name"]: one["properties"]["provisioningState"] for one in listed} == dict.fromkeys(
        ("main", "inner", "outer"), "Succeeded"
    )
    shown = (await deploying.world.call("GET", deploying.path("inner"))).body["properties"]["parameters"]
    assert shown["word"] == {"type": "SecureString"}


async def test_what_a_nested_deployment_gives_back_is_known_to_what_if_and_stays_secret(deploying: Deploying) -> None:
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "inner",
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "template": template(
                [],
                outputs={
                    "word": {"type": "securestring", "value": "[concat('hush', '-hush')]"},
                    "name": {"type": "string", "value": "app"},
                },
            ),
        },
    }
    length = "[string(length(listOutputsWithSecureValues('inner', '2022-09-01').word))]"
    document = template(
        [nested, identity("of-inner", tags={"length": length, "name": "[reference('inner').outputs.name.value]"})]
    )
    foreseen = (await deploying.post("whatIf", document)).body
    assert foreseen["status"] == "Succeeded", foreseen
    assert [one["after"]["tags"] for one in foreseen["properties"]["changes"]] == [{"length": "9", "name": "app"}]
    ended = await deploying.deploy(document)
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    world = deploying.world
    assert (await world.call("GET", f"{GROUP}/providers/{IDENTITY}/of-inner")).body["tags"]["length"] == "9"
    inner = (await world.call("GET", deploying.path("inner"))).body["properties"]["outputs"]
    assert inner == {"word": {"type": "SecureString"}, "name": {"type": "String", "value": "app"}}
    assert not [line for line in world.store.connection.iterdump() if "hush-hush" in line]
    asked = await world.call("POST", f"{deploying.path('inner')}/listOutputsWithSecureValues")
    assert asked.body == {"word": "hush-hush", "name": "app"}


async def test_a_group_and_what_is_in_it_in_one_deployment_to_the_subscription(world: World) -> None:
    wide = Deploying(world, f"/subscriptions/{SUBSCRIPTION}")
    inner = template([identity("inside")])
    document = {
        "$schema": SUBSCRIPTION_SCHEMA,
        "contentVersion": "1.0.0.0",
        "resources": [
            {
                "type": "Microsoft.Resources/resourceGroups",
                "apiVersion": "2022-09-01",
                "name": "made",
                "location": "eastus",
            },
            {
                "type": "Microsoft.Resources/deployments",
                "apiVersion": "2022-09-01",
                "name": "inside",
                "resourceGroup": "made",
                "properties": {"mode": "Incremental", "template": inner},
                "dependsOn": ["[resourceId('Microsoft.Resources/resourceGroups', 'made')]"],
            },
        ],
    }
    ended = await wide.deploy(document, location="westeurope")
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    reply = await world.call("GET", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/made/providers/{IDENTITY}/inside")
    assert reply.status == 200
    assert (await wide.begin(document)).code == "LocationRequired"
    assert (await wide.begin(document, location="eastus")).code == "InvalidDeploymentLocation"


async def test_the_secret_of_a_template_is_in_the_vault_and_nowhere_else(deploying: Deploying) -> None:
    secret = {
        "type": f"{VAULT}/secrets",
        "apiVersion": "2023-07-01",
        "name": "kv-deployed/greeting",
        "properties": {"value": "[parameters('word')]", "contentType": "text/plain"},
        "dependsOn": ["kv-deployed"],
    }
    document = template(
        [vault("kv-deployed"), secret],
        parameters={"word": {"type": "securestring"}},
        outputs={"word": {"type": "securestring", "value": "[parameters('word')]"}},
    )
    ended = await deploying.deploy(document, {"word": "hush-hush-hush"})
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    assert (ended["parameters"]["word"], ended["outputs"]["word"]) == (
        {"type": "SecureString"},
        {"type": "SecureString"},
    )
    world = deploying.world
    world.arm.seed.put_role_assignment(GROUP, "Key Vault Secrets User", world.owner.object_id)
    read = await world.vault("GET", "kv-deployed/secrets/greeting", who=world.owner)
    assert (read.body["value"], read.body["contentType"]) == ("hush-hush-hush", "text/plain")
    kept = [line for line in world.store.connection.iterdump() if "hush-hush-hush" in line]
    assert [line for line in kept if "keyvault" not in line and "secret" not in line.split("VALUES")[0]] == []
    shown = await world.call("GET", f"{GROUP}/providers/{VAULT}/kv-deployed/secrets/greeting")
    assert "value" not in shown.body["properties"]


async def test_a_parameter_can_come_from_a_vault(deploying: Deploying) -> None:
    world = deploying.world
    held = world.arm.seed.put_vault(world.group.id, "kv-held")
    world.keyvault.set_secret("kv-held", "place", "hush-place")
    document = template(
        [identity("app", tags={"length": "[string(length(parameters('word')))]"})],
        parameters={"word": {"type": "string"}},
    )
    given = {"word": {"reference": {"keyVault": {"id": held.id}, "secretName": "place"}}}
    refused = await deploying.begin(document, given)
    assert (refused.status, refused.code) == (400, "KeyVaultParameterReferenceSecretRetrieveFailed")
    enabled = {"properties": {"enabledForTemplateDeployment": True}}
    assert (await world.call("PATCH", held.id, enabled)).status == 200
    ended = await deploying.deploy(document, given)
    assert ended["parameters"]["word"] == {"type": "SecureString"}
    assert (await world.call("GET", f"{GROUP}/providers/{IDENTITY}/app")).body["tags"] == {"length": "10"}
    given["word"]["reference"]["secretName"] = "other"
    assert "was not found in this key vault" in (await deploying.begin(document, given)).message
    given["word"]["reference"]["keyVault"] = {"id": held.id + "x"}
    assert (await deploying.begin(document, given)).code == "KeyVaultParameterReferenceNotFound"


async def test_properties_and_children_can_be_copied(deploying: Deploying) -> None:
    permissions = {"secrets": ["[if(equals(copyIndex('accessPolicies'), 0), 'get', 'list')]"]}
    policy = {"tenantId": "[tenant().tenantId]", "objectId": "[guid(string(copyIndex('accessPolicies')))]"}
    copied = {"copy": [{"name": "accessPolicies", "count": 2, "input": {**policy, "permissions": permissions}}]}
    held = vault("[format('kv-held-{0}', copyIndex())]", copy={"name": "held", "count": 2})
    held["properties"] = {**held["properties"], "enableRbacAuthorization": False, **copied}
    ended = await deploying.deploy(template([held]))
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    assert await deploying.names(VAULT) == ["kv-held-0", "kv-held-1"]
    made = (await deploying.world.call("GET", f"{GROUP}/providers/{VAULT}/kv-held-1")).body["properties"]
    assert [one["permissions"]["secrets"] for one in made["accessPolicies"]] == [["get"], ["list"]]


async def test_a_role_assignment_keeps_its_principal_when_deployed_again(deploying: Deploying) -> None:
    def assignment(name: str) -> dict[str, Any]:
        return {
            "type": ROLES,
            "apiVersion": "2022-04-01",
            "name": "[guid('always-the-same')]",
            "properties": {
                "principalId": f"[reference('{name}').principalId]",
                "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{READER}",
            },
        }

    for _ in range(2):
        ended = await deploying.deploy(template([identity("one"), assignment("one")]))
        assert ended["provisioningState"] == "Succeeded", ended.get("error")
    ended = await deploying.deploy(template([identity("two"), assignment("two")]))
    assert [one["code"] for one in ended["error"]["details"]] == ["RoleAssignmentUpdateNotPermitted"]


async def test_complete_mode_removes_what_the_template_does_not_name(deploying: Deploying) -> None:
    deploying.world.identity("old")
    deploying.world.arm.seed.put_vault(deploying.world.group.id, "kv-old")
    ended = await deploying.deploy(template([identity("new")]), mode="Complete")
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    assert (await deploying.names(IDENTITY), await deploying.names(VAULT)) == (["new"], [])
    told = [hop.what.split()[0] for hop in deploying.world.hops if "deployment" in hop.decision]
    assert told == ["PUT", "DELETE", "DELETE"]


CLUSTER = "Microsoft.ContainerService/managedClusters"


def cluster(name: str) -> dict[str, Any]:
    return {
        "type": CLUSTER,
        "apiVersion": "2024-09-01",
        "name": name,
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": name,
            "agentPoolProfiles": [{"name": "system", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}],
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
        },
    }


def with_cluster() -> dict[str, Any]:
    credential = {
        "type": CREDENTIAL,
        "apiVersion": "2023-01-31",
        "name": "app/pods",
        "properties": {
            "issuer": "[reference('aks').oidcIssuerProfile.issuerURL]",
            "subject": "system:serviceaccount:shop:app",
            "audiences": ["api://AzureADTokenExchange"],
        },
        "dependsOn": ["app"],
    }
    return template([cluster("aks"), identity("app"), credential])


def settle_clusters(world: World) -> None:
    for one in world.arm.hosted.wanted():
        world.arm.hosted.settled(one)


async def test_a_deployment_waits_for_a_cluster_until_it_is_there(deploying: Deploying) -> None:
    ended = await deploying.deploy(with_cluster())
    assert ended["provisioningState"] == "Running"
    assert (await deploying.begin(with_cluster())).code == "DeploymentActive"
    settle_clusters(deploying.world)
    ended = await deploying.end()
    assert ended["provisioningState"] == "Succeeded", ended.get("error")
    made = (
        await deploying.world.call("GET", f"{GROUP}/providers/{IDENTITY}/app/federatedIdentityCredentials/pods")
    ).body
    assert made["properties"]["issuer"].startswith("https://eastus.oic.prod-aks.azure.com/")


async def test_a_cancelled_deployment_begins_nothing_more(deploying: Deploying) -> None:
    await deploying.deploy(with_cluster())
    assert (await deploying.world.call("POST", f"{deploying.path('main')}/cancel")).status == 204
    settle_clusters(deploying.world)
    ended = await deploying.end()
    assert ended["provisioningState"] == "Canceled"
    reply = await deploying.world.call("GET", f"{GROUP}/providers/{IDENTITY}/app/federatedIdentityCredentials/pods")
    assert reply.status == 404
    assert (
        await deploying.world.call("POST", f"{deploying.path('main')}/cancel")
    ).code == "DeploymentCannotBeCancelled"


@pytest.mark.parametrize("secure", [False, True])
async def test_a_stop_in_the_middle_is_gone_on_from_or_told(
    signing_key: SigningKey, tmp_path: Path, secure: bool
) -> None:
    path = tmp_path / "lab.db"
    document = with_cluster()
    if secure:
        document["parameters"] = {"word": {"type": "securestring", "defaultValue": "hush"}}
    first = Store.open(path)
    assert (await Deploying(World(signing_key, store=first)).deploy(document))["provisioningState"] == "Running"
    first.close()
    second = Store.open(path)
    world = World(signing_key, store=second)
    settle_clusters(world)
    ended = await Deploying(world).end()
    second.close()
    assert ended["provisioningState"] == ("Failed" if secure else "Succeeded"), ended.get("error")
    assert not secure or ended["error"]["details"][0]["code"] == "DeploymentInterrupted"


async def test_deployments_go_on_while_nobody_asks(deploying: Deploying) -> None:
    loop = asyncio.create_task(deploying.world.arm.deployments.run())
    try:
        await deploying.begin(template([identity("app")]))
        for _ in range(20):
            await asyncio.sleep(0)
        made = deploying.world.arm.estate.get(ResourceId.parse(f"{GROUP}/providers/{IDENTITY}/app"))
        assert made is not None
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_the_operations_of_a_deployment_tell_of_each_resource(deploying: Deploying) -> None:
    nobody = {
        "principalId": "11111111-1111-1111-1111-111111111111",
        "roleDefinitionId": f"/providers/x/roleDefinitions/{READER}",
    }
    assignment = {"type": ROLES, "apiVersion": "2022-04-01", "name": "[guid('x')]", "properties": nobody}
    ended = await deploying.deploy(
        template([identity("app"), assignment, identity("after", dependsOn=["[guid('x')]"])])
    )
    assert ended["provisioningState"] == "Failed"
    assert ended["error"]["code"] == "DeploymentFailed"
    assert [one["code"] for one in ended["error"]["details"]] == ["PrincipalNotFound"]
    assert await deploying.names(IDENTITY) == ["app"]
    # az reads them by the oldest form of the path.
    listed = (await deploying.world.call("GET", f"{GROUP}/deployments/main/operations")).body["value"]
    told = {one["properties"]["targetResource"]["resourceName"]: one["properties"] for one in listed}
    assert told["app"]["statusCode"] == "Created"
    failed = next(one for name, one in told.items() if name != "app")
    assert (failed["statusCode"], failed["statusMessage"]["error"]["code"]) == ("BadRequest", "PrincipalNotFound")
    one = await deploying.world.call("GET", f"{deploying.path('main')}/operations/{listed[0]['operationId']}")
    assert one.body == listed[0]


async def test_the_deployers_own_rights_count_for_each_resource(deploying: Deploying) -> None:
    world = deploying.world
    limited = world.application("limited")
    world.arm.seed.put_role_assignment(GROUP, "Contributor", limited.object_id)
    person = {"principalId": limited.object_id, "roleDefinitionId": f"/providers/x/roleDefinitions/{READER}"}
    assignment = {"type": ROLES, "apiVersion": "2022-04-01", "name": "[guid('x')]", "properties": person}
    reply = await deploying.begin(template([identity("app"), assignment]), who=limited)
    assert (reply.status, reply.code) == (403, "InvalidTemplateDeployment")
    assert reply.message.startswith(
        "The template deployment failed with error: 'Authorization failed for template resource "
    )
    assert (
        f"of type '{ROLES}'. The client '{limited.client_id}' with object id '{limited.object_id}' does not"
        in reply.message
    )
    assert await deploying.names(IDENTITY) == []
    assert (
        await deploying.begin(template([identity("app")]), who=world.application("nobody"))
    ).code == "AuthorizationFailed"


async def test_preflight_asks_services_before_anything_is_made(deploying: Deploying) -> None:
    world = deploying.world
    held = world.arm.seed.put_vault(world.group.id, "kv-gone")
    await world.call("DELETE", held.id)
    before = list(world.store.connection.iterdump())
    for reply in (
        await deploying.post("validate", template([identity("app"), vault("kv-gone")])),
        await deploying.begin(template([identity("app"), vault("kv-gone")])),
    ):
        assert (reply.status, reply.code) == (400, "InvalidTemplateDeployment")
        assert [one["code"] for one in reply.body["error"]["details"]] == ["ConflictError"]
    place = await deploying.begin(template([identity("app", location="mars")]))
    assert (place.status, place.code) == (400, "LocationNotAvailableForResourceType")
    after = list(world.store.connection.iterdump())
    assert [line for line in after if "journal" not in line] == [line for line in before if "journal" not in line]


async def test_what_if_tells_and_changes_nothing(deploying: Deploying) -> None:
    deploying.world.identity("kept")
    await deploying.deploy(template([identity("app"), vault("kv-deployed")]))
    changed = template([identity("app", tags={"a": "b"}), vault("kv-deployed"), identity("new")])
    result = (await deploying.post("whatIf", changed)).body
    assert result["status"] == "Succeeded", result
    found = {one["resourceId"].rpartition("/")[2]: one for one in result["properties"]["changes"]}
    assert {name: one["changeType"] for name, one in found.items()} == {
        "app": "Modify",
        "kv-deployed": "NoChange",
        "new": "Create",
        "kept": "Ignore",
    }
    assert [(one["path"], one["propertyChangeType"]) for one in found["app"]["delta"]] == [("tags.a", "Create")]
    complete = (await deploying.post("whatIf", changed, mode="Complete")).body["properties"]["changes"]
    assert [one["changeType"] for one in complete if one["resourceId"].endswith("kept")] == ["Delete"]
    assert await deploying.names(IDENTITY) == ["app", "kept"]
    failed = (await deploying.post("whatIf", template([identity("app", location="mars")]))).body
    assert (failed["status"], failed["error"]["code"]) == ("Failed", "InvalidResourceLocation")


async def test_resources_begin_side_by_side_where_they_do_not_wait(deploying: Deploying) -> None:
    child = {
        "type": "federatedIdentityCredentials",
        "apiVersion": "2023-01-31",
        "name": "pods",
        "properties": {"issuer": "https://i.example", "subject": "s", "audiences": ["a"]},
    }
    ended = await deploying.deploy(template([identity("app", resources=[child])]))
    assert [one["code"] for one in ended["error"]["details"]] == ["ParentResourceNotFound"]
    child["dependsOn"] = [f"[resourceId('{IDENTITY}', 'app2')]"]
    ended = await deploying.deploy(template([identity("app2", resources=[child])]))
    assert ended["provisioningState"] == "Succeeded", ended.get("error")


@pytest.mark.parametrize(("mode", "made"), [("Parallel", 1), ("Serial", 3)])
async def test_credentials_of_one_identity_are_written_one_after_another_or_refused(
    deploying: Deploying, mode: str, made: int
) -> None:
    credentials = {
        "type": CREDENTIAL,
        "apiVersion": "2023-01-31",
        "name": "[format('app/number-{0}', copyIndex())]",
        "copy": {"name": "credentials", "count": 3, "mode": mode, "batchSize": 1},
        "properties": {"issuer": "https://i.example", "subject": "[format('s{0}', copyIndex())]", "audiences": ["a"]},
        "dependsOn": ["app"],
    }
    ended = await deploying.deploy(template([identity("app"), credentials]))
    refused = [one["code"] for one in ended.get("error", {}).get("details", [])]
    assert refused == ["ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"] * (3 - made)
    listed = await deploying.world.call("GET", f"{GROUP}/providers/{IDENTITY}/app/federatedIdentityCredentials")
    assert len(listed.body["value"]) == made


async def test_a_deployments_life_ends_with_its_group_or_on_request(deploying: Deploying) -> None:
    world = deploying.world
    await deploying.deploy(template([]))
    assert (await world.call("HEAD", deploying.path("main"))).status == 204
    exported = (await world.call("POST", f"{deploying.path('main')}/exportTemplate")).body["template"]
    assert exported == template([])
    listed = await world.call(
        "GET", f"{GROUP}/providers/Microsoft.Resources/deployments?$filter=provisioningState%20eq%20'Failed'"
    )
    assert listed.body["value"] == []
    gone = await world.call("DELETE", deploying.path("main"))
    assert (gone.status, (await world.call("HEAD", deploying.path("main"))).status) == (202, 404)
    assert (
        await world.call("GET", gone.headers["location"].removeprefix("https://management.azure.com").split("?")[0])
    ).status == 204
    assert (await world.call("DELETE", deploying.path("main"))).status == 204
    assert (await world.call("GET", deploying.path("main"))).code == "DeploymentNotFound"
    await deploying.deploy(template([]), name="other")
    await world.call("DELETE", GROUP)
    world.clock.advance(60)
    world.arm.seed.put_group(SUBSCRIPTION, "shop", "eastus")
    assert (await world.call("GET", deploying.path("other"))).code == "DeploymentNotFound"


INVALID: list[Any] = [
    pytest.param({"resources": []}, "Template schema '' is not supported", id="no-schema"),
    pytest.param({"$schema": SCHEMA, "resources": []}, "'contentVersion' not found", id="no-version"),
    pytest.param(template([], resource=[]), "Could not find member 'resource'", id="unknown-section"),
    pytest.param(
        {**template([]), "$schema": SUBSCRIPTION_SCHEMA},
        "not supported at the scope of a resourceGroup",
        id="other-scope",
    ),
    pytest.param(
        template([], parameters={"a": {"type": "string"}}),
        "The value for the template parameter 'a' is not provided.",
        id="missing-parameter",
    ),
    pytest.param(
        template([], parameters={"a": {"type": "text", "defaultValue": ""}}), "has the type 'text'", id="unknown-type"
    ),
    pytest.param(
        template([], parameters={"a": {"type": "int", "defaultValue": "1"}}),
        "Expected 'Integer'. Actual 'String'.",
        id="wrong-type",
    ),
    pytest.param(
        template([], parameters={"a": {"type": "string", "defaultValue": "c", "allowedValues": ["a", "b"]}}),
        "not part of the allowed value(s): 'a,b'.",
        id="not-allowed",
    ),
    pytest.param(
        template([], parameters={"a": {"type": "securestring", "defaultValue": "hush", "maxLength": 3}}),
        "less than or equal to '3'",
        id="too-long",
    ),
    pytest.param(
        template([], parameters={"a": {"type": "int", "defaultValue": 0, "minValue": 1}}),
        "greater than or equal to '1'",
        id="too-small",
    ),
    pytest.param(
        template([], parameters={"a": {"type": "string", "defaultValue": "[variables('x')]"}}),
        "'variables' is not valid",
        id="variable-in-default",
    ),
    pytest.param(
        template([], parameters={str(at): {"type": "int", "defaultValue": 1} for at in range(257)}),
        "Limit: '256' and actual: '257'",
        id="too-many",
    ),
    pytest.param(
        template([identity("[nothing()]")]), "The template function 'nothing' is not valid.", id="unknown-function"
    ),
    pytest.param(
        template([identity("[variables('none')]")]), "The template variable 'none' is not found.", id="unknown-variable"
    ),
    pytest.param(
        template([identity("[variables('a')]")], variables={"a": "[variables('b')]", "b": "[variables('a')]"}),
        "refers to itself",
        id="variable-circle",
    ),
    pytest.param(
        template([identity("[reference('x').y]")]),
        "'reference' is not expected at this location",
        id="reference-in-name",
    ),
    pytest.param(
        template([identity("a", dependsOn=["b"])]),
        "The resource 'b' is not defined in the template.",
        id="unknown-dependency",
    ),
    pytest.param(
        template([identity("a", dependsOn=["b"]), identity("b", dependsOn=["a"])]),
        "Circular dependency detected on resource",
        id="circle",
    ),
    pytest.param(
        template([identity("a", tags={"b": "[reference('b').clientId]"}), identity("b", dependsOn=["a"])]),
        "Circular dependency detected",
        id="circle-by-reference",
    ),
    pytest.param(template([identity("a"), identity("A")]), "is defined multiple times in a template", id="twice"),
    pytest.param(template([identity("a/b")]), "has incorrect segment lengths", id="segments"),
    pytest.param(
        template([{"type": IDENTITY, "name": "a"}]), "The 'apiVersion' property is required", id="no-api-version"
    ),
    pytest.param(
        template([identity("[format('a{0}', copyIndex())]", copy={"name": "c", "count": 801})]),
        "an integer from 0 to 800",
        id="too-many-copies",
    ),
    pytest.param(template([identity("a", condition="yes")]), "must be a boolean", id="condition"),
    pytest.param(template([identity("[copyIndex()]")]), "outside a copy loop", id="copy-index"),
    pytest.param(
        template([identity("a", tags={"x": "[parameters('none')]"})]),
        "The template parameter 'none' is not found.",
        id="unknown-parameter",
    ),
]


@pytest.mark.parametrize(("document", "reason"), INVALID)
async def test_a_template_that_is_not_valid_is_refused_at_once(
    deploying: Deploying, document: Any, reason: str
) -> None:
    for reply in (await deploying.begin(document), await deploying.post("validate", document)):
        assert (reply.status, reply.code) == (400, "InvalidTemplate"), reply.body
        assert reason in reply.message
        assert "hush" not in reply.message
    assert (await deploying.world.call("GET", deploying.path("main"))).status == 404


REFUSED: list[Any] = [
    pytest.param(b"{", 400, "InvalidRequestContent", id="no-json"),
    pytest.param({"properties": {}}, 400, "InvalidRequestContent", id="no-template"),
    pytest.param(
        {"properties": {"template": template([]), "mode": "Partial"}}, 400, "InvalidRequestContent", id="mode"
    ),
    pytest.param({"properties": {"templateLink": {"uri": "https://x.example"}}}, 501, "NotImplemented", id="link"),
    pytest.param(
        {"properties": {"template": template([]), "onErrorDeployment": {}}}, 501, "NotImplemented", id="rollback"
    ),
    pytest.param(
        {"location": "eastus", "properties": {"template": template([])}}, 400, "InvalidDeployment", id="location"
    ),
    pytest.param(
        {"properties": {"template": template([{**identity("x"), "type": "Microsoft.Sql/servers"}])}},
        501,
        "NotImplemented",
        id="not-emulated",
    ),
    pytest.param(
        {"properties": {"template": template([{**identity("x"), "type": "Microsoft.Nothing/x"}])}},
        404,
        "InvalidResourceNamespace",
        id="unknown",
    ),
    pytest.param({"properties": {"template": template([], imports={})}}, 501, "NotImplemented", id="imports"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_a_request_is_refused_as_azure_does(deploying: Deploying, body: Any, status: int, code: str) -> None:
    reply = await deploying.world.call("PUT", deploying.path("main"), body, version=VERSION)
    assert (reply.status, reply.code) == (status, code), reply.body


async def test_unknown_parameters_are_named_with_those_there_are(deploying: Deploying) -> None:
    document = template([], parameters={"a": {"type": "int", "defaultValue": 1}})
    assert (
        "The only supported parameters for this template are 'a'."
        in (await deploying.begin(document, {"b": 1})).message
    )


async def test_types_of_a_template_are_checked_inside(deploying: Deploying) -> None:
    definitions = {
        "app": {
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 3}, "port": {"type": "int", "nullable": True}},
            "additionalProperties": False,
        }
    }
    document = template(
        {}, definitions=definitions, parameters={"apps": {"type": "array", "items": {"$ref": "#/definitions/app"}}}
    )
    assert (await deploying.begin(document, {"apps": [{"name": "one", "port": 1}, {"name": "two"}]})).status == 201
    await deploying.end()
    for value, reason in (
        ({"name": "x"}, "greater than or equal to '3'"),
        ({}, "'name' is required"),
        ({"name": "one", "x": 1}, "'x' is not permitted"),
        ({"name": "one", "port": "1"}, "Expected 'Integer'"),
    ):
        assert reason in (await deploying.begin(document, {"apps": [value]})).message


async def test_functions_of_a_template_and_of_its_place(deploying: Deploying) -> None:
    own = [
        {
            "namespace": "shop",
            "members": {
                "named": {
                    "parameters": [{"name": "x", "type": "string"}],
                    "output": {"type": "string", "value": "[concat('shop-', parameters('x'))]"},
                }
            },
        }
    ]
    texts = {
        "own": "[shop.named('a')]",
        "group": "[resourceGroup().location]",
        "tenant": "[subscription().tenantId]",
        "id": f"[resourceId('other', '{VAULT}/secrets', 'kv', 's')]",
        "extension": f"[extensionResourceId(resourceId('{VAULT}', 'kv'), '{ROLES}', 'r')]",
        "wide": "[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'g')]",
        "root": "[tenantResourceId('Microsoft.Authorization/roleDefinitions', 'g')]",
        "name": "[deployment().name]",
        "login": "[environment().authentication.loginEndpoint]",
        "suffix": "[environment().suffixes.keyvaultDns]",
        "deployer": "[deployer().objectId]",
    }
    outputs = {name: {"type": "string", "value": value} for name, value in texts.items()}
    ended = await deploying.deploy(template([], functions=own, outputs=outputs))
    base = f"/subscriptions/{SUBSCRIPTION}"
    assert {name: one["value"] for name, one in ended["outputs"].items()} == {
        "own": "shop-a",
        "group": "eastus",
        "tenant": "11111111-2222-4333-8444-555555555555",
        "id": f"{base}/resourceGroups/other/providers/{VAULT}/kv/secrets/s",
        "extension": f"{GROUP}/providers/{VAULT}/kv/providers/{ROLES}/r",
        "wide": f"{base}/providers/Microsoft.Authorization/roleDefinitions/g",
        "root": "/providers/Microsoft.Authorization/roleDefinitions/g",
        "name": "main",
        "login": "https://login.microsoftonline.com/",
        "suffix": ".vault.azure.net",
        "deployer": deploying.world.owner.object_id,
    }


@pytest.mark.parametrize(
    "scope", ["", "/providers/Microsoft.Management/managementGroups/all", f"{GROUP}/providers/{VAULT}/kv"]
)
async def test_other_scopes_are_not_emulated(world: World, scope: str) -> None:
    world.arm.seed.put_role_assignment("/", "Owner", world.owner.object_id)
    reply = await Deploying(world, scope).begin(template([]))
    assert (reply.status, reply.code) == (501, "NotImplemented")


async def test_outputs_that_have_no_value_fail_the_deployment(deploying: Deploying) -> None:
    outputs = {"a": {"type": "string", "value": "[reference('app').none]"}, "b": {"type": "int", "value": "one"}}
    ended = await deploying.deploy(template([identity("app")], outputs=outputs))
    assert (ended["provisioningState"], ended["error"]["code"]) == ("Failed", "DeploymentOutputEvaluationFailed")
    assert [one["target"] for one in ended["error"]["details"]] == ["a", "b"]
