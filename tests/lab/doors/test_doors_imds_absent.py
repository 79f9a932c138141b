import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from podpass.lab.doors.imds_absent import TOKEN_PATH, answer, imds_absent
from podpass.lab.journal import Journal
from podpass.serving.asgi import Request
from podpass.serving.server import bind_tcp, serving

SOUND = "api-version=2018-02-01&resource=https://vault.azure.net"


def ask(query: str = SOUND, *, method: str = "GET", path: str = TOKEN_PATH, **headers: str) -> tuple[int, str, str]:
    given = {"metadata": "true"} | {name.replace("_", "-"): value for name, value in headers.items()}
    response = answer(
        Request(
            method=method, path=path, raw_path=path, query_string=query, headers={k: v for k, v in given.items() if v}
        )
    )
    body: Any = msgspec.json.decode(response.body)
    return response.status, body["error"], body["error_description"]


def test_sound_request_finds_no_identity() -> None:
    assert ask() == (400, "invalid_request", "Identity not found")
    assert ask(SOUND + "&client_id=a") == (400, "invalid_request", "Identity not found")


@pytest.mark.parametrize("value", ["", "false", "yes"])
def test_metadata_header_is_required(value: str) -> None:
    assert ask(metadata=value) == (400, "invalid_request", "Required metadata header not specified")


def test_metadata_header_may_be_written_true_or_True() -> None:
    assert ask(metadata="True")[2] == "Identity not found"


def test_forwarded_request_is_refused() -> None:
    assert "X-Forwarded-For" in ask(x_forwarded_for="10.0.0.1")[2]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("resource=a", "Required query variable 'api-version' is missing"),
        ("api-version=2018-02-01", "Required query variable 'resource' is missing"),
        ("api-version=2018-02-01&resource=", "Required query variable 'resource' is missing"),
        ("api-version=2017-12-01&resource=a", "Query variable 'api-version' is not a supported version"),
        ("api-version=latest&resource=a", "Query variable 'api-version' is not a supported version"),
        (SOUND + "&resource=b", "A query variable is given twice"),
    ],
)
def test_query_is_checked(query: str, said: str) -> None:
    assert ask(query) == (400, "invalid_request", said)


@pytest.mark.parametrize("path", ["/", "/metadata/instance", TOKEN_PATH + "/", "/metadata/identity/oauth2/Token"])
def test_other_paths_are_not_found(path: str) -> None:
    assert ask(path=path)[:2] == (404, "not_found")


def test_only_get_is_allowed() -> None:
    assert ask(method="POST")[:2] == (405, "method_not_allowed")


async def test_answer_over_a_socket_is_recorded(journal: Journal) -> None:
    listener = bind_tcp()
    async with serving(imds_absent(journal), [listener]), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{TOKEN_PATH}?{SOUND}"
        async with session.get(url, headers={"Metadata": "true"}) as said:
            assert said.status == 400
            assert said.headers["Content-Type"] == "application/json; charset=utf-8"
            assert said.headers["Server"].startswith("IMDS/")
            assert (await said.json())["error_description"] == "Identity not found"
    (event,) = journal.events()
    assert (event.hop.whom, event.hop.outcome) == ("imds", "refused")
    assert event.hop.decision["resource"] == "https://vault.azure.net"


async def test_azure_identity_gives_up_at_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = pytest.importorskip("azure.identity")
    listener = bind_tcp()
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{listener.getsockname()[1]}")

    def ask() -> None:
        with identity.ManagedIdentityCredential() as credential:
            credential.get_token("https://vault.azure.net/.default")

    async with serving(imds_absent(journal), [listener]), asyncio.timeout(5):
        with pytest.raises(identity.CredentialUnavailableError, match="Identity not found"):
            await asyncio.to_thread(ask)
    assert [event.hop.wire for event in journal.events()] == ["400"]
