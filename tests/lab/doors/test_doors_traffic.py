"""What is remembered of the calls on the clouds, and what is not."""

from typing import Any

import pytest

from podpass.lab.doors.traffic import KEPT, Traffic


async def call(traffic: Traffic, path: str = "/a", query: bytes = b"", status: int = 200, **headers: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ignore(message: Any) -> None:
        del message

    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": sent}
    await traffic.watched("arm", app)(scope, ignore, ignore)


@pytest.mark.parametrize(
    ("query", "version"),
    [
        (b"api-version=2024-11-01", "2024-11-01"),
        (b"$top=2&API-Version=2024-11-01&$filter=x", "2024-11-01"),
        (b"$top=2", ""),
        (b"", ""),
    ],
)
async def test_the_version_of_the_api_is_kept_and_nothing_else_of_the_query(query: bytes, version: str) -> None:
    traffic = Traffic()
    await call(traffic, query=query, status=404, user_agent="azsdk-python-mgmt-msi/7.1.0", authorization="Bearer x")
    (seen,) = traffic.after(0)
    assert (seen.service, seen.method, seen.path, seen.status) == ("arm", "GET", "/a", 404)
    assert (seen.api_version, seen.client) == (version, "azsdk-python-mgmt-msi/7.1.0")
    assert "Bearer" not in repr(seen)


async def test_only_newer_ones_are_told_and_the_oldest_are_forgotten() -> None:
    traffic = Traffic()
    for number in range(KEPT + 2):
        await call(traffic, path=f"/{number}")
    assert len(traffic.after(0)) == KEPT
    assert [one.path for one in traffic.after(KEPT + 1)] == [f"/{KEPT + 1}"]


async def test_long_texts_are_cut() -> None:
    traffic = Traffic()
    await call(traffic, path="/" + "a" * 5_000, user_agent="b" * 5_000)
    (seen,) = traffic.after(0)
    assert (len(seen.path), len(seen.client)) == (300, 300)
