"""Run as a program: uses the stock SecretClient as an application would, and prints what it saw as JSON.

Reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the client is replaced; proxy and trust come from
the environment.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets.aio import SecretClient as AsyncSecretClient

seen: dict[str, Any] = {"scopes": [], "tenants": []}


def _issue(scopes: tuple[str, ...], options: dict[str, Any]) -> AccessToken:
    seen["scopes"] += scopes
    seen["tenants"].append(options.get("tenant_id"))
    return AccessToken(Path(os.environ["PODPASS_TEST_TOKEN"]).read_text(), 4_000_000_000)


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return _issue(scopes, options)


class AsyncCredential:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return _issue(scopes, options)

    async def close(self) -> None: ...

    async def __aenter__(self) -> "AsyncCredential":
        return self

    async def __aexit__(self, *details: object) -> None: ...


def run_sync(url: str) -> None:
    with SecretClient(url, Credential()) as client:
        made = client.set_secret("greeting", "one", content_type="text/plain", tags={"a": "b"})
        client.set_secret("greeting", "two")
        seen["newest"] = client.get_secret("greeting").value
        seen["older"] = client.get_secret("greeting", made.properties.version).value
        seen["versions"] = len(list(client.list_properties_of_secret_versions("greeting")))
        changed = client.update_secret_properties("greeting", made.properties.version, tags={"c": "d"})
        seen["changed"] = [changed.tags, changed.content_type, changed.recovery_level]
        for number in range(30):
            client.set_secret(f"many-{number:02}", "x")
        seen["listed"] = len(list(client.list_properties_of_secrets()))
        backup = client.backup_secret("greeting")
        poller = client.begin_delete_secret("greeting")
        poller.wait()
        seen["deleted"] = [one.name for one in client.list_deleted_secrets()]
        try:
            client.set_secret("greeting", "three")
        except ResourceExistsError as error:
            seen["reused"] = error.error.innererror["code"] if error.error and error.error.innererror else ""
        recover = client.begin_recover_deleted_secret("greeting")
        recover.wait()
        seen["recovered"] = client.get_secret("greeting").value
        client.begin_delete_secret("greeting").wait()
        client.purge_deleted_secret("greeting")
        try:
            client.get_secret("greeting")
        except ResourceNotFoundError as error:
            seen["missing"] = error.error.code if error.error else ""
        seen["restored"] = client.restore_secret_backup(backup).name
        seen["restored_value"] = client.get_secret("greeting").value


async def run_async(url: str) -> None:
    async with AsyncSecretClient(url, AsyncCredential()) as client:
        await client.set_secret("greeting", "one")
        seen["newest"] = (await client.get_secret("greeting")).value
        seen["listed"] = len([one async for one in client.list_properties_of_secrets()])
        await client.delete_secret("greeting")
        seen["deleted"] = (await client.get_deleted_secret("greeting")).name
        await client.recover_deleted_secret("greeting")
        seen["recovered"] = (await client.get_secret("greeting")).value


def run_refused(url: str) -> None:
    with SecretClient(url, Credential()) as client:
        try:
            client.get_secret("greeting")
        except HttpResponseError as error:
            seen["status"] = error.status_code
            seen["code"] = error.error.innererror["code"] if error.error and error.error.innererror else ""
            seen["message"] = error.message


if __name__ == "__main__":
    mode, vault_url = sys.argv[1:]
    match mode:
        case "sync":
            run_sync(vault_url)
        case "async":
            asyncio.run(run_async(vault_url))
        case "refused":
            run_refused(vault_url)
    print(json.dumps(seen))
