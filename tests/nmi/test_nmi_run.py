"""The node agent over real sockets: who asks is where the request comes from."""

import asyncio
import base64
import dataclasses
import json
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nmi_node import NOW, TOKEN, NmiNode, nmi_node, token_answer

from podpass.kube.resources import PODS, SECRETS
from podpass.nmi.holders import object_id_of
from podpass.nmi.settings import Mode
from podpass.podidentity.resources import ASSIGNED_IDENTITIES
from podpass.serving.asgi import Response, json_response, text_response
from podpass.serving.server import bind_tcp, serving

WEB, API, NODE_ADDRESS = "127.0.1.7", "127.0.1.8", "127.0.0.1"
LABEL = {"aadpodidbinding": "web"}
JSON_TYPE = "application/json; charset=utf-8"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NmiNode]:
    """Managed mode, with the pod `web-0` that is bound to the identity `one`."""
    async with nmi_node(tmp_path) as running:
        await running.cluster.identity("one")
        await running.cluster.binding("b", "one", "web")
        await running.pod("web-0", WEB, labels=LABEL)
        yield running


async def test_a_bound_pod_gets_its_token(node: NmiNode) -> None:
    reply = await node.token(source=WEB)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert list(reply.json) == [
        "access_token",
        "refresh_token",
        "expires_in",
        "expires_on",
        "not_before",
        "resource",
        "token_type",
    ]
    assert reply.json["expires_on"] == str(NOW + 86_400)
    assert reply.json["expires_in"] == "86400"
    assert reply.json["access_token"].startswith("token of client-one")
    asked = node.metadata.token_requests[0]
    assert asked.query == {
        "api-version": "2018-02-01",
        "client_id": "client-one",
        "resource": "https://vault.azure.net",
    }
    assert asked.headers["metadata"] == "true"
    assert "access_token" not in node.log.getvalue()
    assert "token of client-one" not in node.log.getvalue()


async def test_tokens_are_kept(node: NmiNode) -> None:
    replies = [await node.token(source=WEB) for _ in range(3)]
    assert len({reply.json["access_token"] for reply in replies}) == 1
    assert len(node.metadata.token_requests) == 1
    other = await node.token(source=WEB, resource="https://management.azure.com/")
    assert other.json["resource"] == "https://management.azure.com/"
    assert len(node.metadata.token_requests) == 2


async def test_many_pods_at_once_share_one_fetch(node: NmiNode) -> None:
    node.metadata.hold = asyncio.Event()
    await asyncio.gather(*(node.pod(f"more-{number}", f"127.0.2.{number}", labels=LABEL) for number in range(1, 31)))
    asking = [asyncio.create_task(node.token(source=f"127.0.2.{number}")) for number in range(1, 31)]
    await node.metadata.came.wait()
    node.metadata.hold.set()
    assert {reply.status for reply in await asyncio.gather(*asking)} == {200}
    assert len(node.metadata.token_requests) == 1


async def test_a_pod_without_a_binding_is_refused_at_once(node: NmiNode) -> None:
    await node.pod("api-0", API)
    reply = await node.token(source=API)
    assert reply.status == 404
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not node.metadata.token_requests


async def test_what_a_pod_says_of_itself_does_not_count(node: NmiNode) -> None:
    await node.pod("api-0", API)
    forged = {
        "X_Forwarded_For": WEB,
        "Forwarded": f"for={WEB}",
        "X_Real_IP": WEB,
        "podns": "shop",
        "podname": "web-0",
    }
    assert (await node.get(f"{TOKEN}?resource=r", source=API, **forged)).status == 404
    assert (await node.get("/host/token?resource=r", source=API, **forged)).status == 500
    assert not node.metadata.token_requests


@pytest.mark.parametrize(
    ("target", "headers", "status", "text"),
    [
        (f"{TOKEN}?resource=r", {"metadata": None}, 400, "Required metadata header not specified"),
        (f"{TOKEN}?resource=r", {"metadata": "True"}, 400, "Required metadata header not specified"),
        (TOKEN, {}, 400, "parameter resource cannot be empty"),
        (f"{TOKEN}?resource=r&client_id=a&msi_res_id=b", {}, 400, "only one of the parameters"),
        (f"{TOKEN}?resource=r&client_id=a&object_id=b", {}, 400, "only one of the parameters"),
        (f"{TOKEN}?resource=r&object_id=a&mi_res_id=b", {}, 400, "only one of the parameters"),
        ("/metadata/identity\\oauth2\\token?resource=r", {}, 400, "Invalid request"),
        ("/metadata/%69dentity/oauth2/token?resource=r", {}, 400, "Invalid request"),
        ("/metadata/instance/../identity/oauth2/token?resource=r", {}, 400, "Invalid request"),
        (f"{TOKEN}?resource=r&client_id=somebody-elses", {}, 404, "some##### REDACTED #####lses"),
        ("/host/token?resource=r", {}, 400, "missing 'podname' and 'podns' from request header"),
    ],
)
async def test_requests_that_are_refused(
    node: NmiNode, target: str, headers: dict[str, str | None], status: int, text: str
) -> None:
    reply = await node.get(target, source=WEB, **headers)  # type: ignore[arg-type]
    assert reply.status == status
    assert text in reply.text
    assert not node.metadata.requests


async def test_an_unknown_address_is_waited_for_a_moment(node: NmiNode) -> None:
    reply = await node.token(source="127.0.9.9")
    assert (reply.status, reply.text) == (500, "pod list is empty\n")


async def test_a_pod_that_becomes_known_in_time_gets_its_token(node: NmiNode) -> None:
    asking = asyncio.create_task(node.token(source=API))
    await node.pod("late", API, labels=LABEL)
    assert (await asking).status == 200


async def test_an_ended_pod_s_address_is_the_next_pod_s(node: NmiNode) -> None:
    await node.cluster.phase("web-0", "Succeeded", WEB)
    await node.pod("next", WEB)
    assert (await node.token(source=WEB)).status == 404
    await node.pod("third", WEB, labels=LABEL)
    reply = await node.token(source=WEB)
    assert (reply.status, reply.text) == (500, f"failed to match pod IP {WEB} with [shop/next shop/third]\n")


async def test_several_identities_under_one_selector(node: NmiNode) -> None:
    await node.cluster.identity("two")
    await node.cluster.binding("c", "two", "web")
    assert (await node.token(source=WEB)).json["access_token"].startswith("token of client-one")
    named = await node.token(source=WEB, client_id="CLIENT-TWO")
    assert named.json["access_token"].startswith("token of client-two")
    resource_id = (
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/RG/providers/"
        "Microsoft.ManagedIdentity/userAssignedIdentities/two"
    )
    assert (await node.token(source=WEB, msi_res_id=resource_id)).json == named.json


async def test_an_excepted_pod_gets_what_the_node_has(node: NmiNode) -> None:
    await node.exception("e", {"kubernetes.azure.com/managedby": "aks", "app": "Agent"})
    await node.pod("agent", API, labels={"app": "agent"})
    assert (await node.token(source=API)).json["access_token"].startswith("token of (chosen)")
    assert (await node.token(source=API, client_id="x")).json["access_token"].startswith("token of x")
    node.metadata.answers = [json_response(400, {"error": "invalid_request"})]
    refused = await node.token(source=API, client_id="y")
    assert refused.status == 403
    assert refused.text.startswith("failed to get service principal token, error:")


async def test_everything_else_is_handed_on(node: NmiNode) -> None:
    reply = await node.get("/metadata/instance/compute?api-version=2021-02-01&format=json", source=WEB, X_Own="1")
    assert reply.status == 200
    assert reply.headers["server"] == "IMDS/1"
    assert reply.json["path"] == "/metadata/instance/compute"
    assert reply.json["query"] == "api-version=2021-02-01&format=json"
    assert reply.json["headers"]["x-own"] == "1"
    assert reply.json["headers"]["host"] == f"127.0.0.1:{node.metadata.port}"
    assert (await node.get("/metadata/instance", source=WEB, metadata=None)).status == 400


async def test_a_large_answer_is_handed_on_whole(node: NmiNode) -> None:
    node.metadata.answers = [Response(200, b"x" * 3_000_000, (("Content-Type", "text/plain"),))]
    assert len((await node.get("/metadata/attested", source=WEB)).text) == 3_000_000


async def test_a_program_of_the_node_asks_in_a_pod_s_name(node: NmiNode) -> None:
    reply = await node.get("/host/token/?resource=r", source=NODE_ADDRESS, metadata=None, podns="shop", podname="web-0")
    assert reply.json["clientid"] == "client-one"
    assert reply.json["token"]["access_token"].startswith("token of client-one")
    assert (await node.get("/host/token?resource=r", podns="shop", podname="gone")).status == 404


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (
            json_response(400, {"error": "invalid_request", "error_description": "Identity not found"}),
            403,
            'adal: Refresh request failed. Status Code = \'400\'. Response body: {"error":"invalid_request"',
        ),
        (text_response(200, "<html>garbage"), 503, "without a token that can be read"),
        (json_response(200, {"access_token": "", "expires_on": "1"}), 503, "empty token"),
        (Response(200, b"x" * 300_000), 503, "no answer"),
    ],
)
async def test_a_metadata_service_that_refuses_or_answers_nonsense(
    node: NmiNode, answer: Response, status: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podpass.nmi.client.WAITS_SECONDS", ())
    node.metadata.answers = [answer]
    reply = await node.token(source=WEB)
    assert (reply.status, text in reply.text) == (status, True)
    # The next pod is not punished for it.
    assert (await node.token(source=WEB)).status == 200


async def test_a_busy_metadata_service_is_asked_again(node: NmiNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.client.WAITS_SECONDS", (0.0, 0.0, 0.0))
    node.metadata.answers = [text_response(429, "slow"), text_response(500, "x"), text_response(410, "moving")]
    assert (await node.token(source=WEB)).status == 200
    assert len(node.metadata.token_requests) == 4


async def test_a_client_that_hangs_up_ends_the_fetch(node: NmiNode) -> None:
    node.metadata.hold = asyncio.Event()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, local_addr=(WEB, 0))
    writer.write(f"GET {TOKEN}?resource=r HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n".encode())
    await node.metadata.came.wait()
    writer.close()
    await node.metadata.left.wait()
    node.metadata.hold = None
    del reader
    assert (await node.token(source=WEB, resource="r")).json["access_token"].endswith(" 2")


async def test_too_large_a_request_is_refused(node: NmiNode) -> None:
    assert (await node.get(TOKEN + "?resource=" + "r" * 5000, source=WEB)).status == 400
    assert (await node.get(TOKEN, source=WEB, method="POST", Content_Length="1000000")).status == 413


# Standard mode


@pytest.fixture
async def standard(tmp_path: Path) -> AsyncIterator[NmiNode]:
    def change(settings: object) -> object:
        return dataclasses.replace(
            settings,  # type: ignore[type-var]
            mode=Mode.STANDARD,
            forced_namespaced=False,
            created_attempts=2,
            assigned_attempts=2,
            retry_interval_seconds=0.2,
            retry_after_header=True,
        )

    async with nmi_node(tmp_path, change=change) as running:  # type: ignore[arg-type]
        await running.pod("web-0", WEB, labels=LABEL)
        yield running


async def test_an_assigned_identity_gives_a_token(standard: NmiNode) -> None:
    await standard.assigned("web-0", "one", "Assigned")
    assert (await standard.token(source=WEB)).json["access_token"].startswith("token of client-one")


async def test_an_assignment_is_waited_for(standard: NmiNode) -> None:
    made = await standard.assigned("web-0", "one", "Created")
    asking = asyncio.create_task(standard.token(source=WEB))
    change = {"status": {"status": "Assigned"}}
    await standard.kube.patch(ASSIGNED_IDENTITIES, made["metadata"]["name"], change, "default")
    assert (await asking).status == 200


@pytest.mark.parametrize(
    ("status", "text"), [("", "in CREATED state failed after 2"), ("Created", "in ASSIGNED state failed after 4")]
)
async def test_patience_has_an_end(standard: NmiNode, status: str, text: str) -> None:
    if status:
        await standard.assigned("web-0", "one", status)
    reply = await standard.token(source=WEB)
    assert (reply.status, reply.headers["retry-after"]) == (503, "20")
    assert text in reply.text


async def test_another_pod_s_assignment_gives_nothing(standard: NmiNode) -> None:
    await standard.assigned("web-0", "one", "Assigned", namespace="default")
    assert (await standard.token(source=WEB)).status == 503


# Service principals


async def test_a_service_principal_s_secret_is_shown_to_its_login_service(node: NmiNode) -> None:
    asked: list[tuple[str, bytes]] = []

    async def login(scope: object, receive: object, send: object) -> None:
        from podpass.serving.asgi import read_body, request_of, send_response

        request = request_of(scope, await read_body(scope, receive, limit=10_000))  # type: ignore[arg-type]
        asked.append((request.path, request.body))
        await send_response(send, token_answer(f"token {len(asked)}", "r"))  # type: ignore[arg-type]

    listener = bind_tcp()
    endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await node.kube.create(
        SECRETS, {"metadata": {"name": "sp"}, "stringData": {"clientSecret": "s3cr3t", "x": "y"}}, "shop"
    )
    await node.cluster.identity(
        "sp",
        type=1,
        tenantID="home",
        auxiliaryTenantIDs=["second"],
        adEndpoint=endpoint,
        clientPassword={"name": "sp", "namespace": "shop"},
    )
    await node.cluster.binding("sp", "sp", "principal")
    await node.pod("api-0", API, labels={"aadpodidbinding": "principal"})
    async with serving(login, [listener]):  # type: ignore[arg-type]
        reply = await node.token(source=API, resource="r")
    assert [each["access_token"] for each in reply.json] == ["token 1", "token 2"]
    assert [path for path, _ in asked] == ["/home/oauth2/token", "/second/oauth2/token"]
    assert b"client_secret=s3cr3t" in asked[0][1]
    assert "s3cr3t" not in node.log.getvalue()


async def test_a_secret_that_is_missing_or_unclear_is_said(node: NmiNode) -> None:
    await node.cluster.identity("sp", type=1, tenantID="t", clientPassword={"name": "sp", "namespace": "shop"})
    await node.cluster.binding("sp", "sp", "principal")
    await node.pod("api-0", API, labels={"aadpodidbinding": "principal"})
    assert (await node.token(source=API)).status == 503
    await node.kube.create(SECRETS, {"metadata": {"name": "sp"}, "stringData": {"a": "1", "b": "2"}}, "shop")
    reply = await node.token(source=API)
    assert reply.status == 503
    assert "needs an entry clientSecret, or a single one; it has a, b" in reply.text


async def test_pods_of_other_nodes_are_not_known(node: NmiNode) -> None:
    body = {
        "metadata": {"name": "far", "labels": LABEL},
        "spec": {"nodeName": "node-b", "containers": [{"name": "app", "image": "app"}]},
    }
    await node.kube.create(PODS, body, "shop")
    await node.cluster.phase("far", "Running", API)
    assert (await node.token(source=API)).text == "pod list is empty\n"


async def test_a_pod_with_an_ipv6_address(tmp_path: Path) -> None:
    try:
        bind_tcp("::1").close()
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    async with nmi_node(tmp_path, host="::1") as node:
        await node.cluster.identity("one")
        await node.cluster.binding("b", "one", "web")
        await node.pod("web-0", "::1", labels=LABEL)
        reader, writer = await asyncio.open_connection("::1", node.port, family=socket.AF_INET6)
        writer.write(
            f"GET {TOKEN}?resource=r HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nConnection: close\r\n\r\n".encode()
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


def token_of(object_id: str) -> str:
    """What looks like a token of the holder with that object id."""
    parts = ({"alg": "none"}, {"oid": object_id})
    head, claims = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{claims}.AAEC"


@pytest.fixture
async def several(node: NmiNode) -> NmiNode:
    """Pod `web-0` is bound to two identities, whose holders are `oid-one` and `oid-two`."""
    await node.cluster.identity("two")
    await node.cluster.binding("c", "two", "web")
    node.metadata.token_of = lambda query: token_of(query.get("client_id", "chosen").replace("client-", "oid-"))
    return node


@pytest.mark.parametrize("object_id", ["oid-one", "oid-two", "OID-Two"])
async def test_an_identity_is_found_by_its_object_id(several: NmiNode, object_id: str) -> None:
    for _ in range(2):
        reply = await several.token(source=WEB, object_id=object_id)
        assert (reply.status, reply.json["access_token"]) == (200, token_of(object_id.lower()))
    # Its own token is found among the kept ones the second time.
    assert len(several.metadata.token_requests) <= 2
    assert all("object_id" not in asked.query for asked in several.metadata.token_requests)


async def test_another_identity_never_stands_in_for_an_object_id(several: NmiNode) -> None:
    await several.cluster.identity("foreign")
    reply = await several.token(source=WEB, object_id="oid-foreign")
    assert (reply.status, reply.text) == (
        404,
        "no azure identity found for request objectID oid-##### REDACTED #####eign; shop/web-0 has others\n",
    )
    assert {asked.query["client_id"] for asked in several.metadata.token_requests} == {"client-one", "client-two"}


async def test_an_object_id_is_not_said_to_be_unknown_when_an_identity_gave_no_token(several: NmiNode) -> None:
    def one_is_refused(query: Mapping[str, str]) -> str | Response:
        if query["client_id"] == "client-one":
            return json_response(400, {"error": "invalid_request", "error_description": "Identity not found"})
        return token_of("oid-two")

    several.metadata.token_of = one_is_refused
    assert (await several.token(source=WEB, object_id="oid-two")).status == 200
    reply = await several.token(source=WEB, object_id="oid-one")
    assert reply.status == 403
    assert "Identity not found" in reply.text


async def test_a_token_that_tells_no_object_id_is_nobody_s(node: NmiNode) -> None:
    assert (await node.token(source=WEB, object_id="client-one")).status == 404


@pytest.mark.parametrize(
    ("name", "value"), [("client_id", "c"), ("msi_res_id", "/subscriptions/s"), ("object_id", "o")]
)
async def test_an_excepted_pod_s_request_names_the_identity_to_the_metadata_service(
    node: NmiNode, name: str, value: str
) -> None:
    await node.exception("trusted", {"app": "trusted"})
    await node.pod("trusted", API, labels={"app": "trusted"})
    assert (await node.token(source=API, **{name: value})).status == 200
    (asked,) = node.metadata.token_requests
    assert {name: value}.items() <= asked.query.items()
    assert not {"client_id", "msi_res_id", "object_id"} - {name} & asked.query.keys()


@given(st.text() | st.binary().map(lambda text: f"a.{base64.urlsafe_b64encode(text).decode()}.b"))
def test_whose_token_it_is_can_be_asked_of_any_text(text: str) -> None:
    assert object_id_of(text) == ""


def test_deeply_nested_claims_are_nobody_s() -> None:
    claims = base64.urlsafe_b64encode(b"[" * 20_000).decode()
    assert object_id_of(f"a.{claims}.b") == ""
