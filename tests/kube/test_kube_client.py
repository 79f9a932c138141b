"""The client against a scripted server over real sockets."""

import asyncio
import ssl
import sys
from pathlib import Path

import msgspec
import pytest
import trustme
from loopback_api import Answer, loopback_api, pod, status

from podpass.kube.client import JSON_PATCH, AnswerUnusable, ApiError, Client, Unreachable
from podpass.kube.config import Access, ClientCertificate, ExecPlugin, StaticToken, TokenFile
from podpass.kube.credentials import Credentials, CredentialsFailed
from podpass.kube.resources import PODS, SERVICEACCOUNTS


async def test_a_list_is_read_in_pages_of_one_snapshot():
    def answer(request):
        if "continue" not in request.query:
            return Answer(body={"metadata": {"resourceVersion": "7", "continue": "c1"}, "items": [pod("a", "1")]})
        return Answer(body={"metadata": {"resourceVersion": "7"}, "items": [pod("b", "2")]})

    async with loopback_api(answer) as api, Client(Access(api.url)) as client:
        listing = await client.list(PODS, "shop", label_selector="app=web")
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert listing.resource_version == "7"
    assert {item["kind"] for item in listing.items} == {"Pod"}
    assert [request.query for request in api.seen] == [
        {"labelSelector": "app=web", "limit": "500"},
        {"labelSelector": "app=web", "limit": "500", "continue": "c1"},
    ]


async def test_items_null_is_an_empty_list():
    async with (
        loopback_api(lambda _: Answer(body={"metadata": {}, "items": None})) as api,
        Client(Access(api.url)) as client,
    ):
        assert (await client.list(PODS)).items == []


async def test_a_refusal_carries_the_status_reason_and_message():
    refusal = status(404, "NotFound", 'pods "a" not found')
    async with loopback_api(lambda _: Answer(404, refusal)) as api, Client(Access(api.url)) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(PODS, "a", "shop")
    error = caught.value
    assert (error.status, error.reason, error.message) == (404, "NotFound", 'pods "a" not found')
    assert error.not_found
    assert error.body == refusal


async def test_a_refusal_that_is_no_status_is_cut_short():
    async with loopback_api(lambda _: Answer(502, b"<html>" * 1000)) as api, Client(Access(api.url)) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(PODS, "a", "shop")
    assert caught.value.status == 502
    assert len(caught.value.message) <= 256


async def test_an_answer_over_the_limit_is_not_read():
    async with (
        loopback_api(lambda _: Answer(body={"x": "y" * 4000})) as api,
        Client(Access(api.url), max_body_bytes=1000) as client,
    ):
        with pytest.raises(AnswerUnusable):
            await client.get(PODS, "a", "shop")


async def test_a_closed_port_is_unreachable():
    async with loopback_api(lambda _: Answer(body={})) as api:
        pass
    async with Client(Access(api.url)) as client:
        with pytest.raises(Unreachable):
            await client.version()


async def test_writes_send_the_method_path_query_and_body_of_the_api():
    async with loopback_api(lambda _: Answer(body={"kind": "Pod"})) as api, Client(Access(api.url)) as client:
        await client.create(PODS, pod("a", ""), "shop", dry_run=True)
        await client.replace(PODS, pod("a", "3"), "shop", subresource="status")
        await client.patch(PODS, "a", [{"op": "remove", "path": "/x"}], "shop", content_type=JSON_PATCH)
        await client.delete(PODS, "a", "shop", grace_period_seconds=0, uid="u-1", propagation="Background")
        await client.create_subresource(SERVICEACCOUNTS, "app", "token", {"spec": {}}, "shop")
    wire = [(r.method, r.raw_path, r.query_string, r.headers["content-type"]) for r in api.seen]
    assert wire == [
        ("POST", "/api/v1/namespaces/shop/pods", "dryRun=All", "application/json"),
        ("PUT", "/api/v1/namespaces/shop/pods/a/status", "", "application/json"),
        ("PATCH", "/api/v1/namespaces/shop/pods/a", "", JSON_PATCH),
        ("DELETE", "/api/v1/namespaces/shop/pods/a", "", "application/json"),
        ("POST", "/api/v1/namespaces/shop/serviceaccounts/app/token", "", "application/json"),
    ]
    assert msgspec.json.decode(api.seen[3].body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u-1"},
        "propagationPolicy": "Background",
    }


async def test_a_read_is_tried_again_after_401_and_a_write_is_not(tmp_path: Path):
    token_file = tmp_path / "token"
    token_file.write_text("old\n")

    def answer(request):
        if request.headers["authorization"] == "Bearer new":
            return Answer(body={"ok": True})
        token_file.write_text("new\n")
        return Answer(401, status(401, "Unauthorized", "Unauthorized"))

    async with loopback_api(answer) as api, Client(Access(api.url, credential=TokenFile(token_file))) as client:
        assert await client.get(PODS, "a", "shop") == {"ok": True}
        token_file.write_text("old")
        client._session._credentials.discard()
        with pytest.raises(ApiError):
            await client.create(PODS, pod("a", ""), "shop")
    assert [request.method for request in api.seen] == ["GET", "GET", "POST"]


async def test_a_token_file_is_read_again_within_a_minute(tmp_path: Path):
    token_file = tmp_path / "token"
    token_file.write_text("one")
    time = 0.0
    credentials = Credentials(Access("https://x", credential=TokenFile(token_file)), monotonic=lambda: time)
    assert (await credentials.headers())["Authorization"] == "Bearer one"
    token_file.write_text("two")
    assert (await credentials.headers())["Authorization"] == "Bearer one"
    time = 60.0
    assert (await credentials.headers())["Authorization"] == "Bearer two"


async def test_no_credential_travels_over_a_plain_connection_to_another_machine():
    assert not await Credentials(Access("http://cluster.example", credential=StaticToken("t"))).headers()
    assert not await Credentials(Access("http://localhost.example", credential=StaticToken("t"))).headers()


async def test_impersonation_names_the_user_and_each_group():
    access = Access("https://x", impersonate_user="jane", impersonate_groups=("dev", "ops"))
    headers = await Credentials(access).headers()
    assert headers.getall("Impersonate-Group") == ["dev", "ops"]


PLUGIN = """
import json, os, sys
information = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
print(json.dumps({"apiVersion": information["apiVersion"], "kind": "ExecCredential",
    "status": {"token": os.environ["GIVEN"] + sys.argv[1], "expirationTimestamp": "2030-01-01T00:00:00Z"}}))
"""


async def test_an_exec_plugin_gives_the_token_until_it_expires():
    plugin = ExecPlugin(sys.executable, ("-c", PLUGIN, "!"), (("GIVEN", "from-plugin"),))
    expiry, time = 1893456000.0, 0.0
    credentials = Credentials(
        Access("https://x", credential=plugin), monotonic=lambda: time, now=lambda: expiry - 3600 + time
    )
    assert (await credentials.headers())["Authorization"] == "Bearer from-plugin!"
    assert credentials._fresh_until == pytest.approx(3570.0)


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        (ExecPlugin("/nowhere/plugin", install_hint="Install it."), "Install it."),
        (ExecPlugin(sys.executable, ("-c", "raise SystemExit(3)")), "code 3"),
        (ExecPlugin(sys.executable, ("-c", "print('secret-thing')")), "no ExecCredential"),
    ],
)
async def test_a_plugin_that_fails_is_named_and_its_output_is_not_shown(plugin: ExecPlugin, says: str):
    with pytest.raises(CredentialsFailed, match=says) as caught:
        await Credentials(Access("https://x", credential=plugin)).headers()
    assert "secret-thing" not in str(caught.value)


async def test_tls_verifies_the_given_name_and_presents_the_client_certificate():
    authority = trustme.CA()
    leaf = authority.issue_cert("kubernetes.default.svc")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    ours = authority.issue_cert("client@example.test")
    certificate = ClientCertificate(ours.cert_chain_pems[0].bytes(), ours.private_key_pem.bytes())
    async with loopback_api(lambda _: Answer(body={"gitVersion": "v1"}), tls=server) as api:
        access = Access(
            api.url, authority.cert_pem.bytes(), certificate=certificate, tls_server_name="kubernetes.default.svc"
        )
        async with Client(access) as client:
            assert await client.version() == {"gitVersion": "v1"}
        async with Client(Access(api.url, authority.cert_pem.bytes(), certificate=certificate)) as client:
            with pytest.raises(Unreachable):
                await client.version()


async def test_a_watch_gives_events_and_bookmarks_until_the_stream_ends():
    events = [
        {"type": "ADDED", "object": pod("a", "5")},
        {
            "type": "BOOKMARK",
            "object": {"kind": "Pod", "metadata": {"resourceVersion": "9", "creationTimestamp": None}},
        },
        {"type": "DELETED", "object": pod("a", "10")},
    ]
    async with loopback_api(lambda _: Answer(events=events)) as api, Client(Access(api.url)) as client:
        seen = [
            (e.type, e.resource_version, e.object and e.object["metadata"]["name"])
            async for e in client.watch(PODS, resource_version="4")
        ]
    assert seen == [("ADDED", "5", "a"), ("BOOKMARK", "9", None), ("DELETED", "10", "a")]
    assert api.seen[0].query["resourceVersion"] == "4"
    assert api.seen[0].query["allowWatchBookmarks"] == "true"
    assert 300 <= int(api.seen[0].query["timeoutSeconds"]) <= 600


async def test_events_may_be_cut_anywhere_between_chunks():
    whole = b"".join(
        msgspec.json.encode({"type": "ADDED", "object": pod(f"p{n}", str(n), note="é" * n)}) + b"\n" for n in range(9)
    )
    chunks = [whole[start : start + 37] for start in range(0, len(whole), 37)]
    async with loopback_api(lambda _: Answer(events=chunks)) as api, Client(Access(api.url)) as client:
        names = [e.object["metadata"]["name"] async for e in client.watch(PODS, resource_version="1") if e.object]
    assert names == [f"p{n}" for n in range(9)]


async def test_an_error_event_is_raised_as_the_refusal_it_carries():
    expired = {"type": "ERROR", "object": status(410, "Expired", "too old resource version: 5 (1200)")}
    async with loopback_api(lambda _: Answer(events=[expired])) as api, Client(Access(api.url)) as client:
        with pytest.raises(ApiError) as caught:
            async for _ in client.watch(PODS, resource_version="5"):
                pass
    assert caught.value.expired
    assert caught.value.status == 410


async def test_a_silent_watch_is_taken_for_dead():
    hold = asyncio.Event()
    async with (
        loopback_api(lambda _: Answer(events=[], hold=hold)) as api,
        Client(Access(api.url), watch_read_seconds=0.05) as client,
    ):
        with pytest.raises(Unreachable, match="in time"):
            await anext(client.watch(PODS, resource_version="5"))
        hold.set()
