"""What keeps a certificate in the serving context, and the one that reads it from files.

Contract: azure workload identity, section 1.12.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from podpass.telemetry.logging import Logger
from podpass.webhook.metrics import WebhookMetrics
from podpass.webhook.tls import CertificateUnusable, ServingContext, read_pair


class CertificateKeeper(Protocol):
    """Fills a serving context and keeps it filled; run by the caller's TaskGroup."""

    @property
    def reason(self) -> str:
        """Why there is no certificate, or why the API server would not accept it; empty when all is well."""
        ...

    async def run(self) -> None: ...


class Keeper:
    def __init__(self, serving: ServingContext, loaded: asyncio.Event, metrics: WebhookMetrics, log: Logger) -> None:
        self.reason = "no certificate was loaded yet"
        self._serving, self._loaded, self._metrics, self._log = serving, loaded, metrics, log

    def _load(self, certificate: bytes, key: bytes) -> None:
        try:
            changed = self._serving.load(certificate, key)
        except CertificateUnusable:
            self._metrics.certificate_errors.inc()
            raise
        if changed:
            self._metrics.certificates_read.inc()
            self._log.info("certificate.loaded")
        self._loaded.set()


class CertificateFiles(Keeper):
    """tls.crt and tls.key that somebody else renews; read again every few seconds.

    Files are compared by content: the kubelet swaps a symbolic link, and a rename keeps neither inode nor time.
    """

    def __init__(
        self,
        directory: Path,
        serving: ServingContext,
        loaded: asyncio.Event,
        metrics: WebhookMetrics,
        log: Logger,
        *,
        poll_seconds: float,
    ) -> None:
        super().__init__(serving, loaded, metrics, log)
        self._directory, self._poll_seconds = directory, poll_seconds

    async def run(self) -> None:
        told = ""
        while True:
            try:
                self._load(*read_pair(self._directory))
                self.reason = told = ""
            except CertificateUnusable as error:
                # What is being served stays in service; a pair half written is whole at the next look.
                if not self._serving.loaded:
                    self.reason = str(error)
                if str(error) != told:
                    told = str(error)
                    self._log.warning("certificate.unusable", reason=told)
            await asyncio.sleep(self._poll_seconds)
