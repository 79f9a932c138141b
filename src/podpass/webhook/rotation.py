"""Makes and renews the webhook's certificate, in the cluster's Secret or on this machine.

Contract: azure workload identity, section 1.12.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from podpass.kube.client import CALL_FAILURES, Client
from podpass.kube.objects import Obj
from podpass.kube.reflector import Failures, Reflector
from podpass.kube.resources import MUTATINGWEBHOOKCONFIGURATIONS, SECRETS
from podpass.telemetry.logging import Logger
from podpass.webhook.certificates import Material, due, renewed, with_ca_bundle
from podpass.webhook.keeper import Keeper
from podpass.webhook.manifests import CONFIGURATION, SECRET, SERVICE
from podpass.webhook.metrics import WebhookMetrics
from podpass.webhook.tls import CertificateUnusable, ServingContext, serving_name

CHECK_SECONDS = 12 * 3600.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
SETTLE_SECONDS = 0.2
"""After a write, so that two who disagree about the caBundle do not fight at full speed."""


class ClusterCertificate(Keeper):
    """The certificate in the Secret, made and renewed by whichever replica comes first; the caBundle follows it."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        serving: ServingContext,
        loaded: asyncio.Event,
        metrics: WebhookMetrics,
        log: Logger,
        *,
        now: Callable[[], float],
        on_failure: Failures,
    ) -> None:
        super().__init__(serving, loaded, metrics, log)
        self._client, self._namespace, self._now = client, namespace, now
        self._name = serving_name(SERVICE, namespace)
        self._changed = asyncio.Event()
        self._secrets: Reflector[Obj] = Reflector(
            client,
            SECRETS,
            namespace=namespace,
            field_selector=f"metadata.name={SECRET}",
            on_change=lambda _: self._changed.set(),
            on_failure=on_failure,
        )
        self._configurations: Reflector[Obj] = Reflector(
            client,
            MUTATINGWEBHOOKCONFIGURATIONS,
            field_selector=f"metadata.name={CONFIGURATION}",
            on_change=lambda _: self._changed.set(),
            on_failure=on_failure,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run())
            group.create_task(self._configurations.run())
            group.create_task(self._turns())

    async def _turns(self) -> None:
        await self._secrets.synced.wait()
        await self._configurations.synced.wait()
        wait = FIRST_WAIT_SECONDS
        while True:
            self._changed.clear()
            pause = CHECK_SECONDS
            try:
                if await self._turn():
                    await asyncio.sleep(SETTLE_SECONDS)
                wait = FIRST_WAIT_SECONDS
            except (*CALL_FAILURES, CertificateUnusable) as error:
                # A conflict means that another replica was first; its write is on its way here.
                self.reason = str(error)
                self._metrics.failed_turns.labels("certificates").inc()
                self._log.warning("certificate.turn_failed", reason=str(error), wait_seconds=wait)
                pause, wait = wait, min(wait * 2, LONGEST_WAIT_SECONDS)
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> bool:
        """One comparison of what is with what should be; whether anything was written."""
        secret = self._secrets.get(self._namespace, SECRET)
        if secret is None:
            self.reason = f'secrets "{SECRET}" not found in namespace {self._namespace}'
            return False
        wrote = False
        material = Material.from_secret(secret)
        renewal = due(material, self._name, now=self._now())
        if renewal is not None:
            material = await asyncio.to_thread(renewed, material, renewal, self._name, now=self._now())
            data = {**(secret.get("data") or {}), **material.to_data()}
            await self._client.replace(SECRETS, {**secret, "data": data}, self._namespace)
            self._log.info("certificate.renewed", what=renewal.what, reason=renewal.reason)
            wrote = True
        if material is None:
            raise CertificateUnusable("the Secret holds no certificate")
        self._load(material.certificate, material.key)
        configuration = self._configurations.get("", CONFIGURATION)
        if configuration is None:
            self.reason = f'mutatingwebhookconfigurations "{CONFIGURATION}" not found'
            return wrote
        mended = with_ca_bundle(configuration, material.ca_certificate)
        if mended is not None:
            await self._client.replace(MUTATINGWEBHOOKCONFIGURATIONS, mended)
            self._log.info("ca_bundle.written", configuration=CONFIGURATION)
            wrote = True
        self.reason = ""
        return wrote


class OwnCertificate(Keeper):
    """An authority and a leaf made on this machine and kept in a directory, with nothing written to a cluster."""

    def __init__(
        self,
        directory: Path,
        namespace: str,
        serving: ServingContext,
        loaded: asyncio.Event,
        metrics: WebhookMetrics,
        log: Logger,
        *,
        now: Callable[[], float],
    ) -> None:
        super().__init__(serving, loaded, metrics, log)
        self._directory, self._now = directory, now
        self._name = serving_name(SERVICE, namespace)

    async def run(self) -> None:
        while True:
            material = Material.from_directory(self._directory)
            renewal = due(material, self._name, now=self._now())
            if renewal is not None:
                material = await asyncio.to_thread(
                    renewed, material, renewal, self._name, now=self._now(), addresses=True
                )
                material.write(self._directory)
                self._log.info("certificate.renewed", what=renewal.what, reason=renewal.reason)
            if material is not None:
                self._load(material.certificate, material.key)
                self.reason = ""
            await asyncio.sleep(CHECK_SECONDS)
