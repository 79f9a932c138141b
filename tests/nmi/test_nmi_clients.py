"""Stock clients whose requests come from a pod's address."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import azure.identity
import pytest
from azure.identity.aio import ManagedIdentityCredential as AioManagedIdentityCredential
from nmi_node import NmiNode, nmi_node

SCOPE = "https://vault.azure.net/.default"


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NmiNode]:
    """A node whose pod `app` is this process."""
    for name in (
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "IDENTITY_ENDPOINT",
        "MSI_ENDPOINT",
    ):
        monkeypatch.delenv(name, raising=False)
    async with nmi_node(tmp_path) as running:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{running.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        await running.pod("app", "127.0.0.1", labels={"aadpodidbinding": "web"})
        await running.cluster.identity("one")
        await running.cluster.identity("two")
        yield running


async def test_azure_identity_gets_the_identity_it_names(node: NmiNode) -> None:
    await node.cluster.binding("a", "one", "web")
    await node.cluster.binding("b", "two", "web")
    default = azure.identity.ManagedIdentityCredential()
    token = await asyncio.to_thread(default.get_token, SCOPE)
    assert token.token.startswith("token of client-one")
    assert token.expires_on > time.time() + 80_000
    for named in ({"client_id": "client-two"}, {"identity_config": {"resource_id": _resource_id("two")}}):
        credential = azure.identity.ManagedIdentityCredential(**named)  # type: ignore[arg-type]
        token = await asyncio.to_thread(credential.get_token, SCOPE)
        assert token.token.startswith("token of client-two")


async def test_azure_identity_s_chain_and_its_asyncio_form(node: NmiNode) -> None:
    await node.cluster.binding("a", "one", "web")
    chain = azure.identity.DefaultAzureCredential()
    assert (await asyncio.to_thread(chain.get_token, SCOPE)).token.startswith("token of client-one")
    async with AioManagedIdentityCredential(client_id="client-one") as credential:
        assert (await credential.get_token(SCOPE)).token.startswith("token of client-one")


async def test_a_refusal_in_the_metadata_service_s_own_form_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the original's 404 this client would ask for half a minute."""
    async with nmi_node(tmp_path, change=lambda settings: replace(settings, json_errors=True)) as node:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{node.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        await node.pod("app", "127.0.0.1")
        credential = azure.identity.ManagedIdentityCredential()
        with pytest.raises(azure.identity.CredentialUnavailableError, match="shop/app has no label aadpodidbinding"):
            await asyncio.to_thread(credential.get_token, SCOPE)
        assert node.log.getvalue().count("request.answered") == 1


def _resource_id(name: str) -> str:
    group = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
    return f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
