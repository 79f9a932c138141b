"""Who may use a vault: the challenge, tokens, roles, policies, network rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.arm.access_policies import AccessPolicy
from podpass.lab.arm.vaults import Vault
from podpass.lab.keyvault.http import vault_name
from podpass.lab.keyvault.model import AllowedByPolicy, DeniedByPolicy, decide_by_policy, network_refusal
from podpass.lab.keyvault.operations import SecretOperation
from podpass.problems import problem
from tests.lab.arm.azure_world import OTHER_TENANT, TENANT, VAULT_AUDIENCE, World, send

URL = "https://kv-shop.vault.azure.net/secrets/greeting/?api-version=7.4"
CHALLENGE = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'


def vault(
    *policies: AccessPolicy, public: bool = True, open_to_all: bool = True, addresses: tuple[str, ...] = ()
) -> Vault:
    return Vault(
        name="kv",
        id="/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv",
        instance="1",
        tenant_id=TENANT,
        location="eastus",
        is_rbac=False,
        policies=policies,
        retention_days=90,
        purge_protected=False,
        is_public=public,
        allows_all_addresses=open_to_all,
        allowed_addresses=addresses,
    )


def policy(*words: str, who: str = "p", application: str = "") -> AccessPolicy:
    return AccessPolicy(TENANT, who, application, {"secrets": frozenset(words)})


@pytest.mark.parametrize(
    ("policies", "operation", "allowed"),
    [
        pytest.param((), SecretOperation.GET, False, id="no-policy"),
        pytest.param((policy("get"),), SecretOperation.GET, True, id="get"),
        pytest.param((policy("get"),), SecretOperation.SET, False, id="get-is-not-set"),
        pytest.param((policy("get"),), SecretOperation.LIST, False, id="get-is-not-list"),
        pytest.param((policy("list"),), SecretOperation.VERSIONS, True, id="list-versions"),
        pytest.param((policy("list"),), SecretOperation.LIST_DELETED, True, id="list-deleted"),
        pytest.param((policy("get"),), SecretOperation.GET_DELETED, True, id="get-deleted"),
        pytest.param((policy("set"),), SecretOperation.UPDATE, True, id="update-needs-set"),
        pytest.param((policy("all"),), SecretOperation.BACKUP, True, id="all"),
        pytest.param((policy("all"),), SecretOperation.PURGE, False, id="all-is-not-purge"),
        pytest.param((policy("all", "purge"),), SecretOperation.PURGE, True, id="purge"),
        pytest.param((policy("get", who="other"),), SecretOperation.GET, False, id="another-object"),
        pytest.param((policy("get", who="P"),), SecretOperation.GET, True, id="letter-case"),
        pytest.param((policy("get", application="app"),), SecretOperation.GET, True, id="with-this-application"),
        pytest.param(
            (policy("get", application="elsewhere"),), SecretOperation.GET, False, id="with-another-application"
        ),
        pytest.param((policy("list"), policy("get", application="app")), SecretOperation.GET, True, id="two-policies"),
    ],
)
def test_access_policies_decide(policies: tuple[AccessPolicy, ...], operation: SecretOperation, allowed: bool) -> None:
    decision = decide_by_policy(vault(*policies), object_id="p", client_id="app", operation=operation)
    assert isinstance(decision, AllowedByPolicy) is allowed
    assert "p" in decision.why


def test_a_refusal_says_what_the_policy_holds() -> None:
    decision = decide_by_policy(
        vault(policy("list", "set")), object_id="p", client_id="app", operation=SecretOperation.GET
    )
    assert decision == DeniedByPolicy("p", "get", True, ("list", "set"))
    assert decision.why == "the policy of p lacks the secret permission get (held: list, set)"


@pytest.mark.parametrize(
    ("rules", "address", "refusal"),
    [
        (vault(), "", ""),
        (vault(public=False), "127.0.0.1", "ForbiddenByConnection"),
        (vault(open_to_all=False), "127.0.0.1", "ForbiddenByFirewall"),
        (vault(open_to_all=False, addresses=("127.0.0.0/8",)), "127.0.0.1", ""),
        (vault(open_to_all=False, addresses=("10.0.0.1",)), "127.0.0.1", "ForbiddenByFirewall"),
        (vault(open_to_all=False, addresses=("10.0.0.1",)), "", "ForbiddenByFirewall"),
        (vault(open_to_all=False, addresses=("nonsense",)), "127.0.0.1", "ForbiddenByFirewall"),
    ],
)
def test_network_rules_decide_by_address(rules: Vault, address: str, refusal: str) -> None:
    assert network_refusal(rules, address) == refusal


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("kv.vault.azure.net", "kv"),
        ("KV.Vault.Azure.Net:443", "kv"),
        ("kv.vault.azure.net:8443", "kv"),
        ("vault.azure.net", ""),
        ("a.b.vault.azure.net", ""),
        ("kv.vault.azure.net.evil.example", ""),
        ("", ""),
    ],
)
def test_the_host_names_the_vault(host: str, name: str) -> None:
    assert vault_name(host, ("vault.azure.net",)) == name


@settings(deadline=None)
@given(st.text(max_size=80))
def test_reading_a_host_never_fails(host: str) -> None:
    assert vault_name(host, ("vault.azure.net",)) in ("", host.lower().partition(".")[0])


# Over HTTP


@pytest.fixture
def shop(world: World) -> World:
    world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.keyvault.set_secret("kv-shop", "greeting", "hello from the vault")
    return world


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
async def test_the_first_request_is_challenged_whatever_it_asks(shop: World, method: str) -> None:
    reply = await send(shop.keyvault.app, method, URL.partition("?")[0])
    assert (reply.status, reply.code) == (401, "Unauthorized")
    assert reply.headers["www-authenticate"] == CHALLENGE
    assert reply.message == "AKV10000: Request is missing a Bearer or PoP token."


@pytest.mark.parametrize(
    ("claims", "audience", "start"),
    [
        ({}, "https://management.azure.com/", "AKV10022: Invalid audience. Expected https://vault.azure.net, found: "),
        (
            {"tid": OTHER_TENANT, "iss": f"https://sts.windows.net/{OTHER_TENANT}/"},
            VAULT_AUDIENCE,
            "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/",
        ),
        ({"exp": 1}, VAULT_AUDIENCE, "Error validating token: IDX10223"),
    ],
)
async def test_a_token_that_does_not_count_is_refused(
    shop: World, claims: dict[str, object], audience: str, start: str
) -> None:
    token = shop.token(shop.identity("orders"), audience, **claims)
    reply = await send(shop.keyvault.app, "GET", URL, token=token)
    assert (reply.status, reply.code) == (401, "Unauthorized")
    assert reply.message.startswith(start)
    assert reply.headers["www-authenticate"] == CHALLENGE
    hop = shop.hops[-1]
    assert hop.problem == "PP306"
    assert "https://vault.azure.net/.default" in problem("PP306").remedy_for(**hop.decision)


async def test_the_challenge_names_the_port_that_the_client_used(shop: World) -> None:
    reply = await send(shop.keyvault.app, "GET", URL.replace(".net/", ".net:8443/"))
    assert reply.headers["www-authenticate"].endswith('resource="https://vault.azure.net:8443"')
    token = shop.token(shop.identity("orders"), "https://vault.azure.net:8443")
    assert (await send(shop.keyvault.app, "GET", URL.replace(".net/", ".net:8443/"), token=token)).status == 403


@pytest.mark.parametrize(
    "audience", ["https://vault.azure.net", "https://vault.azure.net/", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"]
)
async def test_each_audience_of_key_vault_counts(shop: World, audience: str) -> None:
    reply = await send(shop.keyvault.app, "GET", URL, token=shop.token(shop.identity("orders"), audience))
    assert reply.status == 403


async def test_a_missing_role_is_refused_with_the_command_that_mends_it(shop: World) -> None:
    orders = shop.identity("orders")
    reply = await shop.vault("GET", "kv-shop/secrets/greeting/", who=orders)
    assert (reply.status, reply.code, reply.body["error"]["innererror"]["code"]) == (
        403,
        "Forbidden",
        "ForbiddenByRbac",
    )
    lines = reply.message.split("\r\n")
    scope = shop.arm.vault("kv-shop").id  # type: ignore[union-attr]
    assert lines[0] == "Caller is not authorized to perform action on resource."
    assert f"Caller: appid={orders.client_id};oid={orders.principal_id};iss=https://sts.windows.net/{TENANT}/" in lines
    assert f"Resource: '{scope}/secrets/greeting'" in lines
    assert {"Assignment: (not found)", "DenyAssignmentId: null", "DecisionReason: null"} < set(lines)
    hop = shop.hops[-1]
    assert (hop.who, hop.what) == (
        f"appid {orders.client_id} oid {orders.principal_id} (orders)",
        "get secret greeting",
    )
    assert (hop.outcome, hop.wire, hop.problem) == ("refused", "ForbiddenByRbac", "PP301")
    assert problem(hop.problem).remedy_for(**hop.decision) == (
        f"az role assignment create --assignee-object-id {orders.principal_id} --assignee-principal-type "
        f"ServicePrincipal --role 'Key Vault Secrets User' --scope {scope}"
    )


async def test_a_caller_without_rights_learns_nothing_of_what_exists(shop: World) -> None:
    reply = await shop.vault("GET", "kv-shop/secrets/nothing/", who=shop.identity("orders"))
    assert reply.status == 403


async def test_a_role_lets_in_and_is_named(shop: World) -> None:
    orders = shop.identity("orders")
    shop.arm.seed.put_role_assignment(shop.group.id, "Key Vault Secrets User", orders.principal_id)
    reply = await shop.vault("GET", "kv-shop/secrets/greeting/", who=orders)
    assert (reply.status, reply.body["value"]) == (200, "hello from the vault")
    assert reply.headers["x-ms-keyvault-rbac-assignment-id"]
    hop = shop.hops[-1]
    assert (hop.outcome, hop.why) == ("granted", f"Key Vault Secrets User at {shop.group.id}")
    assert "hello" not in str(hop)
    assert hop.decision["value"].startswith("sha256:")
    assert (await shop.vault("PUT", "kv-shop/secrets/greeting", {"value": "x"}, who=orders)).status == 403


async def test_a_role_at_one_secret_counts_for_that_secret(shop: World) -> None:
    orders, scope = shop.identity("orders"), shop.arm.vault("kv-shop").id  # type: ignore[union-attr]
    shop.keyvault.set_secret("kv-shop", "other", "x")
    shop.arm.seed.put_role_assignment(f"{scope}/secrets/greeting", "Key Vault Secrets User", orders.principal_id)
    assert (await shop.vault("GET", "kv-shop/secrets/GREETING", who=orders)).status == 200
    assert (await shop.vault("GET", "kv-shop/secrets/other", who=orders)).status == 403
    assert (await shop.vault("GET", "kv-shop/secrets", who=orders)).status == 403


async def test_owners_read_no_secrets(shop: World) -> None:
    assert (await shop.vault("GET", "kv-shop/secrets/greeting", who=shop.owner)).status == 403


async def test_a_vault_of_policies_ignores_roles_and_the_other_way_round(world: World) -> None:
    orders = world.identity("orders")
    made = world.arm.seed.put_vault(world.group.id, "kv-old", rbac=False)
    world.keyvault.set_secret("kv-old", "greeting", "x")
    world.arm.seed.put_role_assignment(made.id, "Key Vault Administrator", orders.principal_id)
    reply = await world.vault("GET", "kv-old/secrets/greeting", who=orders)
    assert (reply.status, reply.body["error"]["innererror"]["code"]) == (403, "ForbiddenByPolicy")
    assert reply.message.startswith(
        f"The user, group or application 'appid={orders.client_id};oid={orders.principal_id};"
        f"iss=https://sts.windows.net/{TENANT}/' does not have secrets get permission on key vault "
        "'kv-old;location=eastus'."
    )
    hop = world.hops[-1]
    assert problem(hop.problem).remedy_for(**hop.decision) == (
        f"az keyvault set-policy --name kv-old --object-id {orders.principal_id} --secret-permissions get"
    )
    world.arm.seed.put_vault(world.group.id, "kv-old", rbac=False, policies={orders.principal_id: ["get"]})
    assert (await world.vault("GET", "kv-old/secrets/greeting", who=orders)).status == 200
    assert world.hops[-1].why == f"the access policy of {orders.principal_id} holds the secret permission get"
    other = world.identity("other")
    world.arm.seed.put_vault(world.group.id, "kv-new", rbac=True, policies={other.principal_id: ["get"]})
    assert (await world.vault("GET", "kv-new/secrets/x", who=other)).status == 403


async def test_a_vault_that_does_not_exist_is_not_found(shop: World) -> None:
    reply = await shop.vault("GET", "kv-none/secrets/x", who=shop.owner)
    assert (reply.status, reply.code) == (404, "VaultNotFound")
    assert shop.hops[-1].problem == "PP304"
    assert shop.keyvault.exists("KV-shop")
    assert not shop.keyvault.exists("kv-none")


async def test_a_closed_vault_lets_nobody_in(shop: World) -> None:
    path = shop.arm.vault("kv-shop").id  # type: ignore[union-attr]
    await shop.call("PATCH", path, {"properties": {"publicNetworkAccess": "Disabled"}})
    reply = await shop.vault("GET", "kv-shop/secrets/greeting", who=shop.owner)
    assert (reply.status, reply.body["error"]["innererror"]["code"]) == (403, "ForbiddenByConnection")
    assert shop.hops[-1].problem == "PP308"
