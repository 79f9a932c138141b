"""What the stock az sends, replayed: a machine without az knows too whether the lab answers it."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from yarl import URL

from podpass.lab.certificates import CertificateAuthority
from tests.az_requests import Names, load, misfit, shape
from tests.running_lab import RunningLab
from tests.shell import ROOT, shell_in_a_lab

SCENARIO = ROOT / "tests" / "az" / "scenario.yaml"
LONGEST_OPERATION_SECONDS = 60
AUTHORITY = "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": "x", "b": [{"c": 1}], "n": 0, "more": True}, ""),
        ({"a": "x", "b": [], "n": None}, "$.b is no list, or an empty one"),
        ({"a": 1, "b": [{"c": 1}], "n": None}, "$.a is no str"),
        ({"b": [{"c": 1}], "n": None}, "$.a is missing"),
        ({"a": "x", "b": [{}], "n": None}, "$.b[0].c is missing"),
        ({"a": "x", "b": [{"c": 1}]}, "$.n is missing"),
        ([], "$ is no object"),
    ],
)
def test_a_shape_is_missed_where_something_lacks(value: Any, found: str) -> None:
    assert misfit(shape({"a": "y", "b": [{"c": 2}, {"c": 3}], "n": None}), value) == found


def test_ids_are_named_where_they_come_from() -> None:
    one, two = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
    names, exchange = Names({"tenant": two}), {}
    names.seen(exchange, {"value": [{"id": f"/x/{one}"}]})
    assert names.named(f"/a/{one.upper()}?t={two}") == "/a/{given-1}?t={tenant}"
    assert exchange == {"learns": {"given-1": ["value", 0, "id", 0]}}
    other = Names({"tenant": "t"})
    other.learn(exchange, {"value": [{"id": f"/y/{two}"}]})
    assert other.filled("/a/{given-1}?t={tenant}") == f"/a/{two}?t=t"


async def test_the_lab_answers_what_az_sends(tmp_path_factory: pytest.TempPathFactory) -> None:
    with shell_in_a_lab(tmp_path_factory.mktemp("replay"), scenario=SCENARIO) as shell:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            replay = _Replay(shell.lab, session)
            for command in load()["commands"]:
                for exchange in command["requests"]:
                    assert await replay.sent(exchange) == "", (
                        f"{command['command']}\n{exchange['method']} {exchange['url']}"
                    )


class _Replay:
    def __init__(self, lab: RunningLab, session: aiohttp.ClientSession) -> None:
        ends = lab.endpoints
        audience = ("--audience", "api://AzureADTokenExchange")
        self._session, self._proxy = session, ends.proxy
        self._tls = CertificateAuthority.open(lab.paths.keys / "ca").client_context()
        self._names = Names({
            "subscription": ends.subscription_id,
            "tenant": ends.tenant_id,
            "operator": ends.operator_client_id,
            "issuer": ends.issuer,
            "assertion": lab.kubectl("create", "token", "operator", "-n", "podpass-system", *audience).strip(),
        })  # fmt: skip
        self._tokens: dict[str, str] = {}
        self._followed: dict[str, str] = {}

    async def sent(self, exchange: dict[str, Any]) -> str:
        """What is wrong with the answer to *exchange*; empty when nothing is."""
        url = exchange["url"]
        if not url.startswith("{follow:"):
            return await self._once(exchange, self._names.filled(url))
        place = self._followed[url.removeprefix("{follow:").removesuffix("}")]
        wrong, last = "", time.monotonic() + LONGEST_OPERATION_SECONDS
        # A client asks again until the operation has ended, and so its last answer is the recorded one.
        while time.monotonic() < last and (wrong := await self._once(exchange, place)):  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.1)
        return wrong

    async def _once(self, exchange: dict[str, Any], url: str) -> str:
        headers = dict(exchange["headers"])
        if audience := exchange.get("token_for"):
            headers["authorization"] = f"Bearer {await self._token(self._names.filled(audience))}"
        data: Any = None
        if "form" in exchange:
            data = {name: self._names.filled(value) for name, value in exchange["form"].items()}
        elif "body" in exchange:
            data = self._names.filled(json.dumps(exchange["body"])).encode()
        status, answer = await self._send(exchange["method"], url, headers, data)
        if status != exchange["status"]:
            return f"{status} instead of {exchange['status']}: {answer}"
        if "answer" not in exchange:
            return ""
        if exchange["url"].startswith("{follow:") and _goes_on(answer):
            return "it goes on"
        self._names.learn(exchange, answer)
        return misfit(json.loads(self._names.filled(json.dumps(exchange["answer"]))), answer)

    async def _send(self, method: str, url: str, headers: dict[str, str], data: Any) -> tuple[int, Any]:
        request = self._session.request(
            method, URL(url, encoded=True), headers=headers, data=data, proxy=self._proxy, ssl=self._tls
        )
        async with request as answer:
            body = await answer.read()
            for name in ("azure-asyncoperation", "location"):
                if name in answer.headers:
                    self._followed[name] = answer.headers[name]
            return answer.status, json.loads(body) if body and "json" in answer.headers["content-type"] else None

    async def _token(self, audience: str) -> str:
        if audience not in self._tokens:
            form = {
                "client_id": self._names.known["operator"],
                "grant_type": "client_credentials",
                "scope": f"{audience}/.default",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": self._names.known["assertion"],
            }
            url = f"{AUTHORITY}/{self._names.known['tenant']}/oauth2/v2.0/token"
            _, answer = await self._send("POST", url, {}, form)
            self._tokens[audience] = answer["access_token"]
        return self._tokens[audience]


def _goes_on(answer: Any) -> bool:
    return str(answer.get("status", "Succeeded")) not in ("Succeeded", "Failed", "Canceled")
