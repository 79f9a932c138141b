"""Whatever is sent to Microsoft Graph, it answers in its own words."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import Reply, World
from tests.lab.graph.test_graph import Asking
from tests.lab.graph.test_graph_people import GROUPS, USERS, a_group, a_user, made


@pytest.fixture
def graph(signing_key: SigningKey) -> Iterator[Asking]:
    world = World(signing_key)
    yield Asking(world)
    world.store.close()


def is_answer(reply: Reply) -> bool:
    """Whether Graph gave it: no fault of the lab's own, and errors in their envelope."""
    if reply.status < 400:
        return True
    error = reply.body["error"]
    return (reply.status < 500 or reply.status == 501) and bool(error["code"]) and "request-id" in error["innerError"]


WORDS = (
    "displayName", "accountEnabled", "mailNickname", "userPrincipalName", "passwordProfile", "password",
    "mailEnabled", "securityEnabled", "groupTypes", "members@odata.bind", "@odata.id", "groupIds", "ids", "types",
    "appId", "api", "web", "keyCredentials", "passwordCredential", "identifierUris", "name", "issuer", "subject",
    "audiences", "principalId", "roleDefinitionId", "claimsMatchingExpression", "requestedAccessTokenVersion",
    "description", "keyId",
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.text(max_size=5)
    | st.sampled_from(["api://a", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=14,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=250, deadline=None)
@given(content=JSON | st.binary(max_size=40), data=st.data())
async def test_no_body_breaks_the_service(graph: Asking, content: Any, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from([one for one in graph.graph.operations.all if one.method != "GET"]))
    ann, ops = await _there(graph)
    path = operation.path
    while "{}" in path:
        path = path.replace(
            "{}", data.draw(st.sampled_from([ann, ops, graph.identity.principal_id, "x", "(name='x')"])), 1
        )
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    assert is_answer(await graph(operation.method, f"/v1.0/{path}", raw))


async def _there(graph: Asking) -> tuple[str, str]:
    """The ids of a user and of a group."""
    found = [(await graph("GET", path)).body["value"] for path in (USERS, GROUPS)]
    if not found[0]:
        found[0] = [await made(graph, USERS, a_user())]
    if not found[1]:
        found[1] = [await made(graph, GROUPS, a_group())]
    return found[0][0]["id"], found[1][0]["id"]


PARTS = st.sampled_from(
    [
        "users",
        "groups",
        "members",
        "$ref",
        "applications",
        "owners",
        "directoryObjects",
        "getByIds",
        "x",
        "(appId='x')",
        "v1.0",
    ]
) | st.text(max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"]),
    path=st.lists(PARTS, max_size=6),
    query=st.dictionaries(
        st.sampled_from(["$filter", "$top", "$skiptoken", "$select", "$count"]), st.text(max_size=12)
    ),
)
async def test_no_path_breaks_the_service(graph: Asking, method: str, path: list[str], query: dict[str, str]) -> None:
    text = "/".join(quote(part, safe="$()='") for part in path)
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    reply = await graph(method, f"/v1.0/{text}?{asked}", b"{}")
    assert method == "HEAD" or is_answer(reply)


@pytest.mark.parametrize(
    "body",
    [
        b'{"displayName":"x","web":' + b'{"a":' * 200 + b"1" + b"}" * 201,
        b"[" * 5_000,
        b'{"displayName":"\xff"}',
        b"null",
    ],
    ids=["deep", "deeper", "no-utf-8", "null"],
)
async def test_a_body_of_the_wrong_shape_is_refused(graph: Asking, body: bytes) -> None:
    for path in ("/v1.0/applications", USERS, GROUPS):
        reply = await graph("POST", path, body)
        assert (reply.status, reply.code) == (400, "BadRequest"), path
