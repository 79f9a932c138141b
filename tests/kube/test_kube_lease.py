"""Leader election: who may claim, and what a leader does when it can't."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from loopback_api import Answer, loopback_api

from podpass.kube.client import Client
from podpass.kube.config import Access
from podpass.kube.lease import Candidate, Election, LeadershipLost, claim
from podpass.serving.asgi import Request

NOW = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)
ME = Candidate("me", "ns", "lease", 15.0)


def lease(holder: str, **spec: Any) -> dict[str, Any]:
    usual = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3, "acquireTime": "before"}
    return {"metadata": {"name": "lease", "resourceVersion": "7"}, "spec": {**usual, **spec}}


@pytest.mark.parametrize(
    ("found", "seen_seconds", "transitions"),
    [
        (None, 0, 0),
        (lease(""), 0, 3),
        (lease("me"), 0, 3),
        (lease("you"), 14.9, None),
        (lease("you"), 15, 4),
        (lease("you", leaseDurationSeconds=60), 59, None),
        (lease("you", leaseDurationSeconds=None), 15, 4),
    ],
)
def test_who_may_claim(found: dict[str, Any] | None, seen_seconds: float, transitions: int | None) -> None:
    wanted = claim(found, ME, seen_seconds=seen_seconds, now=NOW)
    assert (wanted["spec"]["leaseTransitions"] if wanted else None) == transitions
    if wanted is not None:
        assert wanted["spec"]["holderIdentity"] == "me"
        assert wanted["spec"]["renewTime"] == "2026-11-26T01:02:03.000000Z"
        assert wanted["metadata"].get("resourceVersion") == ("7" if found else None)
        is_renewal = found is not None and found["spec"]["holderIdentity"] == "me"
        assert wanted["spec"]["acquireTime"] == ("before" if is_renewal else wanted["spec"]["renewTime"])


class Server:
    """One Lease, written as the API server does; *broken* makes every answer a 500."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.broken = False

    def answer(self, request: Request) -> Answer:
        import json

        if self.broken:
            return Answer(500, {"kind": "Status", "code": 500, "reason": "InternalError"})
        if request.method == "GET":
            if self.lease is None:
                return Answer(404, {"kind": "Status", "code": 404, "reason": "NotFound"})
            return Answer(200, self.lease)
        body = json.loads(request.body)
        if self.lease is not None and body["metadata"].get("resourceVersion") != str(self.version):
            return Answer(409, {"kind": "Status", "code": 409, "reason": "Conflict"})
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.lease = body
        return Answer(200, body)


async def test_the_work_ends_when_the_lease_is_lost() -> None:
    server, begun, ended = Server(), asyncio.Event(), asyncio.Event()

    async def lead() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with loopback_api(server.answer) as api, Client(Access(server=api.url)) as client:
        failures: list[Exception] = []
        election = Election(client, Candidate("me", "ns", "lease", 0.4), on_failure=failures.append)
        running = asyncio.create_task(election.run(lead))
        async with asyncio.timeout(10):
            await begun.wait()
            assert election.leads.is_set()
            server.broken = True
            with pytest.raises(LeadershipLost):
                await running
        assert ended.is_set()
        assert failures
        assert not election.leads.is_set()


async def test_a_lease_is_let_go_when_the_work_is_done() -> None:
    server = Server()

    async def lead() -> None:
        assert server.lease is not None
        assert server.lease["spec"]["holderIdentity"] == "me"

    async with loopback_api(server.answer) as api, Client(Access(server=api.url)) as client:
        await Election(client, ME).run(lead)
    assert server.lease is not None
    assert server.lease["spec"]["holderIdentity"] == ""


async def test_of_two_one_leads_and_then_the_other() -> None:
    server, order = Server(), []
    go, begun = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        order.append("first")
        begun.set()
        await go.wait()

    async def second() -> None:
        order.append("second")

    async with loopback_api(server.answer) as api, Client(Access(server=api.url)) as client:
        one = asyncio.create_task(Election(client, Candidate("one", "ns", "lease", 1.0)).run(first))
        async with asyncio.timeout(10):
            await begun.wait()
            two = asyncio.create_task(Election(client, Candidate("two", "ns", "lease", 1.0)).run(second))
            go.set()
            await asyncio.gather(one, two)
    assert order == ["first", "second"]
