"""Run as a program: reads one secret with the stock client, and says how long it took; prints JSON.

Reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the clients is replaced.
"""

import asyncio
import json
import sys
import time

from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets.aio import SecretClient as AsyncSecretClient
from secret_client import AsyncCredential, Credential, seen


async def run_async(url: str) -> None:
    async with AsyncSecretClient(url, AsyncCredential()) as client:
        seen["value"] = (await client.get_secret("greeting")).value


if __name__ == "__main__":
    mode, vault_url = sys.argv[1:]
    began = time.monotonic()
    if mode == "sync":
        with SecretClient(vault_url, Credential()) as secrets:
            seen["value"] = secrets.get_secret("greeting").value
    else:
        asyncio.run(run_async(vault_url))
    seen["seconds"] = time.monotonic() - began
    print(json.dumps(seen))
