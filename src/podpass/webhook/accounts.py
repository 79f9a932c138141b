"""Service accounts as the webhook reads them: from a live copy, else once from the API server."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.kube.client import CALL_FAILURES, ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.reflector import Failures, Metadata, Reflector
from podpass.kube.resources import SERVICEACCOUNTS

LIVE_READ_SECONDS = 5.0
MAX_LIVE_READS = 32
"""Live reads at a time: a flood of pods with unknown accounts must not become a flood on the API server."""
MAX_NAME = 253
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


class _AnnotatedMetadata(Metadata):
    annotations: dict[str, str] | None = None


class _Account(msgspec.Struct):
    metadata: _AnnotatedMetadata


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The account can't be had; the text is what the pod's creator is told."""

    message: str


class ServiceAccounts:
    """A copy of every service account's name and annotations, to be run by the caller's TaskGroup."""

    def __init__(self, client: Client, *, on_failure: Failures | None = None) -> None:
        self._client = client
        self._copy: Reflector[_Account] = Reflector(client, SERVICEACCOUNTS, project=_Account, on_failure=on_failure)
        self._live = asyncio.Semaphore(MAX_LIVE_READS)

    @property
    def synced(self) -> asyncio.Event:
        return self._copy.synced

    async def run(self) -> None:
        await self._copy.run()

    def cached(self, namespace: str, name: str) -> Obj | None:
        found = self._copy.get(namespace, name)
        if found is None:
            return None
        metadata: dict[str, Any] = {"namespace": namespace, "name": name}
        metadata["annotations"] = found.metadata.annotations
        return {"metadata": metadata}

    def knows(self, namespace: str) -> bool:
        """Whether *namespace* exists, as far as the copy knows: each has a service account `default`."""
        return self._copy.get(namespace, "default") is not None

    async def read(self, namespace: str, name: str) -> Obj | Unreadable:
        """The account as the API server has it now: one created a moment before its pod must not be missed."""
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(namespace):
            # Nothing can have this name, and it would become part of an address.
            return Unreadable(f'serviceaccounts "{name[:MAX_NAME]}" not found')
        try:
            async with asyncio.timeout(LIVE_READ_SECONDS), self._live:
                return await self._client.get(SERVICEACCOUNTS, name, namespace)
        except ApiError as error:
            return Unreadable(error.message or str(error))
        except TimeoutError:
            return Unreadable(f'serviceaccounts "{name}" could not be read in time')
        except CALL_FAILURES as error:
            return Unreadable(f'serviceaccounts "{name}" could not be read: {error}')
