"""The webhook of one embedded cluster: installed and taken away while the cluster runs."""

import asyncio
from contextlib import AsyncExitStack

from podpass.kube.client import Client
from podpass.kube.config import Access, TokenFile
from podpass.lab.installing import install_webhook, register_webhook, remove_webhook
from podpass.lab.private_files import replace_file
from podpass.lab.supervision import Supervision
from podpass.lab.surroundings import Surroundings
from podpass.lab.webhook import RunningWebhook, start_webhook

READY_SECONDS = 30.0


class EmbeddedWebhook:
    """A context manager; the webhook runs from `begin` until `end`, or until *supervision* ends.

    *kube* is the administrator's client of the cluster.
    """

    def __init__(self, lab: Surroundings, kube: Client, supervision: Supervision, *, tenant_id: str) -> None:
        self._lab, self._kube, self._supervision = lab, kube, supervision
        self._tenant_id = tenant_id
        self._token = lab.keys / "webhook.token"
        self._running: RunningWebhook | None = None
        self._stack = AsyncExitStack()

    async def begin(self) -> None:
        """Install it, unless it runs. Pods that ask for it can be created once it is `ready`."""
        if self._running is not None:
            return
        lab = self._lab
        await self._renew_token()
        access = Access(server=self._kube.access.server, ca_pem=lab.ca.pem, credential=TokenFile(self._token))
        client = await self._stack.enter_async_context(Client(access))
        running = start_webhook(
            self._supervision, lab.listeners, lab.ca, client, tenant_id=self._tenant_id, log=lab.log
        )
        self._running = running
        await register_webhook(self._kube, url=running.url, ca_bundle=running.ca_bundle)

    async def ready(self) -> None:
        """Returns when it answers, at once where there is none. Raises TimeoutError."""
        if self._running is not None:
            async with asyncio.timeout(READY_SECONDS):
                await self._running.ready.wait()

    async def end(self) -> None:
        """Take it out of the cluster, whether or not it runs."""
        await remove_webhook(self._kube)
        if self._running is not None:
            self._running = None
            await self._supervision.stop("webhook")
        await self.close()

    async def renew_token(self) -> None:
        """Give it a token of the present key; its former one may soon be refused."""
        if self._running is not None:
            await self._renew_token()

    async def _renew_token(self) -> None:
        replace_file(self._token, (await install_webhook(self._kube)).encode())

    async def close(self) -> None:
        """Close what it calls with, after it has ended."""
        await self._stack.aclose()
