"""Resource Manager by its real name, over real sockets and TLS."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.lab.arm.azure_doors import open_doors
from tests.lab.arm.azure_world import SUBSCRIPTION, World

ARM = "https://management.azure.com"
IDENTITIES = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
)


async def test_a_client_manages_identities_page_by_page(world: World, tmp_path: Path) -> None:
    async with open_doors(world, tmp_path) as doors, aiohttp.ClientSession() as session:

        async def call(method: str, url: str, content: Any = None) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {world.token()}"}
            request = session.request(
                method, url, json=content, headers=headers, proxy=doors.proxy, ssl=doors.ca.client_context()
            )
            async with request as response:
                return response.status, await response.json()

        for name in ("app-1", "app-2", "app-3"):
            url = f"{ARM}{IDENTITIES}/{name}?api-version=2024-11-30"
            status, made = await call("PUT", url, {"location": "eastus"})
            assert (status, made["name"]) == (201, name)
        seen: list[str] = []
        url = f"{ARM}{IDENTITIES}?api-version=2024-11-30&$top=2"
        while url:
            _, page = await call("GET", url)
            seen += [one["name"] for one in page["value"]]
            url = page.get("nextLink", "")
        assert seen == ["app-1", "app-2", "app-3"]
        status, error = await call("GET", f"{ARM}{IDENTITIES}/nobody?api-version=2024-11-30")
        assert (status, error["error"]["code"]) == (404, "ResourceNotFound")


@pytest.mark.parametrize("version", ["2019-05-01", "2022-09-01"])
async def test_the_clouds_description_needs_no_token(world: World, tmp_path: Path, version: str) -> None:
    async with open_doors(world, tmp_path) as doors, aiohttp.ClientSession() as session:
        url = f"{ARM}/metadata/endpoints?api-version={version}"
        async with session.get(url, proxy=doors.proxy, ssl=doors.ca.client_context()) as response:
            described = await response.json()
    cloud = described[0] if isinstance(described, list) else described
    assert cloud["resourceManager"] == f"{ARM}/"
