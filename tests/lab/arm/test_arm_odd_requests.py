"""What is sent wrongly, twice, at once or in another spelling, over every type of resource."""

import asyncio
import json
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm.catalogue import OPERATIONS, TYPES
from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.model import Actor, ResourceType
from podpass.lab.arm.networks import NETWORK, SUBNET
from podpass.lab.arm.seeding import Identity
from podpass.serving.depth import is_deeper_than
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, Reply, World, send
from tests.lab.arm.test_arm_access_table import address

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUB}/resourceGroups/shop"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
CREDENTIALS = f"{IDENTITIES}/orders/federatedIdentityCredentials"
NETWORK_ID = f"{GROUP}/providers/{NETWORK}/net"
MADE = tuple(kind for kind in TYPES if kind.shape is not None)
BODIES: dict[str, dict[str, Any]] = {
    GROUP_TYPE: {"location": "eastus"},
    "Microsoft.ManagedIdentity/userAssignedIdentities": {"location": "eastus"},
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": {
        "properties": {"issuer": "https://i.example/", "subject": "s", "audiences": ["api://AzureADTokenExchange"]}
    },
    "Microsoft.KeyVault/vaults": {
        "location": "eastus",
        "properties": {"tenantId": TENANT, "sku": {"name": "standard", "family": "A"}, "accessPolicies": []},
    },
    "Microsoft.Cache/Redis": {
        "location": "eastus",
        "properties": {"sku": {"name": "Basic", "family": "C", "capacity": 0}},
    },
    NETWORK: {"location": "eastus", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}}},
    SUBNET: {"properties": {"addressPrefix": "10.1.0.0/16"}},
    "Microsoft.ContainerService/managedClusters": {
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "c",
            "agentPoolProfiles": [{"name": "pool", "count": 1, "mode": "System", "vmSize": ""}],
        },
    },
}


def prepare(world: World) -> Identity:
    """Have what the types' children need; the identity among it."""
    world.arm.estate.put(parsed_id(NETWORK_ID), BODIES[NETWORK], actor=Actor("test"), api_version="2024-05-01")
    return world.identity("orders")


def place(kind: ResourceType, name: str = "odd-one") -> str:
    """Where a test puts one of the type."""
    if kind.name == SUBNET:
        return f"{NETWORK_ID}/subnets/{name}"
    if kind.name == GROUP_TYPE:
        return f"{SUB}/resourceGroups/{name}"
    if "/federatedIdentityCredentials" in kind.name:
        return f"{CREDENTIALS}/{name}"
    return address(kind.name).rpartition("/")[0] + f"/{name}"


def body(kind: ResourceType) -> dict[str, Any]:
    return BODIES.get(kind.name, {"location": "eastus"})


def is_answer(reply: Reply) -> bool:
    """Whether it is one that Resource Manager gives: no fault of the lab's own, and errors in their envelope."""
    if reply.status >= 400 and reply.body is not None:
        error = reply.body["error"]
        return is_planned(reply) and bool(error["code"]) and bool(error["message"])
    return is_planned(reply)


def is_planned(reply: Reply) -> bool:
    return reply.status < 500 or reply.status == 501


def settle(world: World) -> None:
    """Let what goes on with the resources come to its end."""
    world.clock.advance(60)
    for cluster in world.arm.hosted.wanted():
        world.arm.hosted.settled(cluster)


kinds = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.name)

WRONG_BODIES = {
    "nothing": b"",
    "no-json": b"{",
    "two-values": b"{}{}",
    "no-utf-8": b'{"location": "\xff\xfe"}',
    "utf-16": '{"location": "eastus"}'.encode("utf-16"),
    "null": b"null",
    "list": b"[]",
    "text": b'"eastus"',
    "number": b"1e999",
    "deep-list": b"[" * 5_000,
    "deep-object": b'{"properties":' + b'{"a":' * 150 + b"1" + b"}" * 151,
    "deeper-object": b'{"properties":' + b'{"a":' * 50_000,
    "location-of-wrong-type": b'{"location": 7}',
    "tags-of-wrong-type": b'{"location": "eastus", "tags": "x"}',
    "tag-of-wrong-type": b'{"location": "eastus", "tags": {"a": 1}}',
}


@kinds
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_body_of_the_wrong_shape_is_refused(world: World, kind: ResourceType, method: str) -> None:
    prepare(world)
    if method == "PATCH":
        await world.call("PUT", place(kind), body(kind))
    for name, content in WRONG_BODIES.items():
        reply = await world.call(method, place(kind), content)
        assert (reply.status, reply.code) == (400, "InvalidRequestContent"), name
        assert len(reply.message) < 1_000, name


@kinds
async def test_a_body_beyond_the_limit_is_refused(world: World, kind: ResourceType) -> None:
    huge = {**body(kind), "tags": {"a": "x" * (4 * 1024 * 1024)}}
    reply = await world.call("PUT", place(kind), huge)
    assert (reply.status, reply.code) == (413, "RequestContentTooLarge")


@kinds
async def test_the_same_put_again_changes_nothing(world: World, kind: ResourceType) -> None:
    prepare(world)
    first = await world.call("PUT", place(kind), body(kind), version="2026-02-01")
    assert first.status == 201, first.body
    settle(world)
    before = (await world.call("GET", place(kind))).body
    second = await world.call("PUT", place(kind), body(kind), version="2026-02-01")
    assert second.status == 200, second.body
    settle(world)
    after = (await world.call("GET", place(kind))).body
    for shown in (before, after):
        shown.pop("systemData", None)
        shown.pop("etag", None)
        shown.pop("eTag", None)
    assert after == before


@kinds
@pytest.mark.parametrize("spelt", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
async def test_a_resource_is_found_in_any_letter_case(world: World, kind: ResourceType, spelt: Any) -> None:
    prepare(world)
    made = await world.call("PUT", place(kind, "Odd-One"), body(kind))
    assert made.status == 201, made.body
    settle(world)
    path = spelt(place(kind, "Odd-One"))
    found = await world.call("GET", path)
    assert (found.status, found.body["id"], found.body["name"]) == (200, made.body["id"], "Odd-One")
    assert made.body["id"].endswith("/Odd-One")
    again = await world.call("PUT", path, body(kind))
    assert (again.status, again.body["id"]) == (200, made.body["id"])


ODD_NAMES = (
    "%2F", "a%2Fb", "%2e%2e", "a%00b", "a%0d%0aSet-Cookie:x", "%25%32%66", "%C3%A9", "%FF", "%", "a%ZZ", "%20", "a b"
)  # fmt: skip


@kinds
async def test_an_odd_encoding_of_a_name_finds_and_makes_nothing(world: World, kind: ResourceType) -> None:
    prepare(world)
    before = world.store.items("arm", "resource")
    for name in ODD_NAMES:
        # A group's name may have letters of any script, as in Azure.
        methods = ("GET", "DELETE") if kind.name == GROUP_TYPE and name == "%C3%A9" else ("GET", "PUT", "DELETE")
        for method in methods:
            reply = await world.call(method, place(kind, name), body(kind) if method == "PUT" else None)
            assert is_answer(reply), (name, method)
            assert all("\r" not in value and "\n" not in value for value in reply.headers.values())
            assert world.store.items("arm", "resource") == before, (name, method)


API_VERSIONS = (
    ("", 400, "MissingApiVersionParameter"),
    ("api-version=", 400, "MissingApiVersionParameter"),
    ("api-version=latest", 400, "InvalidApiVersionParameter"),
    ("api-version=2024-13-45", 400, "InvalidApiVersionParameter"),
    ("api-version=1999-01-01", 400, "InvalidApiVersionParameter"),
    ("api-version=2024-01-01;x", 400, "InvalidApiVersionParameter"),
    ("api-version=2015-11-01", 200, ""),
    ("api-version=2031-01-01-preview", 200, ""),
    ("API-Version=2024-11-01", 200, ""),
    ("api-version=2024-11-01&api-version=x", 200, ""),
)


@kinds
async def test_the_api_version_is_asked_for_everywhere(world: World, kind: ResourceType) -> None:
    prepare(world)
    path = place(kind).rpartition("/")[0]
    for query, status, code in API_VERSIONS:
        url = f"https://management.azure.com{path}?{query}"
        reply = await send(world.arm.app, "GET", url, token=world.token())
        assert reply.status == status, query
        if code:
            assert reply.code == code
        if code == "InvalidApiVersionParameter":
            assert "2024-11-01" in reply.message


async def test_an_operations_answer_can_not_be_made_to_hold_another_header(world: World) -> None:
    machine = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/m1"
    begun = await world.call("PUT", machine, {"location": "eastus"})
    location = begun.headers["location"].removeprefix("https://management.azure.com").partition("?")[0]
    reply = await world.call("GET", location.replace("/eastus/", "/east%0d%0aSet-Cookie:a=b/"))
    assert (reply.status, reply.code) == (400, "InvalidRequestUri")


@pytest.mark.parametrize("methods", [("PUT", "PUT"), ("PUT", "DELETE"), ("DELETE", "PUT")], ids="-".join)
async def test_of_two_writes_of_credentials_at_once_one_is_refused(world: World, methods: tuple[str, str]) -> None:
    orders = prepare(world)
    content = body(next(kind for kind in MADE if kind.name.endswith("/federatedIdentityCredentials")))
    replies = await asyncio.gather(
        *(
            world.call(method, f"{CREDENTIALS}/credential-{number}", content if method == "PUT" else None)
            for number, method in enumerate(methods)
        )
    )
    assert sorted(reply.status for reply in replies)[1] == 409
    refused = next(reply for reply in replies if reply.status == 409)
    assert refused.code == "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
    assert f"'{orders.id}'" in refused.message
    assert world.hops[-1].wire == refused.code or world.hops[-2].wire == refused.code


async def test_writes_of_credentials_one_after_another_and_of_two_identities_are_taken(world: World) -> None:
    prepare(world)
    other = world.identity("other")
    content = body(next(kind for kind in MADE if kind.name.endswith("/federatedIdentityCredentials")))
    both = await asyncio.gather(
        world.call("PUT", f"{CREDENTIALS}/one", content),
        world.call("PUT", f"{other.id}/federatedIdentityCredentials/one", content),
        world.call("GET", CREDENTIALS),
    )
    assert [reply.status for reply in both] == [201, 201, 200]
    assert (await world.call("DELETE", f"{CREDENTIALS}/one")).status == 200
    refused = await world.call("PUT", f"{CREDENTIALS}/one", {"properties": {}})
    assert refused.status == 400
    assert (await world.call("PUT", f"{CREDENTIALS}/one", content)).status == 201


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "location",
                    "tags",
                    "properties",
                    "identity",
                    "sku",
                    "type",
                    "name",
                    "userAssignedIdentities",
                    "zones",
                    "a",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
CALLS = [(method, place(kind)) for kind in TYPES for method in ("PUT", "PATCH", "POST")] + [
    (operation.method, address(operation.path))
    for operation in OPERATIONS
    if operation.method != "GET" and "/" in operation.path.partition("/")[2]
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(call=st.sampled_from(CALLS), content=JSON | st.binary(max_size=40))
async def test_no_body_breaks_the_service(world: World, call: tuple[str, str], content: Any) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    assert is_answer(await world.call(*call, raw))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
    path=st.lists(
        st.sampled_from(
            [part for kind in TYPES for part in kind.name.split("/")]
            + ["subscriptions", SUBSCRIPTION, "resourceGroups", "shop", "providers", "Microsoft.Authorization", "locks"]
            + ["roleAssignments", "roleDefinitions", "locations", "operations", "features", "x", str(uuid.UUID(int=3))]
        )
        | st.text(max_size=6),
        max_size=14,
    ),
    query=st.dictionaries(st.sampled_from(["$filter", "$top", "$skiptoken", "$expand"]), st.text(max_size=12)),
)
async def test_no_path_breaks_the_service(world: World, method: str, path: list[str], query: dict[str, str]) -> None:
    text = "/" + "/".join(quote(part, safe="") for part in path)
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    assert is_answer(await world.call(method, f"{text}?{asked}", b"{}"))


@given(JSON)
def test_depth_is_counted_as_it_is(value: Any) -> None:
    def depth(one: Any) -> int:
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    for limit in range(6):
        assert is_deeper_than(limit, value) is (depth(value) > limit + 1)
