"""The authority's routes: discovery, keys, errors' shape, and what is not there."""

import base64
import hashlib
import re
import uuid
from urllib.parse import urlencode

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.entra.client_credentials import ClientSecret, digest_of
from podpass.tokens.encoding import to_base64url
from podpass.tokens.keys import JwkSet
from tests.lab.entra.entra_world import APPLICATION, DOMAIN, NOW, TENANT, VAULT, World

HOST = "https://login.microsoftonline.com"
V2 = "/v2.0/.well-known/openid-configuration"
V1 = "/.well-known/openid-configuration"


@pytest.mark.parametrize("tenant", [TENANT, TENANT.upper(), DOMAIN])
async def test_a_tenants_document_names_it_by_its_guid(world: World, tenant: str) -> None:
    document = (await world.send("GET", f"/{tenant}{V2}")).body
    assert document["issuer"] == f"{HOST}/{TENANT}/v2.0"
    assert document["token_endpoint"] == f"{HOST}/{TENANT}/oauth2/v2.0/token"
    assert document["authorization_endpoint"] == f"{HOST}/{TENANT}/oauth2/v2.0/authorize"
    assert document["device_authorization_endpoint"] == f"{HOST}/{TENANT}/oauth2/v2.0/devicecode"
    assert document["jwks_uri"] == f"{HOST}/{TENANT}/discovery/v2.0/keys"
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]


async def test_the_v1_document(world: World) -> None:
    document = (await world.send("GET", f"/{DOMAIN}{V1}")).body
    assert document["issuer"] == f"https://sts.windows.net/{TENANT}/"
    assert document["token_endpoint"] == f"{HOST}/{TENANT}/oauth2/token"
    assert document["jwks_uri"] == f"{HOST}/common/discovery/keys"


@pytest.mark.parametrize("tenant", ["common", "organizations"])
async def test_documents_for_any_tenant_leave_the_issuer_open(world: World, tenant: str) -> None:
    assert (await world.send("GET", f"/{tenant}{V2}")).body["issuer"] == HOST + "/{tenantid}/v2.0"
    assert (await world.send("GET", f"/{tenant}{V1}")).body["issuer"] == "https://sts.windows.net/{tenantid}/"


async def test_clients_are_sent_to_where_they_came_from(world: World) -> None:
    reply = await world.send("GET", f"/{TENANT}{V2}", headers={"host": "localhost:18443"})
    assert reply.body["token_endpoint"] == f"https://localhost:18443/{TENANT}/oauth2/v2.0/token"
    assert reply.body["issuer"] == f"{HOST}/{TENANT}/v2.0"
    odd = await world.send("GET", f"/{TENANT}{V2}", headers={"host": "evil/@x"})
    assert odd.body["token_endpoint"].startswith(HOST)


async def test_an_unknown_tenant_has_no_document(world: World) -> None:
    reply = await world.send("GET", f"/other.example{V2}")
    assert (reply.status, reply.body["error"], reply.code) == (400, "invalid_tenant", 90002)
    assert world.hops[-1].problem == "PP213"


async def test_the_published_keys_verify_tokens_and_carry_their_certificate(world: World) -> None:
    v2 = (await world.send("GET", f"/{TENANT}/discovery/v2.0/keys")).body
    v1 = (await world.send("GET", "/common/discovery/keys")).body
    key, upcoming = v2["keys"]
    assert key["kid"] != upcoming["kid"]
    certificate = base64.b64decode(key["x5c"][0])
    assert key["kid"] == key["x5t"] == to_base64url(hashlib.sha1(certificate).digest())
    assert len(key["kid"]) == 27
    assert x509.load_der_x509_certificate(certificate).public_key() == world.signing.signing.key.public.key
    assert key["issuer"] == f"{HOST}/{TENANT}/v2.0"
    assert "issuer" not in v1["keys"][0]
    assert JwkSet.from_dict(v2).kids == JwkSet.from_dict(v1).kids == world.entra.keys.kids


async def instance(world: World, endpoint: str, version: str = "1.1") -> object:
    query = f"api-version={version}&authorization_endpoint={endpoint}"
    return await world.send("GET", "/common/discovery/instance", query=query)


async def test_instance_discovery(world: World) -> None:
    reply = await instance(world, f"https://login.windows.net/{TENANT}/oauth2/authorize")
    body = reply.body
    assert body["tenant_discovery_endpoint"] == f"https://login.windows.net/{TENANT}{V2}"
    assert body["metadata"][0]["preferred_cache"] == "login.windows.net"
    assert "sts.windows.net" in body["metadata"][0]["aliases"]
    old = await instance(world, f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize", "1.0")
    assert list(old.body) == ["tenant_discovery_endpoint"]


@pytest.mark.parametrize("endpoint", ["https://evil.example/t/a", "http://login.windows.net/t/a", "", "https://["])
async def test_an_instance_that_is_no_authority(world: World, endpoint: str) -> None:
    reply = await instance(world, endpoint)
    assert (reply.status, reply.body["error"], reply.code) == (400, "invalid_instance", 50049)


async def test_an_error_has_every_member(world: World) -> None:
    correlation = str(uuid.uuid4())
    reply = await world.send(
        "POST",
        f"/{TENANT}/oauth2/v2.0/token",
        b"grant_type=password",
        headers={"client-request-id": correlation, "return-client-request-id": "true"},
    )
    body = reply.body
    assert list(body) == [
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    ]
    assert body["correlation_id"] == correlation == reply.headers["client-request-id"]
    assert body["timestamp"] == "2027-01-15 08:00:00Z"
    assert body["error_uri"] == f"{HOST}/error?code=70003"
    assert body["error_description"] == (
        "AADSTS70003: The app requested an unsupported grant type 'password'."
        f" Trace ID: {body['trace_id']} Correlation ID: {correlation} Timestamp: 2027-01-15 08:00:00Z"
    )
    assert reply.headers["x-ms-request-id"] == body["trace_id"]
    assert reply.headers["cache-control"] == "no-store, no-cache"


async def test_a_correlation_id_that_is_no_guid_is_replaced(world: World) -> None:
    reply = await world.send("GET", "/nothing", headers={"client-request-id": "x\u00e9"})
    uuid.UUID(reply.body["correlation_id"])
    assert "client-request-id" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"/{TENANT}/oauth2/v2.0/token", 400, 900561),
        ("GET", "/", 404, 9002313),
        ("GET", "/nothing/here", 404, 9002313),
        ("GET", f"/{TENANT}/oauth2/v2.0/authorize", 501, 9002313),
        ("POST", f"/{TENANT}/oauth2/v2.0/devicecode", 501, 9002313),
        ("POST", f"/{TENANT}{V2}", 404, 9002313),
        ("GET", f"/{TENANT}/discovery/instance", 404, 9002313),
    ],
)
async def test_what_is_not_there_is_refused_and_journalled(
    world: World, method: str, path: str, status: int, code: int
) -> None:
    reply = await world.send(method, path)
    assert (reply.status, reply.code) == (status, code)
    hop = world.hops[-1]
    assert (hop.what, hop.outcome, hop.wire) == (f"{method} {path}", "refused", f"AADSTS{code}")


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        pytest.param(b"x" * 1_048_576, {}, 90013, id="large"),
        pytest.param(b"", {"content-length": "9999999"}, 90013, id="announced-large"),
        pytest.param(b"grant_type=a&grant_type=b", {}, 9000411, id="repeated-parameter"),
        pytest.param(b"grant_type=%ff", {}, 90013, id="not-utf8"),
        pytest.param(b'{"grant_type":"client_credentials"}', {"content-type": "application/json"}, 900144, id="json"),
        pytest.param(b"", {}, 900144, id="empty"),
    ],
)
async def test_bodies_that_are_no_forms(world: World, body: bytes, headers: dict, code: int) -> None:
    reply = await world.send("POST", f"/{TENANT}/oauth2/v2.0/token", body, headers=headers)
    assert (reply.status, reply.code) == (400, code)


async def test_a_tenant_that_asks_too_often_is_told_when_to_come_back(world: World) -> None:
    world.faults.tokens_per_10_seconds = 2
    assert [(await world.ask()).status for _ in range(3)] == [200, 200, 429]
    world.clock.advance(4)
    refused = await world.ask()
    assert (refused.code, refused.body["error"], refused.headers["retry-after"]) == (
        90055,
        "temporarily_unavailable",
        "6",
    )
    assert (await world.send("GET", f"/{TENANT}{V2}")).status == 200
    assert (await world.ask(tenant="other.example")).code == 90002, "another tenant has calls of its own"
    world.clock.advance(6)
    assert (await world.ask()).status == 200


async def test_an_authority_that_is_not_available_says_so(world: World) -> None:
    world.faults.authority_unavailable = True
    reply = await world.ask()
    assert (reply.status, reply.code, reply.body["error"]) == (503, 90033, "temporarily_unavailable")
    assert world.hops[-1].wire == "AADSTS90033"
    world.faults.authority_unavailable = False
    assert (await world.ask()).status == 200


async def test_a_client_may_send_its_secret_in_a_basic_header(world: World) -> None:
    made = ClientSecret(
        key_id="k", digest=digest_of("s%3A"), hint="s%3", display_name=None, starts=NOW - 1, ends=NOW + 1
    )
    world.directory.put_secrets(TENANT, APPLICATION, (made,))

    async def status(client: str) -> tuple[int, int]:
        basic = {"authorization": "Basic " + base64.b64encode(client.encode()).decode()}
        form = urlencode({"grant_type": "client_credentials", "scope": VAULT}).encode()
        reply = await world.send("POST", f"/{TENANT}/oauth2/v2.0/token", form, headers=basic)
        return reply.status, 0 if reply.status == 200 else reply.code

    assert await status(f"{APPLICATION}:s%253A") == (200, 0)
    assert await status(f"{APPLICATION}:s%3A") == (401, 7000215)
    assert await status("nonsense") == (400, 900144)


async def test_an_assertion_of_ten_thousand_claims_is_refused(world: World) -> None:
    # Within the form's bound, and beyond the token's.
    assertion = world.assertion(**{f"c{number}": 0 for number in range(3000)})
    assert len(assertion) < 64_000
    reply = await world.ask(client_assertion=assertion)
    assert (reply.status, reply.code) == (400, 50027)
    assert "longer than" in reply.body["error_description"]


async def test_a_refused_request_changes_nothing(world: World) -> None:
    rows = "SELECT * FROM documents"
    before = world.store.connection.execute(rows).fetchall()
    await world.ask(client_assertion=world.assertion(iss="x"))
    await world.send("POST", f"/{TENANT}/oauth2/v2.0/token", b"x" * 100_000)
    assert world.store.connection.execute(rows).fetchall() == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(body=st.binary(max_size=300), path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "PUT"]))
async def test_any_request_gets_a_json_answer(world: World, body: bytes, path: str, method: str) -> None:
    for target in (f"/{path}", f"/{path}/oauth2/v2.0/token", f"/{TENANT}/oauth2/v2.0/token"):
        reply = await world.send(method, target, body)
        assert reply.status in (200, 400, 401, 404, 501)
        assert re.match(r"AADSTS\d+: ", reply.body["error_description"])


@pytest.mark.parametrize("text", [r"\ud800", r"\u0000", r"\u202e", r"\ud83d\ude00", "\x7f", r"\u001b[2J"])
async def test_odd_characters_in_claims_do_no_harm(world: World, text: str) -> None:
    header = to_base64url(b'{"alg":"RS256","kid":"k"}')
    claims = to_base64url(f'{{"iss":"{text}","sub":"{text}","aud":"{text}"}}'.encode())
    reply = await world.ask(client_assertion=f"{header}.{claims}.AAAA")
    assert reply.code in (50027, 700211)
    assert world.hops[-1].outcome == "refused"
