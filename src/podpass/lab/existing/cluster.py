"""An existing cluster in the place of the embedded one: what the lab's doors lead to, and its life beside it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from podpass.kube.client import Client
from podpass.kube.config import ConfigError
from podpass.lab.doors.dns import Services
from podpass.lab.existing import actions
from podpass.lab.existing.actions import Action
from podpass.lab.existing.chosen import Chosen
from podpass.lab.existing.client import (
    IssuerUnreadable,
    calls_the_webhook,
    carry_out,
    issuer,
    issuer_keys,
    present,
    version,
)
from podpass.lab.existing.issuer import RelayedIssuer, names_of
from podpass.lab.node_set import NodeSet
from podpass.lab.supervision import Supervision
from podpass.lab.surroundings import Surroundings
from podpass.lab.webhook import start_webhook
from podpass.problems import PodpassError
from podpass.serving.asgi import App

READY_SECONDS = 20.0
REMOVE_SECONDS = 8.0
_NODES = "the cluster's own nodes; their pods reach the lab's clouds only where they share this machine's loopback"


class ExistingCluster:
    """The cluster that *chosen* names. It is only read until `start` puts the lab's objects there."""

    def __init__(self, lab: Surroundings, chosen: Chosen) -> None:
        self._lab = lab
        self._chosen = chosen
        self._access = chosen.access()
        self.server = self._access.server
        self.issuer = ""
        self.names: dict[str, str] = {}
        self._version = ""
        self._done: list[Action] = []
        self._webhook = ""

    async def open(self) -> None:
        """Connect and read the issuer. Raises ConfigError, PodpassError."""
        # Nobody answers on the embedded cluster's doors.
        for listener in (self._lab.listeners.api, self._lab.listeners.api_socket):
            listener.close()
        client = self._client = await self._lab.stack.enter_async_context(Client(self._access))
        self._version = await version(client)
        try:
            self.issuer, keys = await issuer(client), await issuer_keys(client)
        except IssuerUnreadable as error:
            raise PodpassError("PP132", issuer=self.server, reason=f"it can't be read: {error}") from error
        self.names |= names_of(self.issuer)
        self._relayed = RelayedIssuer(client, self.issuer, keys, self._lab.journal)

    # What the lab's doors lead to

    @property
    def services(self) -> dict[str, App]:
        return {"issuer": self._relayed.app}

    @property
    def find_service(self) -> Services:
        """The cluster's Services are none of the lab's business."""
        return lambda *_: None

    # What the lab tells of it

    def described(self) -> dict[str, Any]:
        return {
            "kind": "existing",
            "server": self.server,
            "version": self._version,
            "kubeconfig": self._chosen.kubeconfig,
            "context": self._chosen.context,
            "objects": [str(action) for action in self._done],
            "webhook": self._webhook,
        }

    def runtime(self) -> dict[str, str]:
        return {"name": "cluster", "why": _NODES}

    def notes(self) -> list[str]:
        return []

    @property
    def nodes(self) -> NodeSet:
        reason = f"the nodes belong to the cluster of context {self._chosen.context}, which the lab only uses"
        raise PodpassError("PP141", reason=reason, lab=self._lab.paths.name)

    def images_in_use(self) -> list[dict[str, str]]:
        return []

    def kubeconfig(self) -> str:
        """Only the choice of the context: who the user is stays in the user's own file, which follows."""
        return yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Config", "current-context": self._chosen.context}, sort_keys=False
        )

    @property
    def kubeconfig_paths(self) -> tuple[Path, ...]:
        return self._lab.paths.kubeconfig, Path(self._chosen.kubeconfig)

    # Its life

    async def start(self, tenant_id: str) -> Supervision:
        """Start the webhook, put the lab's objects into the cluster, see whether its API server calls the webhook."""
        lab = self._lab
        supervision = await lab.stack.enter_async_context(Supervision(lab.log))
        webhook = start_webhook(supervision, lab.listeners, lab.ca, self._client, tenant_id=tenant_id, log=lab.log)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await webhook.ready.wait()
        except TimeoutError:
            last = supervision.report()["webhook"]["last"] or "they did not come"
            raise ConfigError(f"the service accounts of {self.server} can't be read: {last}") from None
        wanted = actions.wanted_objects(self._chosen.owner, url=webhook.url, ca_bundle=webhook.ca_bundle)
        planned = actions.install(wanted, await present(self._client, wanted), self._chosen.owner)
        # From here on something may be there, whatever else fails.
        lab.stack.push_async_callback(self._leave)
        await carry_out(self._client, planned)
        self._done = planned
        await self._look_at_webhook(planned)
        return supervision

    async def _look_at_webhook(self, planned: Sequence[Action]) -> None:
        registration = planned[-1]
        if registration.verb == "leave":
            self._webhook = f"not registered: {registration.why}, which is left alone"
            return
        why = await calls_the_webhook(self._client)
        if not why:
            self._webhook = "registered: pods that ask for it get their variables and token from this lab"
            return
        # A registration that can't be called would keep pods from being created.
        mine = await present(self._client, [registration.wanted or _named(registration)])
        await carry_out(self._client, actions.removal(mine, self._chosen.owner))
        self._done = [action for action in planned if action is not registration]
        self._webhook = (
            f"not registered: the API server does not reach it ({why}); deploy/webhook runs it in the cluster"
        )

    async def _leave(self) -> None:
        """Take the lab's objects away again."""
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await remove(self._client, self._chosen.owner)
        except (PodpassError, TimeoutError) as error:
            self._lab.log.warning("existing.objects.left", server=self.server, reason=str(error) or "no answer in time")

    def clock_moved(self) -> None:
        """The cluster has a clock of its own."""

    async def close_watches(self) -> None:
        """The cluster's watches are its own."""


def _named(action: Action) -> dict[str, Any]:
    return {"kind": action.kind, "metadata": {"name": action.name}}


async def remove(client: Client, owner: str) -> list[Action]:
    """Take away what the lab *owner* put into the cluster; what was done. Raises PodpassError PP133."""
    planned = await planned_removal(client, owner)
    await carry_out(client, planned)
    return planned


async def planned_removal(client: Client, owner: str) -> list[Action]:
    wanted = actions.wanted_objects(owner, url="https://127.0.0.1/", ca_bundle="")
    return actions.removal(await present(client, wanted), owner)


async def planned_install(client: Client, owner: str) -> list[Action]:
    """What `start` would do. Raises ConfigError, PodpassError."""
    await version(client)
    try:
        names_of(await issuer(client))
    except IssuerUnreadable as error:
        raise PodpassError("PP132", issuer=client.access.server, reason=f"it can't be read: {error}") from error
    wanted = actions.wanted_objects(owner, url="https://127.0.0.1/", ca_bundle="")
    return actions.install(wanted, await present(client, wanted), owner)
