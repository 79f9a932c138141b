"""The cluster's issuer as the lab's clouds find it: at its own host name, with the keys that the cluster has now."""

import asyncio
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from podpass.kube.client import Client
from podpass.lab.cluster.serviceaccounts.issuer import Issuer
from podpass.lab.doors.names import AZURE_PUBLIC, BadPattern, Names
from podpass.lab.existing.client import IssuerUnreadable, issuer_keys
from podpass.lab.journal import Journal
from podpass.problems import PodpassError
from podpass.serving.asgi import Receive, Scope, Send
from podpass.tokens.discovery import JWKS_PATH, unfederatable
from podpass.tokens.keys import JwkSet

FRESH_SECONDS = 1.0


class RelayedIssuer:
    """Publishes the issuer's documents; its keys are read from the cluster for whoever asks for them."""

    def __init__(self, client: Client, issuer: str, keys: JwkSet, journal: Journal) -> None:
        self._client = client
        self.published = keys
        self._read_at = time.monotonic()
        self._reading = asyncio.Lock()
        self._issuer = Issuer(issuer, self, journal)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith(JWKS_PATH):
            await self._refresh()
        await self._issuer.app(scope, receive, send)

    async def _refresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < FRESH_SECONDS:
                return
            try:
                self.published = await issuer_keys(self._client)
            except IssuerUnreadable:
                # A cluster that is away has not changed its keys.
                return
            self._read_at = time.monotonic()


def names_of(issuer: str) -> Mapping[str, str]:
    """The issuer's host as the lab's doors know it. Raises PodpassError PP132 when clouds could not trust it."""
    if why := unfederatable(issuer):
        raise PodpassError("PP132", issuer=issuer, reason=f"it {why}")
    parts = urlsplit(issuer)
    host = parts.hostname or ""
    if parts.port not in (None, 443):
        raise PodpassError("PP132", issuer=issuer, reason="it is not on port 443, the only one the lab stands for")
    taken = Names(AZURE_PUBLIC).route(host)
    if taken is not None and taken.service != "issuer":
        raise PodpassError("PP132", issuer=issuer, reason=f"the lab itself is {host}")
    try:
        Names({host: "issuer"})
    except BadPattern as error:
        raise PodpassError("PP132", issuer=issuer, reason="it names no host") from error
    return {host: "issuer"}
