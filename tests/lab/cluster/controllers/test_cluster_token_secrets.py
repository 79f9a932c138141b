"""Secrets that hold a service account's token: filled, believed, and gone with their account."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.cluster.serviceaccounts.belief import Believed
from tests.lab.cluster.core_api import Api, opened

SECRETS = "/api/v1/namespaces/default/secrets"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        task = asyncio.create_task(found.cluster.run())
        yield found
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(api: Api, path: str, holds: Any) -> Any:
    async with asyncio.timeout(15):
        while True:
            body = (await api("GET", path)).body
            if holds(body):
                return body
            await asyncio.sleep(0.01)


async def filled(api: Api) -> dict[str, Any]:
    await api.made(ACCOUNTS, {"metadata": {"name": "robot"}})
    annotations = {"kubernetes.io/service-account.name": "robot"}
    meta = {"name": "robot-token", "annotations": annotations}
    await api.made(SECRETS, {"metadata": meta, "type": "kubernetes.io/service-account-token"})
    body = await until(api, f"{SECRETS}/robot-token", lambda body: (body.get("data") or {}).get("token"))
    return dict(body)


def token_of(secret: dict[str, Any]) -> str:
    return base64.b64decode(secret["data"]["token"]).decode()


async def test_a_token_secret_is_filled_and_believed(api: Api) -> None:
    secret = await filled(api)
    account = (await api("GET", f"{ACCOUNTS}/robot")).body
    assert base64.b64decode(secret["data"]["namespace"]) == b"default"
    assert base64.b64decode(secret["data"]["ca.crt"]).startswith(b"-----BEGIN CERTIFICATE")
    assert secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    said = await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, token=token_of(secret))
    assert said.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    api.clock.advance(10 * 365 * 86_400)
    assert isinstance(api.cluster.tokens.check(token_of(secret)), Believed)


async def test_it_is_worth_nothing_to_anybody_but_the_api_server(api: Api) -> None:
    secret = await filled(api)
    assert not isinstance(api.cluster.tokens.check(token_of(secret), audiences=("elsewhere",)), Believed)


async def test_it_ends_with_its_secret_and_the_secret_with_its_account(api: Api) -> None:
    secret = await filled(api)
    await api("DELETE", f"{SECRETS}/robot-token")
    assert not isinstance(api.cluster.tokens.check(token_of(secret)), Believed)
    annotations = {"kubernetes.io/service-account.name": "robot"}
    meta = {"name": "second", "annotations": annotations}
    await api.made(SECRETS, {"metadata": meta, "type": "kubernetes.io/service-account-token"})
    await until(api, f"{SECRETS}/second", lambda body: (body.get("data") or {}).get("token"))
    await api("DELETE", f"{ACCOUNTS}/robot")
    await until(api, f"{SECRETS}/second", lambda body: body.get("code") == 404)


async def test_a_secret_of_no_account_goes(api: Api) -> None:
    meta = {"name": "orphan", "annotations": {"kubernetes.io/service-account.name": "nobody"}}
    await api.made(SECRETS, {"metadata": meta, "type": "kubernetes.io/service-account-token"})
    await until(api, f"{SECRETS}/orphan", lambda body: body.get("code") == 404)
