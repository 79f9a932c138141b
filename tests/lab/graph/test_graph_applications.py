"""Applications, service principals and their credentials, as az ad uses them."""

import base64
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.graph.authorization import GLOBAL_ADMINISTRATOR
from podpass.lab.graph.filters import parse
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import OTHER_TENANT, TENANT, Reply, World
from tests.lab.entra.test_entra_client_credentials import certificate
from tests.lab.graph.test_graph import Asking

APPLICATIONS, PRINCIPALS = "/v1.0/applications", "/v1.0/servicePrincipals"


@pytest.fixture
def graph(signing_key: SigningKey) -> Any:
    world = World(signing_key)
    yield Asking(world)
    world.store.close()


async def create(graph: Asking, name: str = "web", **more: Any) -> dict[str, Any]:
    made = await graph("POST", APPLICATIONS, {"displayName": name, **more})
    assert made.status == 201, made.body
    body: dict[str, Any] = made.body
    return body


async def found(graph: Asking, path: str, text: str) -> list[str]:
    reply: Reply = await graph("GET", f"{path}?$filter={quote(text, safe='')}")
    assert reply.status == 200, reply.body
    return sorted(one["displayName"] for one in reply.body["value"])


async def test_an_application_is_registered_shown_changed_and_deleted(graph: Asking) -> None:
    made = await create(graph, web={"redirectUris": ["https://web.example/"]}, api={"requestedAccessTokenVersion": 2})
    path = f"{APPLICATIONS}/{made['id']}"
    assert made["appId"] != made["id"]
    assert (made["signInAudience"], made["identifierUris"], made["passwordCredentials"]) == ("AzureADMyOrg", [], [])
    assert made["web"] == {"redirectUris": ["https://web.example/"]}
    assert made["api"]["requestedAccessTokenVersion"] == 2
    shown = (await graph("GET", path)).body
    assert {**shown, "@odata.context": ""} == {**made, "@odata.context": ""}
    assert (await graph("GET", f"{APPLICATIONS}(appId='{made['appId']}')")).body["id"] == made["id"]
    changed = await graph("PATCH", path, {"displayName": "shop", "identifierUris": [f"api://{made['appId']}"]})
    assert (changed.status, changed.body) == (204, None)
    after = (await graph("GET", path)).body
    assert (after["displayName"], after["identifierUris"]) == ("shop", [f"api://{made['appId']}"])
    assert after["web"] == made["web"]
    assert (await graph("DELETE", path)).status == 204
    gone = await graph("GET", path)
    assert (gone.status, gone.code) == (404, "Request_ResourceNotFound")


async def test_lists_are_filtered_as_az_filters_them(graph: Asking) -> None:
    made = await create(graph, "web", identifierUris=["api://web"])
    await create(graph, "web-two")
    await create(graph, "it's")
    for text, names in (
        (f"appId eq '{made['appId']}'", ["web"]),
        ("displayName eq 'WEB'", ["web"]),
        ("startswith(displayName,'web')", ["web", "web-two"]),
        ("startswith(displayName,'web') and identifierUris/any(s:s eq 'api://web')", ["web"]),
        ("displayName eq 'it''s'", ["it's"]),
        ("displayName eq 'nobody'", []),
    ):
        assert await found(graph, APPLICATIONS, text) == names
    # What is no registration is a service principal all the same.
    assert await found(graph, APPLICATIONS, "displayName eq 'orders'") == []
    assert await found(graph, PRINCIPALS, "displayName eq 'orders'") == ["orders"]


async def test_a_list_comes_in_pages(graph: Asking) -> None:
    for number in range(5):
        await create(graph, f"app-{number}")
    names, path, pages = [], f"{APPLICATIONS}?$top=2", 0
    while path:
        page = (await graph("GET", path)).body
        names += [one["displayName"] for one in page["value"]]
        path = page.get("@odata.nextLink", "").removeprefix("https://graph.microsoft.com")
        pages += 1
    assert (sorted(names), pages) == ([f"app-{number}" for number in range(5)], 3)
    for size in ("0", "1000", "x"):
        assert (await graph("GET", f"{APPLICATIONS}?$top={size}")).status == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({}, "Request_BadRequest", id="no-name"),
        pytest.param({"displayName": ""}, "Request_BadRequest", id="empty-name"),
        pytest.param({"displayName": "x" * 257}, "Request_BadRequest", id="long-name"),
        pytest.param({"displayName": "x", "nonsense": 1}, "Request_BadRequest", id="unknown-member"),
        pytest.param({"displayName": "x", "web": "y"}, "Request_BadRequest", id="wrong-type"),
        pytest.param({"displayName": "x", "identifierUris": ["no uri"]}, "Request_BadRequest", id="no-uri"),
        pytest.param({"displayName": "x", "identifierUris": ["api://x/"]}, "Request_BadRequest", id="slash"),
        pytest.param({"displayName": "x", "identifierUris": "api://x"}, "Request_BadRequest", id="no-list"),
        pytest.param(
            {"displayName": "x", "api": {"requestedAccessTokenVersion": 3}}, "Request_BadRequest", id="version"
        ),
        pytest.param({"displayName": "x", "passwordCredentials": [{}]}, "Request_BadRequest", id="password"),
        pytest.param({"displayName": "x", "keyCredentials": [{"key": "AAAA"}]}, "Request_BadRequest", id="no-cert"),
        pytest.param([], "BadRequest", id="a-list"),
        pytest.param(b"{", "BadRequest", id="no-json"),
    ],
)
async def test_what_is_no_application_is_refused_and_stores_nothing(graph: Asking, body: Any, code: str) -> None:
    reply = await graph("POST", APPLICATIONS, body)
    assert (reply.status, reply.code) == (400, code)
    assert (await graph("GET", APPLICATIONS)).body["value"] == []


async def test_an_application_id_uri_belongs_to_one_application(graph: Asking) -> None:
    await create(graph, "one", identifierUris=["api://shared"])
    reply = await graph("POST", APPLICATIONS, {"displayName": "two", "identifierUris": ["api://shared"]})
    assert (reply.status, reply.code) == (409, "Request_MultipleObjectsWithSameKeyValue")


async def test_a_service_principal_is_made_of_a_registration(graph: Asking) -> None:
    made = await create(graph, identifierUris=["api://web"])
    reply = await graph("POST", PRINCIPALS, {"appId": made["appId"], "accountEnabled": True})
    assert reply.status == 201
    assert reply.body["servicePrincipalNames"] == [made["appId"], "api://web"]
    application = graph.world.directory.application(TENANT, made["appId"])
    assert application is not None
    assert application.object_id == reply.body["id"]
    again = await graph("POST", PRINCIPALS, {"appId": made["appId"]})
    assert (again.status, again.code) == (409, "Request_MultipleObjectsWithSameKeyValue")
    unknown = await graph("POST", PRINCIPALS, {"appId": TENANT})
    # az tries again when it reads this.
    assert " does not reference " in unknown.message
    assert (await graph("PATCH", f"{PRINCIPALS}/{reply.body['id']}", {"accountEnabled": False})).status == 204
    assert (await graph("GET", f"{PRINCIPALS}/{reply.body['id']}")).body["accountEnabled"] is False
    assert (await graph("DELETE", f"{PRINCIPALS}/{reply.body['id']}")).status == 204
    assert (await graph("GET", f"{PRINCIPALS}/{reply.body['id']}")).status == 404
    assert (await graph("GET", f"{APPLICATIONS}/{made['id']}")).status == 200


async def test_a_managed_identitys_principal_is_not_changed_here(graph: Asking) -> None:
    path = f"{PRINCIPALS}/{graph.identity.principal_id}"
    for reply in (
        await graph("PATCH", path, {"accountEnabled": False}),
        await graph("DELETE", path),
        await graph("POST", f"{path}/addPassword", {}),
    ):
        assert (reply.status, reply.code) == (400, "Request_BadRequest")


@pytest.mark.parametrize("kind", ["application", "principal"])
async def test_a_password_is_shown_once_and_kept_as_a_digest(graph: Asking, kind: str) -> None:
    made = await create(graph)
    principal = (await graph("POST", PRINCIPALS, {"appId": made["appId"]})).body
    path = f"{APPLICATIONS}/{made['id']}" if kind == "application" else f"{PRINCIPALS}/{principal['id']}"
    added = (await graph("POST", f"{path}/addPassword", {"passwordCredential": {"displayName": "ci"}})).body
    text = added["secretText"]
    assert len(text) == 40
    assert text.startswith(added["hint"])
    (shown,) = (await graph("GET", path)).body["passwordCredentials"]
    assert (shown["keyId"], shown["displayName"], shown["secretText"]) == (added["keyId"], "ci", None)
    kept = graph.world.store.connection.execute("SELECT group_concat(CAST(body AS TEXT)) FROM documents").fetchone()[0]
    assert text not in kept
    assert text not in repr(graph.world.hops)
    other = f"{PRINCIPALS}/{principal['id']}" if kind == "application" else f"{APPLICATIONS}/{made['id']}"
    assert (await graph("GET", other)).body["passwordCredentials"] == []
    assert (await graph("POST", f"{path}/removePassword", {"keyId": TENANT})).status == 400
    assert (await graph("POST", f"{path}/removePassword", {"keyId": added["keyId"]})).status == 204
    assert (await graph("GET", path)).body["passwordCredentials"] == []


async def test_certificates_are_replaced_as_a_list_and_kept_by_their_key_id(graph: Asking) -> None:
    def key(name: str) -> dict[str, str]:
        der = certificate(rsa.generate_private_key(65537, 2048))
        return {
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": base64.b64encode(der).decode(),
            "displayName": name,
        }

    made = await create(graph, keyCredentials=[key("first")])
    (first,) = made["keyCredentials"]
    assert (first["displayName"], first["key"], len(first["customKeyIdentifier"])) == ("first", None, 40)
    path = f"{APPLICATIONS}/{made['id']}"
    kept = {name: first[name] for name in ("keyId", "type", "usage")}
    assert (await graph("PATCH", path, {"keyCredentials": [kept, key("second")]})).status == 204
    shown = (await graph("GET", path)).body["keyCredentials"]
    assert [one["displayName"] for one in shown] == ["first", "second"]
    assert shown[0]["customKeyIdentifier"] == first["customKeyIdentifier"]
    assert (await graph("PATCH", path, {"keyCredentials": [{"keyId": TENANT}]})).status == 400
    assert len((await graph("GET", path)).body["keyCredentials"]) == 2


async def test_federated_credentials_of_an_application_are_what_the_login_service_reads(graph: Asking) -> None:
    made = await create(graph)
    path = f"{APPLICATIONS}/{made['id']}/federatedIdentityCredentials"
    body = {
        "name": "cluster",
        "issuer": "https://issuer.example/c1/",
        "subject": "system:serviceaccount:shop:orders",
        "audiences": ["api://AzureADTokenExchange"],
        "description": "the shop",
    }
    created = await graph("POST", path, body)
    assert created.status == 201
    assert {name: created.body[name] for name in body} == body
    stored = FederatedCredential("cluster", body["issuer"], body["subject"], ("api://AzureADTokenExchange",))
    assert graph.world.directory.credentials(TENANT, made["appId"]) == (stored,)
    for name in ("cluster", created.body["id"]):
        assert (await graph("GET", f"{path}/{name}")).body["id"] == created.body["id"]
    assert [one["name"] for one in (await graph("GET", path)).body["value"]] == ["cluster"]
    assert (await graph("POST", path, {**body, "subject": "x"})).status == 409
    taken = await graph("POST", path, {**body, "name": "other"})
    assert (taken.status, taken.code) == (400, "InvalidFederatedIdentityCredentialValue")
    assert (await graph("PATCH", f"{path}/cluster", {"subject": "changed"})).status == 204
    assert (await graph("GET", f"{path}/cluster")).body["subject"] == "changed"
    upserted = await graph("PATCH", f"{path}(name='fresh')", {**body, "name": "fresh"}, Prefer="create-if-missing")
    assert upserted.status == 201
    assert (await graph("DELETE", f"{path}/fresh")).status == 204
    assert (await graph("DELETE", f"{path}/fresh")).status == 404


async def test_an_application_has_at_most_twenty_federated_credentials(graph: Asking) -> None:
    made = await create(graph)
    path = f"{APPLICATIONS}/{made['id']}/federatedIdentityCredentials"

    async def add(number: int, **changes: Any) -> Reply:
        body = {"name": f"cred-{number}", "issuer": "https://i.example", "subject": str(number), "audiences": ["a"]}
        return await graph("POST", path, {**body, **changes})

    assert (await add(0, audiences=[])).status == 400
    assert (await add(0, audiences=["a", "b"])).status == 400
    assert (await add(0, name="a b")).status == 400
    assert (await add(0, subject=None)).status == 400
    assert (await add(0, issuer="i" * 601)).status == 400
    assert (await add(0, claimsMatchingExpression={"value": "x", "languageVersion": 1})).status == 400
    for number in range(20):
        assert (await add(number)).status == 201
    refused = await add(20)
    assert (refused.status, refused.code) == (400, "InvalidFederatedIdentityCredentialValue")
    assert "maximum is 20" in refused.message


GITHUB = {
    "name": "github",
    "issuer": "https://token.actions.githubusercontent.com",
    "audiences": ["api://AzureADTokenExchange"],
    "claimsMatchingExpression": {
        "value": "claims['sub'] matches 'repo:contoso/*' and claims['repository_id'] eq '456789'",
        "languageVersion": 1,
    },
}


@pytest.mark.parametrize("version", ["v1.0", "beta"])
async def test_a_flexible_credential_is_made_changed_and_deleted(graph: Asking, version: str) -> None:
    made = await create(graph)
    path = f"/{version}/applications/{made['id']}/federatedIdentityCredentials"
    created = await graph("POST", path, {**GITHUB, "subject": None})
    assert created.status == 201, created.body
    assert created.body["@odata.context"].startswith(f"https://graph.microsoft.com/{version}/$metadata#applications(")
    shown = {name: created.body[name] for name in (*GITHUB, "subject")}
    assert shown == {**GITHUB, "subject": None}
    listed = (await graph("GET", path)).body
    assert listed["value"] == [{name: value for name, value in created.body.items() if name != "@odata.context"}]
    one = f"{path}/{created.body['id']}"
    refused = await graph("PATCH", one, {"subject": "repo:contoso/app:ref:refs/heads/main"})
    assert (refused.status, refused.code) == (400, "InvalidFederatedIdentityCredentialValue")
    assert "mutually exclusive" in refused.message
    wider = {"value": GITHUB["claimsMatchingExpression"]["value"].replace("/*", "*"), "languageVersion": 1}  # type: ignore[index]
    assert (await graph("PATCH", one, {"claimsMatchingExpression": wider})).status == 204
    assert (await graph("GET", one)).body["claimsMatchingExpression"] == wider
    classic = {"claimsMatchingExpression": None, "subject": "repo:contoso/app:ref:refs/heads/main"}
    assert (await graph("PATCH", one, classic)).status == 204
    after = (await graph("GET", one)).body
    assert (after["subject"], "claimsMatchingExpression" in after) == (classic["subject"], False)
    assert (await graph("DELETE", one)).status == 204


@pytest.mark.parametrize(
    ("changes", "gist"),
    [
        pytest.param({"issuer": "https://issuer.example/"}, "not supported for issuer", id="issuer"),
        pytest.param(
            {"claimsMatchingExpression": {"value": "claims['sub'] eq 'a'", "languageVersion": 1}},
            "either lacks all required claims or contains unallowed claims.",
            id="claims",
        ),
        pytest.param(
            {"claimsMatchingExpression": {**GITHUB["claimsMatchingExpression"], "languageVersion": 2}},  # type: ignore[dict-item]
            "LanguageVersion is invalid",
            id="version",
        ),
        pytest.param({"claimsMatchingExpression": None}, "Property 'subject' cannot be empty.", id="neither"),
        pytest.param({"subject": "a"}, "mutually exclusive", id="both"),
    ],
)
async def test_a_flexible_credential_is_refused(graph: Asking, changes: dict[str, Any], gist: str) -> None:
    made = await create(graph)
    reply = await graph("POST", f"/beta/applications/{made['id']}/federatedIdentityCredentials", {**GITHUB, **changes})
    assert (reply.status, reply.code) == (400, "InvalidFederatedIdentityCredentialValue")
    assert gist in reply.message


async def test_tenants_do_not_see_each_other(graph: Asking) -> None:
    made = await create(graph)
    elsewhere = graph.world.application("elsewhere", OTHER_TENANT)
    graph.graph.roles.give(OTHER_TENANT, GLOBAL_ADMINISTRATOR, elsewhere.object_id)
    graph.world.owner = elsewhere
    assert (await graph("GET", f"{APPLICATIONS}/{made['id']}", who=elsewhere)).status == 404
    assert (await graph("GET", APPLICATIONS, who=elsewhere)).body["value"] == []


async def test_who_holds_no_directory_role_may_not_write(graph: Asking) -> None:
    reply = await graph("POST", APPLICATIONS, {"displayName": "x"}, who=graph.identity)
    assert (reply.status, reply.code) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize(
    "text",
    [
        "displayName ne 'x'",
        "displayName eq x",
        "unknown eq 'x'",
        "displayName eq 'x' or appId eq 'y'",
        "displayName eq 'x' and",
        "endswith(displayName,'x')",
        " and ".join(["displayName eq 'x'"] * 17),
    ],
)
def test_what_is_beyond_the_grammar_is_no_filter(text: str) -> None:
    assert parse(text, {"displayname": "displayName", "appid": "appId"}) is None


@given(name=st.text(max_size=40))
def test_a_quoted_text_is_read_back(name: str) -> None:
    (term,) = parse(f"displayName eq '{name.replace(chr(39), chr(39) * 2)}'", {"displayname": "displayName"}) or ()
    assert term.text == name
    assert term.holds({"displayName": name})


@given(text=st.text(max_size=80))
def test_an_arbitrary_filter_breaks_nothing(text: str) -> None:
    parse(text, {"displayname": "displayName"})
