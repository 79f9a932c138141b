"""The issuer host that several clusters share: each answers below its own path."""

import pytest

from podpass.lab.fleet.issuers import Issuers
from podpass.serving.asgi import App, Message, Receive, Scope, Send, send_response, text_response

TENANT = "https://westeurope.oic.prod-aks.azure.com/t"


def saying(name: str, status: int = 200) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_response(send, text_response(status, name))

    return app


async def asked(app: App, host: str, path: str) -> str:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", host.encode())]}
    await app(scope, receive, send)
    return bytes(sent[1]["body"]).decode()


@pytest.fixture
def issuers() -> Issuers:
    found = Issuers(saying("own"))
    found.add(f"{TENANT}/one/", saying("one"))
    found.add(f"{TENANT}/two/", saying("two"))
    found.add("https://eastus.oic.prod-aks.azure.com/t/three/", saying("three"))
    return found


@pytest.mark.parametrize(
    ("host", "path", "answered"),
    [
        ("westeurope.oic.prod-aks.azure.com", "/t/one/.well-known/openid-configuration", "one"),
        ("westeurope.oic.prod-aks.azure.com", "/t/two/openid/v1/jwks", "two"),
        ("WestEurope.oic.prod-aks.azure.com:443", "/t/two/openid/v1/jwks", "two"),
        ("eastus.oic.prod-aks.azure.com", "/t/three/openid/v1/jwks", "three"),
        ("eastus.oic.prod-aks.azure.com", "/t/one/openid/v1/jwks", "own"),
        ("westeurope.oic.prod-aks.azure.com", "/t/on", "own"),
        ("westeurope.oic.prod-aks.azure.com", "/t/one", "one"),
        ("westeurope.oic.prod-aks.azure.com", "/u/one/openid/v1/jwks", "own"),
        ("westeurope.oic.prod-aks.azure.com", "/", "own"),
    ],
)
async def test_a_path_leads_to_its_cluster(issuers: Issuers, host: str, path: str, answered: str) -> None:
    assert await asked(issuers.app, host, path) == answered


async def test_an_issuer_that_is_gone_is_answered_as_one_that_never_was(issuers: Issuers) -> None:
    issuers.remove(f"{TENANT}/one/")
    issuers.remove(f"{TENANT}/one/")
    assert await asked(issuers.app, "westeurope.oic.prod-aks.azure.com", "/t/one/openid/v1/jwks") == "own"
