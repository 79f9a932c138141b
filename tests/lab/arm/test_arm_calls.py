"""Resource Manager's calls: authentication, authorisation, groups, resources, errors."""

import uuid
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.arm.paths import resource_id
from podpass.problems import problem
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import ARM_AUDIENCE, OTHER_TENANT, SUBSCRIPTION, TENANT, VAULT_AUDIENCE, World, send

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUB}/resourceGroups/shop"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"
DEFINITIONS = "providers/Microsoft.Authorization/roleDefinitions"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


async def test_a_request_without_a_token_is_challenged(world: World) -> None:
    reply = await send(world.arm.app, "GET", f"https://management.azure.com{SUB}?api-version=2022-12-01")
    assert (reply.status, reply.code) == (401, "AuthenticationFailed")
    assert reply.headers["www-authenticate"].startswith(
        f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT}", error="invalid_token", '
    )
    assert world.hops[-1].problem == "PP306"


@pytest.mark.parametrize(
    ("claims", "audience", "code"),
    [
        ({}, VAULT_AUDIENCE, "InvalidAuthenticationToken"),
        ({"exp": 1}, ARM_AUDIENCE, "ExpiredAuthenticationToken"),
        (
            {"tid": OTHER_TENANT, "iss": f"https://sts.windows.net/{OTHER_TENANT}/"},
            "https://management.azure.com/",
            "InvalidAuthenticationTokenTenant",
        ),
    ],
)
async def test_a_token_that_does_not_count_is_refused(
    world: World, claims: dict[str, object], audience: str, code: str
) -> None:
    token = world.token(audience=audience, **claims)
    reply = await send(world.arm.app, "GET", f"https://management.azure.com{SUB}?api-version=2022-12-01", token=token)
    assert (reply.status, reply.code) == (401, code)


async def test_a_token_of_another_key_is_refused(world: World) -> None:
    token = World(SigningKey.generate("RSA")).token()
    reply = await send(world.arm.app, "GET", f"https://management.azure.com{SUB}?api-version=2022-12-01", token=token)
    assert (reply.status, reply.code) == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    "audience",
    [
        "https://management.azure.com",
        "https://management.azure.com/",
        "https://management.core.windows.net/",
        "https://management.core.windows.net",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    ],
)
async def test_every_audience_of_resource_manager_counts(world: World, audience: str) -> None:
    token = world.token(audience=audience)
    reply = await send(world.arm.app, "GET", f"https://management.azure.com{SUB}?api-version=2022-12-01", token=token)
    assert reply.status == 200


async def test_a_caller_without_a_role_is_refused_and_the_remedy_named(world: World) -> None:
    orders = world.identity("orders")
    reply = await world.call("PUT", f"{IDENTITIES}/other", {"location": "eastus"}, who=orders)
    assert (reply.status, reply.code) == (403, "AuthorizationFailed")
    assert reply.message.startswith(
        f"The client '{orders.client_id}' with object id '{orders.principal_id}' does not have authorization to "
        "perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/write' over scope "
        f"'{IDENTITIES}/other'"
    )
    hop = world.hops[-1]
    assert (hop.outcome, hop.wire, hop.problem) == ("refused", "AuthorizationFailed", "PP305")
    assert problem(hop.problem).remedy_for(**hop.decision) == (
        f"az role assignment create --assignee-object-id {orders.principal_id} --assignee-principal-type "
        f"ServicePrincipal --role 'Managed Identity Contributor' --scope {GROUP}"
    )
    assert "orders" in hop.who


async def test_a_successful_write_is_recorded_with_the_role_that_allowed_it(world: World) -> None:
    await world.call("PUT", f"{IDENTITIES}/orders", {"location": "eastus"})
    hop = world.hops[-1]
    assert (hop.whom, hop.outcome, hop.what) == ("arm", "done", f"PUT {IDENTITIES}/orders")
    assert hop.why == f"Owner at {SUB}"


async def test_the_api_version_is_required(world: World) -> None:
    reply = await send(world.arm.app, "GET", f"https://management.azure.com{SUB}", token=world.token())
    assert (reply.status, reply.code) == (400, "MissingApiVersionParameter")
    assert (await world.call("GET", SUB, version="yesterday")).code == "InvalidApiVersionParameter"
    assert (await world.call("GET", SUB, version="2031-01-01-preview")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/subscriptions/nope", 404, "SubscriptionNotFound"),
        ("GET", f"{SUB}/resourceGroups/nope", 404, "ResourceGroupNotFound"),
        ("GET", f"{SUB}/resourceGroups/nope/providers/Microsoft.KeyVault/vaults/kv", 404, "ResourceGroupNotFound"),
        ("GET", f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv", 404, "ResourceNotFound"),
        ("GET", f"{GROUP}/providers/Microsoft.KeyVault/nothings/kv", 404, "InvalidResourceType"),
        ("GET", f"{GROUP}/providers/Nobody.Nothing/things/x", 404, "InvalidResourceNamespace"),
        ("GET", f"{GROUP}/providers/Microsoft.Sql/servers/x", 501, "NotImplemented"),
        ("GET", f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv/privateLinkResources/x", 501, "NotImplemented"),
        ("POST", IDENTITIES, 405, "HttpMethodNotSupported"),
        ("GET", f"{GROUP}/providers/Microsoft.Authorization/denyAssignments", 200, ""),
        ("GET", f"{GROUP}/providers/Microsoft.Authorization/denyAssignments/x", 404, "DenyAssignmentNotFound"),
        ("PUT", f"{GROUP}/providers/Microsoft.Authorization/denyAssignments/x", 501, "NotImplemented"),
        ("GET", f"{SUB}/providers/Microsoft.KeyVault/vaults/kv", 405, "HttpMethodNotSupported"),
        ("GET", f"{GROUP}/x/y", 400, "InvalidRequestUri"),
        ("DELETE", f"{SUB}/resourceGroups/nope", 404, "ResourceGroupNotFound"),
        ("DELETE", f"{IDENTITIES}/nope", 204, ""),
    ],
)
async def test_what_is_not_there_is_refused_as_azure_does(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    reply = await world.call(method, path, {} if method == "PUT" else None)
    assert reply.status == status
    if code:
        assert reply.code == code


async def test_what_is_not_emulated_is_recorded(world: World) -> None:
    await world.call("GET", f"{GROUP}/providers/Microsoft.Sql/servers/x")
    assert (world.hops[-1].outcome, world.hops[-1].wire) == ("noted", "NotImplemented")


async def test_answers_carry_the_headers_of_every_answer(world: World) -> None:
    url = f"https://management.azure.com{SUB}?api-version=2022-12-01"
    headers = {"x-ms-client-request-id": "abc", "x-ms-return-client-request-id": "true"}
    reply = await send(world.arm.app, "GET", url, token=world.token(), headers=headers)
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["x-ms-client-request-id"] == "abc"
    assert {"x-ms-request-id", "x-ms-correlation-request-id"} <= reply.headers.keys()
    quiet = await send(world.arm.app, "GET", url, token=world.token(), headers={"x-ms-client-request-id": "abc"})
    assert "x-ms-client-request-id" not in quiet.headers


# Subscriptions and groups


async def test_subscriptions_and_tenants_are_those_of_the_caller(world: World) -> None:
    world.arm.seed.put_subscription(TENANT, "hidden")
    listed = await world.call("GET", "/subscriptions")
    assert [one["subscriptionId"] for one in listed.body["value"]] == [SUBSCRIPTION]
    assert listed.body["value"][0]["state"] == "Enabled"
    assert (await world.call("GET", "/subscriptions", who=world.identity("none"))).body == {"value": []}
    assert (await world.call("GET", "/tenants")).body["value"][0]["tenantId"] == TENANT
    assert len((await world.call("GET", f"{SUB}/locations")).body["value"]) > 10


async def test_a_group_is_made_found_in_any_letter_case_and_removed(world: World) -> None:
    path = f"{SUB}/resourcegroups/Web"
    made = await world.call("PUT", path, {"location": "West Europe", "tags": {"a": "b"}})
    assert made.status == 201
    assert made.body == {
        "id": f"{SUB}/resourceGroups/Web",
        "name": "Web",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {"provisioningState": "Succeeded"},
    }
    assert (await world.call("PUT", path, {"location": "westeurope"})).status == 200
    assert (await world.call("PUT", path, {"location": "eastus"})).code == "InvalidResourceGroupLocation"
    assert (await world.call("GET", path.upper().replace("SUBSCRIPTIONS", "Subscriptions"))).body["name"] == "Web"
    assert (await world.call("HEAD", path)).status == 204
    assert (await world.call("PATCH", path, {"tags": {"c": "d"}})).body["tags"] == {"c": "d"}
    names = [one["name"] for one in (await world.call("GET", f"{SUB}/resourcegroups")).body["value"]]
    assert sorted(names) == ["Web", "shop"]
    assert (await world.call("DELETE", path)).status == 200
    assert (await world.call("HEAD", path)).status == 404


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("web", {}, "LocationRequired"),
        ("web", {"location": "atlantis"}, "LocationNotAvailableForResourceType"),
        ("web.", {"location": "eastus"}, "InvalidResourceGroup"),
        ("x" * 91, {"location": "eastus"}, "InvalidResourceGroup"),
        ("web", [], "InvalidRequestContent"),
        ("web", {"location": 5}, "InvalidRequestContent"),
        ("web", b"{", "InvalidRequestContent"),
        ("web", b"", "InvalidRequestContent"),
        ("web", b"[" * 100_000, "InvalidRequestContent"),
        ("web", b'{"location": "\xff"}', "InvalidRequestContent"),
    ],
)
async def test_a_bad_group_is_refused_and_nothing_changes(world: World, name: str, body: object, code: str) -> None:
    reply = await world.call("PUT", f"{SUB}/resourceGroups/{name}", body)
    assert (reply.status, reply.code) == (400, code)
    assert len((await world.call("GET", f"{SUB}/resourcegroups")).body["value"]) == 1


async def test_the_json_path_of_a_fault_is_named(world: World) -> None:
    reply = await world.call("PUT", f"{SUB}/resourceGroups/web", {"location": "eastus", "tags": {"a": 1}})
    assert "$.tags" in reply.message


async def test_a_body_beyond_the_limit_is_refused_unread(world: World) -> None:
    reply = await world.call("PUT", f"{SUB}/resourceGroups/web", b" " * (4 * 1024 * 1024 + 1))
    assert (reply.status, reply.code) == (413, "RequestContentTooLarge")


async def test_deleting_a_group_removes_what_is_inside(world: World) -> None:
    orders = world.identity("orders")
    world.arm.seed.put_federated_credential(orders.id, "kube", issuer="https://i", subject="s")
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Secrets User", orders.principal_id)
    assert (await world.call("DELETE", GROUP)).status == 200
    assert world.directory.application(TENANT, orders.client_id) is None
    assert world.arm.vault("kv-shop") is None
    assert world.arm.estate.assignments.of(orders.principal_id) == []
    assert not world.arm.estate.below(resource_id(SUB))


async def test_resources_are_found_by_name_as_far_as_they_may_be_read(world: World) -> None:
    world.arm.seed.put_vault(world.group.id, "kv-shop")
    query = "$filter=resourceType%20eq%20%27Microsoft.KeyVault/vaults%27%20and%20name%20eq%20%27KV-shop%27"
    found = await world.call("GET", f"{SUB}/resources?{query}", version="2015-11-01")
    assert [one["name"] for one in found.body["value"]] == ["kv-shop"]
    assert found.body["value"][0]["location"] == "eastus"
    nobody = await world.call("GET", f"{SUB}/resources?{query}", who=world.identity("orders"))
    assert (nobody.status, nobody.body) == (200, {"value": []})
    all_of_group = await world.call(
        "GET", f"{SUB}/resources?$filter=resourceGroup eq 'shop'&$expand=createdTime".replace(" ", "%20")
    )
    assert {one["name"] for one in all_of_group.body["value"]} == {"kv-shop", "orders"}
    assert all("createdTime" in one for one in all_of_group.body["value"])
    assert (await world.call("GET", f"{SUB}/resources?$filter=bogus")).code == "InvalidFilterInQueryString"


async def test_lists_come_in_pages(world: World) -> None:
    for number in range(5):
        world.identity(f"app-{number}")
    seen, path = [], f"{IDENTITIES}?$top=2"
    while True:
        reply = await world.call("GET", path)
        seen += [one["name"] for one in reply.body["value"]]
        if "nextLink" not in reply.body:
            break
        assert reply.body["nextLink"].startswith("https://management.azure.com/")
        path = (
            reply.body["nextLink"].removeprefix("https://management.azure.com").replace("&api-version=2024-11-01", "")
        )
    assert seen == [f"app-{number}" for number in range(5)]
    assert (await world.call("GET", f"{IDENTITIES}?$skiptoken=!!")).code == "InvalidSkipToken"


async def test_a_list_shows_what_the_caller_may_read(world: World) -> None:
    orders, other = world.identity("orders"), world.identity("other")
    assert (await world.call("GET", IDENTITIES, who=orders)).code == "AuthorizationFailed"
    world.arm.seed.put_role_assignment(orders.id, "Reader", orders.principal_id)
    listed = await world.call("GET", IDENTITIES, who=orders)
    assert [one["name"] for one in listed.body["value"]] == ["orders"]
    assert (await world.call("GET", other.id, who=orders)).status == 403


# Roles


async def test_role_definitions_are_found_by_name_in_the_subscription_form(world: World) -> None:
    path = f"{GROUP}/{DEFINITIONS}"
    found = await world.call("GET", f"{path}?$filter=roleName%20eq%20'key%20vault%20secrets%20user'")
    (definition,) = found.body["value"]
    assert definition["id"] == f"{SUB}/{DEFINITIONS}/{SECRETS_USER}"
    assert definition["properties"]["permissions"][0]["dataActions"]
    one = await world.call("GET", f"{path}/{SECRETS_USER.upper()}")
    assert one.body == definition
    assert len((await world.call("GET", path)).body["value"]) > 15
    assert (await world.call("GET", f"{path}/{uuid.UUID(int=1)}")).code == "RoleDefinitionDoesNotExist"


async def test_a_role_assignment_is_made_once(world: World) -> None:
    orders = world.identity("orders")
    name = str(uuid.uuid4())
    body = {
        "properties": {
            "roleDefinitionId": f"{SUB.upper()}/{DEFINITIONS}/{SECRETS_USER.upper()}",
            "principalId": orders.principal_id.upper(),
            "principalType": "ServicePrincipal",
        }
    }
    made = await world.call("PUT", f"{GROUP.upper()}/{ASSIGNMENTS}/{name}", body, version="2022-04-01")
    assert made.status == 201
    properties = made.body["properties"]
    assert made.body["id"] == f"{GROUP}/{ASSIGNMENTS}/{name}"
    assert properties["roleDefinitionId"] == f"{SUB}/{DEFINITIONS}/{SECRETS_USER}"
    assert (properties["principalId"], properties["scope"]) == (orders.principal_id, GROUP)
    assert properties["createdBy"] == world.owner.object_id
    assert (await world.call("PUT", f"{GROUP}/{ASSIGNMENTS}/{name}", body)).status == 200
    other = await world.call("PUT", f"{GROUP}/{ASSIGNMENTS}/{uuid.uuid4()}", body)
    assert (other.status, other.code) == (409, "RoleAssignmentExists")
    assert (await world.call("GET", made.body["id"])).body == made.body
    assert (await world.call("DELETE", made.body["id"])).status == 200
    assert (await world.call("DELETE", made.body["id"])).status == 204
    assert (await world.call("GET", made.body["id"])).status == 404


@pytest.mark.parametrize(
    ("change", "name", "status", "code"),
    [
        ({"principalId": str(uuid.UUID(int=7))}, "", 400, "PrincipalNotFound"),
        ({"roleDefinitionId": f"{SUB}/{DEFINITIONS}/{uuid.UUID(int=7)}"}, "", 400, "RoleDefinitionDoesNotExist"),
        ({"principalType": "User"}, "", 400, "UnmatchedPrincipalType"),
        ({"principalType": "Robot"}, "", 400, "InvalidRequestContent"),
        ({"condition": "true"}, "", 501, "NotImplemented"),
        ({}, "not-a-guid", 400, "InvalidRoleAssignmentId"),
    ],
)
async def test_a_bad_role_assignment_is_refused(
    world: World, change: dict[str, str], name: str, status: int, code: str
) -> None:
    orders = world.identity("orders")
    properties = {"roleDefinitionId": SECRETS_USER, "principalId": orders.principal_id, **change}
    path = f"{GROUP}/{ASSIGNMENTS}/{name or uuid.uuid4()}"
    reply = await world.call("PUT", path, {"properties": properties})
    assert (reply.status, reply.code) == (status, code)
    assert world.arm.estate.assignments.of(orders.principal_id) == []


async def test_a_role_can_be_given_at_one_secret_but_not_at_a_missing_vault(world: World) -> None:
    orders = world.identity("orders")
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    properties = {"roleDefinitionId": SECRETS_USER, "principalId": orders.principal_id}
    made = await world.call("PUT", f"{vault.id}/secrets/a/{ASSIGNMENTS}/{uuid.uuid4()}", {"properties": properties})
    assert made.body["properties"]["scope"] == f"{vault.id}/secrets/a"
    missing = vault.id.replace("kv-shop", "kv-none")
    reply = await world.call("PUT", f"{missing}/{ASSIGNMENTS}/{uuid.uuid4()}", {"properties": properties})
    assert reply.code == "ResourceNotFound"


async def test_assignments_are_listed_by_scope_and_principal(world: World) -> None:
    orders = world.identity("orders")
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Secrets User", orders.principal_id)
    world.arm.seed.put_role_assignment(GROUP, "Reader", orders.principal_id)

    async def scopes(path: str, query: str) -> list[str]:
        reply = await world.call("GET", f"{path}/{ASSIGNMENTS}?$filter={query}".replace(" ", "%20"))
        return sorted(one["properties"]["scope"] for one in reply.body["value"])

    assert await scopes(GROUP, "atScope()") == sorted([SUB, GROUP])
    assert await scopes(SUB, "atScope()") == [SUB]
    assert await scopes(SUB, f"principalId eq '{orders.principal_id}'") == sorted([GROUP, vault.id])
    assert await scopes(vault.id, f"atScope() and assignedTo('{orders.principal_id}')") == sorted([GROUP, vault.id])
    assert await scopes(SUB, "") == sorted([SUB, GROUP, vault.id])
    refused = await world.call("GET", f"{SUB}/{ASSIGNMENTS}?$filter=atScope()%20and%20principalId%20eq%20'x'")
    assert refused.status == 400


# The cloud's description


@pytest.mark.parametrize(("version", "shape"), [("2019-05-01", list), ("2022-09-01", dict), ("2015-01-01", dict)])
async def test_the_clouds_description_has_the_shape_of_its_version(world: World, version: str, shape: type) -> None:
    url = f"https://management.azure.com//metadata/endpoints?api-version={version}"
    reply = await send(world.arm.app, "GET", url)
    assert reply.status == 200
    assert isinstance(reply.body, shape)
    cloud = reply.body[0] if isinstance(reply.body, list) else reply.body
    assert cloud["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com/"
    if version != "2015-01-01":
        assert cloud["resourceManager"] == "https://management.azure.com/"
        assert cloud["suffixes"]["keyVaultDns"] == "vault.azure.net"
    else:
        assert "galleryEndpoint" in cloud


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
    path=st.text(st.sampled_from("/abpv%.~é"), max_size=20),
    body=st.binary(max_size=30),
    base=st.sampled_from(["", SUB, GROUP, IDENTITIES, f"{SUB}/providers"]),
)
async def test_no_request_breaks_the_service(world: World, method: str, path: str, body: bytes, base: str) -> None:
    reply = await world.call(method, base + quote(path), body)
    assert reply.status < 500 or reply.status == 501


async def test_a_list_tells_a_stranger_nothing_of_what_is_absent(world: World) -> None:
    path = f"{SUB}/resourceGroups/none/providers/Microsoft.KeyVault/vaults"
    assert (await world.call("GET", path)).code == "ResourceGroupNotFound"
    assert (await world.call("GET", path, who=world.identity("orders"))).code == "AuthorizationFailed"
