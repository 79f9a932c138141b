"""Resource Manager, as far as identities of virtual machines and scale sets go.

Contract: pod identity, section 2.7.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from podpass.azure.scopes import scope_for_resource
from podpass.imds.requests import OLDEST_TOKEN_VERSION, TOKEN_PATH
from podpass.mic.cloud import ClientSecret, CloudConfig, FederatedToken, ManagedIdentity
from podpass.mic.metrics import MicMetrics
from podpass.mic.targets import Target
from podpass.mic.throttling import Throttle, retry_after_seconds
from podpass.oauth.grants import CLIENT_ASSERTION_JWT, CLIENT_CREDENTIALS

API_VERSION = "2019-12-01"
METADATA_HOST = "http://169.254.169.254"
ANSWER_SECONDS = 60.0
POLL_SECONDS = 5.0
LONGEST_OPERATION_SECONDS = 900.0
RETRY_SECONDS = (30.0, 60.0, 120.0)
FRESH_SECONDS = 300.0
MAX_BODY = 8 * 1024 * 1024
_AGAIN = frozenset({408, 500, 502, 503, 504})
_TYPES = {"vm": ("virtualMachines", "VM"), "vmss": ("virtualMachineScaleSets", "VMSS")}


class CloudFailed(Exception):
    """Resource Manager, or who gives tokens for it, refused or gave no answer. *status* is 0 without one."""

    def __init__(self, message: str, *, status: int = 0, retry_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.retry_seconds = status, retry_seconds


class Compute:
    """Machines and their identities, as an async context manager that owns one HTTP session.

    *config* is asked anew at each call, so that a changed file counts at once. Every call raises CloudFailed.
    """

    def __init__(
        self,
        config: Callable[[], CloudConfig],
        metrics: MicMetrics,
        *,
        metadata_host: str = METADATA_HOST,
        user_agent: str = "podpass-mic",
        retry_seconds: tuple[float, ...] = RETRY_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._metrics, self._now, self._clock = config, metrics, now, clock
        self._metadata_host, self._user_agent = metadata_host.rstrip("/"), user_agent
        self._retry_seconds, self._poll_seconds = retry_seconds, poll_seconds
        self._answer_seconds = answer_seconds
        self._throttle = Throttle(now, clock)
        self._tokens: dict[CloudConfig, tuple[str, float]] = {}
        self._asking = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=self._answer_seconds, connect=10.0),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, target: Target) -> dict[str, Any]:
        """The machine as it is."""
        found = await self._call("get", target, None)
        if not isinstance(found.get("id"), str):
            # Taken for a machine without identities, it would lose its own by the next write.
            raise CloudFailed(f"the answer to a question for {target} is no machine")
        return found

    async def write(self, target: Target, body: Mapping[str, Any]) -> None:
        """Change the machine; returns when the change has ended."""
        await self._call("update", target, body)

    async def _call(self, verb: str, target: Target, body: Mapping[str, Any] | None) -> dict[str, Any]:
        name = f"{_TYPES[target.kind][1]}{verb.capitalize()}"
        if (wait := self._throttle.waits_seconds(name)) > 0:
            raise CloudFailed(self._throttle.message(name), status=429, retry_seconds=wait)
        operation, started = f"{target.kind}_{verb}", time.perf_counter()
        failed = True
        try:
            found = await self._answered(name, self._url(target), body)
            failed = False
        finally:
            self._metrics.called(operation, time.perf_counter() - started, failed=failed)
        return found

    async def _answered(self, name: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        for wait in (*self._retry_seconds, None):
            status, headers, found = await self._send("GET" if body is None else "PATCH", url, body)
            if status not in _AGAIN or wait is None:
                break
            await asyncio.sleep(wait)
        if status >= 300 or (body is None and status != 200):
            self._throttle.note(name, headers.get("Retry-After", ""))
            raise _failed(status, found, self._throttle.waits_seconds(name))
        if status == 202:
            await self._end_of(headers)
        return found

    async def _end_of(self, headers: Mapping[str, str]) -> None:
        """Wait for the end of a long-running operation. Raises CloudFailed when it fails or does not end."""
        by_status = headers.get("Azure-AsyncOperation", "")
        address = by_status or headers.get("Location", "")
        ends = time.monotonic() + LONGEST_OPERATION_SECONDS
        while address:
            after = headers.get("Retry-After", "")
            await asyncio.sleep(retry_after_seconds(after, now=self._now()) if after else self._poll_seconds)
            status, headers, found = await self._send("GET", address, None)
            if status >= 300:
                raise _failed(status, found, 0.0)
            state = str(found.get("status") or "")
            if by_status and state.lower() in ("failed", "canceled"):
                raise _failed(status, found, 0.0)
            if (by_status and state.lower() == "succeeded") or (not by_status and status != 202):
                return
            if time.monotonic() > ends:
                raise CloudFailed(f"the operation did not end within {LONGEST_OPERATION_SECONDS:.0f} s")

    async def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
            data = msgspec.json.encode(body)
        try:
            async with self._opened.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
                found = await _json(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CloudFailed(f"{method} {url.partition('?')[0]} got no answer: {type(error).__name__}") from error
        if answer.status == 401:
            # Asked for again at the next try.
            self._tokens.clear()
        return answer.status, answer.headers, found

    def _url(self, target: Target) -> str:
        config = self._config()
        subscription = target.subscription or config.subscription_id
        group = target.group or config.resource_group
        base = config.cloud.resource_manager.rstrip("/")
        return (
            f"{base}/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/"
            f"{_TYPES[target.kind][0]}/{target.name}?api-version={API_VERSION}"
        )

    # Tokens

    async def _token(self) -> str:
        config = self._config()
        async with self._asking:
            token, expires_on = self._tokens.get(config, ("", 0.0))
            if expires_on - self._clock() <= FRESH_SECONDS:
                token, expires_on = await self._new_token(config)
                self._tokens = {config: (token, expires_on)}
            return token

    async def _new_token(self, config: CloudConfig) -> tuple[str, float]:
        resource = config.cloud.resource_manager
        match config.credential:
            case ManagedIdentity(client_id):
                query = {"api-version": OLDEST_TOKEN_VERSION, "resource": resource}
                if client_id:
                    query["client_id"] = client_id
                url = f"{self._metadata_host}{TOKEN_PATH}"
                found = await self._token_answer("GET", url, params=query, headers={"Metadata": "true"})
            case ClientSecret(tenant_id, client_id, secret):
                url = f"{config.cloud.authority}/{tenant_id}/oauth2/token?api-version=1.0"
                form = {
                    "client_id": client_id,
                    "client_secret": secret,
                    "grant_type": CLIENT_CREDENTIALS,
                    "resource": resource,
                }
                found = await self._token_answer("POST", url, data=form)
            case FederatedToken(tenant_id, client_id, file):
                try:
                    assertion = file.read_text().strip()
                except OSError as error:
                    raise CloudFailed(f"the federated token {file} can't be read: {error.strerror}") from error
                form = {
                    "client_id": client_id,
                    "client_assertion_type": CLIENT_ASSERTION_JWT,
                    "client_assertion": assertion,
                    "grant_type": CLIENT_CREDENTIALS,
                    "scope": scope_for_resource(resource),
                }
                found = await self._token_answer(
                    "POST", f"{config.cloud.authority}/{tenant_id}/oauth2/v2.0/token", data=form
                )
        try:
            return str(found["access_token"]), self._clock() + int(float(found["expires_in"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CloudFailed("the answer to a request for a token holds none") from error

    async def _token_answer(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        shown = url.partition("?")[0]
        try:
            async with self._opened.request(method, url, allow_redirects=False, **request) as answer:
                found = await _json(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CloudFailed(f"{shown} got no answer: {type(error).__name__}") from error
        if answer.status != 200:
            text = str(found.get("error_description") or found.get("error") or "")
            raise CloudFailed(f"{shown} gave no token: {answer.status} {text[:500]}", status=answer.status)
        return found

    @property
    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the session is used before it is opened")
        return self._session


def _failed(status: int, body: Mapping[str, Any], retry_seconds: float) -> CloudFailed:
    error = body.get("error")
    if isinstance(error, Mapping):
        text = f'Code="{error.get("code", "")}" Message="{error.get("message", "")}"'
    else:
        text = str(error or body.get("status") or "no words")
    return CloudFailed(f"StatusCode={status} {text[:2000]}", status=status, retry_seconds=retry_seconds)


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    body = b""
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise aiohttp.ClientPayloadError("the answer is too large")
    try:
        found = msgspec.json.decode(body) if body.strip() else {}
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
