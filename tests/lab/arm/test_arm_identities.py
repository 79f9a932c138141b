"""Managed identities, federated credentials, and seeding through the same rules."""

from dataclasses import replace

import pytest

from podpass.lab.arm import ArmError
from podpass.lab.arm.managed_identity import MAX_CREDENTIALS
from podpass.tokens.federation import FederatedCredential
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, World

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
AUDIENCE = "api://AzureADTokenExchange"
SUBJECT = "system:serviceaccount:shop:orders"


def body(**changes: object) -> dict[str, object]:
    return {"properties": {"issuer": "https://issuer/", "subject": SUBJECT, "audiences": [AUDIENCE], **changes}}


async def test_an_identity_is_an_application_of_the_directory(world: World) -> None:
    made = await world.call(
        "PUT", f"{IDENTITIES.replace('resourceGroups', 'resourcegroups')}/orders", {"location": "eastus"}
    )
    assert made.status == 201
    properties = made.body["properties"]
    assert made.body["id"] == f"{IDENTITIES}/orders"
    assert made.body["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities"
    assert made.body["systemData"]["createdBy"] == world.owner.client_id
    application = world.directory.application(TENANT, properties["clientId"])
    assert application is not None
    assert (application.object_id, application.kind) == (properties["principalId"], "managed-identity")
    assert (application.resource_id, application.display_name) == (made.body["id"], "orders")
    again = await world.call("PUT", f"{IDENTITIES}/ORDERS", {"location": "eastus", "tags": {"a": "b"}})
    assert (again.status, again.body["properties"], again.body["id"]) == (200, properties, made.body["id"])
    assert (await world.call("DELETE", f"{IDENTITIES}/orders")).status == 200
    assert world.directory.application(TENANT, properties["clientId"]) is None
    assert (await world.call("DELETE", f"{IDENTITIES}/orders")).status == 204


@pytest.mark.parametrize("name", ["ab", "-abc", "a" * 129, "a.b.c"])
async def test_a_bad_identity_name_is_refused(world: World, name: str) -> None:
    reply = await world.call("PUT", f"{IDENTITIES}/{name}", {"location": "eastus"})
    assert (reply.status, reply.code) == (400, "InvalidResourceName")
    assert name in reply.message


async def test_a_federated_credential_reaches_the_directory(world: World) -> None:
    orders = world.identity("orders")
    path = f"{orders.id}/federatedIdentityCredentials/kube"
    made = await world.call("PUT", path, body(), version="2025-01-31-preview")
    assert made.status == 201
    assert made.body["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
    assert made.body["properties"] == body()["properties"]
    assert made.body.keys() >= {"id", "name", "systemData"}
    assert "location" not in made.body
    wanted = FederatedCredential("kube", "https://issuer/", SUBJECT, (AUDIENCE,))
    assert world.directory.credentials(TENANT, orders.client_id) == (wanted,)
    changed = await world.call("PUT", path, made.body | body(issuer="https://issuer"))
    assert changed.status == 200
    assert world.directory.credentials(TENANT, orders.client_id)[0].issuer == "https://issuer"
    listed = await world.call("GET", f"{orders.id}/federatedIdentityCredentials")
    assert [one["name"] for one in listed.body["value"]] == ["kube"]
    assert (await world.call("DELETE", path)).status == 200
    assert world.directory.credentials(TENANT, orders.client_id) == ()
    assert (await world.call("GET", path)).code == "ResourceNotFound"


@pytest.mark.parametrize(
    ("name", "changes", "gist"),
    [
        pytest.param("kube", {"audiences": []}, "exactly 1", id="no-audience"),
        pytest.param("kube", {"audiences": [AUDIENCE, "b"]}, "exactly 1", id="two-audiences"),
        pytest.param("kube", {"audiences": AUDIENCE}, "$.properties.audiences", id="audience-as-text"),
        pytest.param("kube", {"audiences": ["a" * 601]}, "600", id="long-audience"),
        pytest.param("kube", {"issuer": "https://" + "a" * 600}, "600", id="long-issuer"),
        pytest.param("kube", {"subject": "a" * 601}, "600", id="long-subject"),
        pytest.param("kube", {"subject": ""}, "subject", id="empty-subject"),
        pytest.param("kube", {"issuer": ""}, "issuer", id="empty-issuer"),
        pytest.param("kube", {"issuer": None}, "must specify 'issuer'", id="no-issuer"),
        pytest.param("kube", {"subject": None}, "must specify 'issuer', 'subject'", id="no-subject"),
        pytest.param("ku", {}, "name", id="short-name"),
        pytest.param("-kube", {}, "name", id="hyphen-first"),
        pytest.param("a" * 121, {}, "name", id="long-name"),
        pytest.param(
            "kube",
            {"subject": None, "claimsMatchingExpression": {"value": "claims['sub'] eq 'a'", "languageVersion": 1}},
            "not supported",
            id="expression-for-another-issuer",
        ),
        pytest.param(
            "kube",
            {"claimsMatchingExpression": {"value": "x", "languageVersion": 1}},
            "mutually exclusive",
            id="expression-too",
        ),
    ],
)
async def test_a_bad_federated_credential_is_refused(
    world: World, name: str, changes: dict[str, object], gist: str
) -> None:
    orders = world.identity("orders")
    path = f"{orders.id}/federatedIdentityCredentials/{name}"
    reply = await world.call("PUT", path, body(**changes), version="2025-01-31-preview")
    assert reply.status == 400
    assert gist in reply.message
    assert world.directory.credentials(TENANT, orders.client_id) == ()


EXPRESSION = {"value": "claims['sub'] matches 'project_path:shop/*'", "languageVersion": 1}
FLEXIBLE = {
    "properties": {"issuer": "https://gitlab.com", "audiences": [AUDIENCE], "claimsMatchingExpression": EXPRESSION}
}


async def test_a_flexible_credential_reaches_the_directory_and_changes_into_a_classic_one(world: World) -> None:
    orders, version = world.identity("orders"), "2025-05-31-preview"
    path = f"{orders.id}/federatedIdentityCredentials/gitlab"
    made = await world.call("PUT", path, FLEXIBLE, version=version)
    assert (made.status, made.body["properties"]) == (201, FLEXIBLE["properties"])
    (kept,) = world.directory.credentials(TENANT, orders.client_id)
    assert (kept.subject, str(kept.expression)) == ("", EXPRESSION["value"])
    other = f"{orders.id}/federatedIdentityCredentials/other"
    again = await world.call("PUT", other, FLEXIBLE, version=version)
    assert (again.status, "Issuer and claims matching expression combination" in again.message) == (400, True)
    assert (await world.call("GET", path, version="2024-11-30")).body["properties"] == FLEXIBLE["properties"]
    assert (await world.call("PUT", path, body(), version=version)).body["properties"] == body()["properties"]
    assert world.directory.credentials(TENANT, orders.client_id)[0].expression is None


async def test_an_older_api_version_knows_no_expressions(world: World) -> None:
    path = f"{world.identity('orders').id}/federatedIdentityCredentials/gitlab"
    reply = await world.call("PUT", path, FLEXIBLE, version="2024-11-30")
    assert (reply.status, "must specify 'issuer', 'subject' and 'audience'" in reply.message) == (400, True)


async def test_seeding_makes_flexible_credentials_by_the_same_rules(world: World) -> None:
    orders, seed = world.identity("orders"), world.arm.seed
    made = seed.put_federated_credential(orders.id, "lab", issuer="https://gitlab.com", expression=EXPRESSION["value"])
    assert world.directory.credentials(TENANT, orders.client_id) == (made,)
    expression = "claims['sub'] matches 'system:serviceaccount:*:app'"
    with pytest.raises(ArmError, match="not supported for issuer 'https://i'"):
        seed.put_federated_credential(orders.id, "kube", issuer="https://i", expression=expression)
    tenant = world.directory.tenant(TENANT)
    assert tenant is not None
    world.directory.put_tenant(replace(tenant, any_flexible_issuer=True))
    assert seed.put_federated_credential(orders.id, "kube", issuer="https://i", expression=expression).expression


async def test_wrong_values_are_taken_and_wildcards_are_letters(world: World) -> None:
    orders = world.identity("orders")
    reply = await world.call(
        "PUT", f"{orders.id}/federatedIdentityCredentials/kube", body(issuer="not a url", subject="system:*:*")
    )
    assert reply.status == 201


async def test_issuer_and_subject_are_unique_within_an_identity_only(world: World) -> None:
    orders, other = world.identity("orders"), world.identity("other")
    assert (await world.call("PUT", f"{orders.id}/federatedIdentityCredentials/one", body())).status == 201
    again = await world.call("PUT", f"{orders.id}/federatedIdentityCredentials/two", body(audiences=["b"]))
    assert (again.status, "combination already exists" in again.message) == (400, True)
    assert (await world.call("PUT", f"{other.id}/federatedIdentityCredentials/one", body())).status == 201


async def test_the_twenty_first_credential_is_refused(world: World) -> None:
    orders = world.identity("orders")
    for number in range(MAX_CREDENTIALS):
        path = f"{orders.id}/federatedIdentityCredentials/kube-{number}"
        assert (await world.call("PUT", path, body(subject=f"s{number}"))).status == 201
    reply = await world.call("PUT", f"{orders.id}/federatedIdentityCredentials/one-more", body())
    assert (reply.status, "20" in reply.message) == (400, True)
    path = f"{orders.id}/federatedIdentityCredentials/kube-3"
    assert (await world.call("PUT", path, body(subject="changed"))).status == 200


async def test_a_credential_needs_its_identity(world: World) -> None:
    reply = await world.call("PUT", f"{IDENTITIES}/nobody/federatedIdentityCredentials/kube", body())
    assert (reply.status, reply.code) == (404, "ParentResourceNotFound")


# Seeding


def test_seeding_twice_changes_nothing(world: World) -> None:
    seed = world.arm.seed
    subscription = seed.put_subscription(TENANT, "second")
    assert seed.put_subscription("lab.example", "second") == subscription
    group = seed.put_group(subscription.id, "web", "westeurope")
    assert seed.put_group(subscription.id, "WEB", "West Europe") == group
    orders = seed.put_identity(group.id, "orders")
    assert seed.put_identity(group.id, "orders") == orders
    credential = seed.put_federated_credential(orders.id, "kube", issuer="https://i", subject=SUBJECT)
    assert seed.put_federated_credential(orders.id, "kube", issuer="https://i", subject=SUBJECT) == credential
    vault = seed.put_vault(group.id, "kv-web")
    assert seed.put_vault(group.id, "kv-web") == vault
    assert vault.location == "westeurope"
    assignment = seed.put_role_assignment(vault.id, "Key Vault Secrets User", orders.principal_id)
    assert (
        seed.put_role_assignment(vault.id.upper(), "4633458b-17de-408a-b874-0445c86b69e6", orders.principal_id)
        == assignment
    )


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (lambda world: world.arm.seed.put_subscription("nobody", "x"), "TenantNotFound"),
        (lambda world: world.arm.seed.put_group("nobody", "x"), "SubscriptionNotFound"),
        (lambda world: world.arm.seed.put_identity(f"{GROUP}-none", "orders"), "ResourceGroupNotFound"),
        (lambda world: world.arm.seed.put_vault(GROUP, "a--b"), "VaultNameNotValid"),
        (lambda world: world.arm.seed.put_role_assignment(GROUP, "Emperor", "x"), "RoleDefinitionDoesNotExist"),
        (lambda world: world.arm.seed.put_role_assignment(GROUP, "Reader", "x"), "PrincipalNotFound"),
    ],
)
def test_seeding_follows_the_rules_of_requests(world: World, deed: object, code: str) -> None:
    assert callable(deed)
    with pytest.raises(ArmError) as caught:
        deed(world)
    assert caught.value.code == code
