"""The Kubernetes API of the lab: discovery, objects, watches, admission, and the controllers a cluster needs.

It imitates the API server of Kubernetes 1.37 for the kinds of `kinds/`, closely enough for unmodified clients. Missing:
the proxy to pods and Services (501).
Contract: Kubernetes API surface.
"""

import asyncio
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from podpass.kube import objects
from podpass.kube.resources import CUSTOMRESOURCEDEFINITIONS, NAMESPACES, PRIORITYCLASSES
from podpass.lab.clock import Clock
from podpass.lab.cluster.access.authentication import AUTHENTICATED, Authenticator
from podpass.lab.cluster.access.authorization import MASTERS, Authorizer
from podpass.lab.cluster.access.default_roles import NODE_LEASE_NAMESPACE, NODES_GROUP, SCHEDULER_USER, default_access
from podpass.lab.cluster.admission.builtin import PRIORITY_CLASSES
from podpass.lab.cluster.admission.chain import Admission
from podpass.lab.cluster.admission.client import ResolveService, WebhookClient, no_services
from podpass.lab.cluster.controllers.endpoints import EndpointsController
from podpass.lab.cluster.controllers.expiry import Expiry
from podpass.lab.cluster.controllers.garbage import GarbageCollector
from podpass.lab.cluster.controllers.kubernetes_service import KubernetesService
from podpass.lab.cluster.controllers.loop import Loop
from podpass.lab.cluster.controllers.namespaces import NamespaceFurniture, NamespaceLifecycle
from podpass.lab.cluster.controllers.nodes import NodeLifecycle
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.roles import RoleAggregation
from podpass.lab.cluster.controllers.token_secrets import TokenSecrets
from podpass.lab.cluster.controllers.workloads import workload_loops
from podpass.lab.cluster.customresources.controller import DefinitionController
from podpass.lab.cluster.customresources.definitions import definition_kind
from podpass.lab.cluster.customresources.publishing import Publisher
from podpass.lab.cluster.customresources.scale import ScaleRequests
from podpass.lab.cluster.evictions import Evictions
from podpass.lab.cluster.extension import User
from podpass.lab.cluster.fieldvalidation import validate_fields
from podpass.lab.cluster.http import KubernetesApi, Parts
from podpass.lab.cluster.kinds.access import access_kinds
from podpass.lab.cluster.kinds.bounds import bound_kinds
from podpass.lab.cluster.kinds.configuration import configmaps
from podpass.lab.cluster.kinds.configuration import secrets as secret_kind
from podpass.lab.cluster.kinds.endpoints import endpoint_slices, endpoints
from podpass.lab.cluster.kinds.events import event_kinds
from podpass.lab.cluster.kinds.identities import namespaces, service_accounts
from podpass.lab.cluster.kinds.networking import networking_kinds
from podpass.lab.cluster.kinds.nodes import leases, nodes
from podpass.lab.cluster.kinds.pods import pods
from podpass.lab.cluster.kinds.policies import policy_kinds
from podpass.lab.cluster.kinds.reviews import review_kinds
from podpass.lab.cluster.kinds.services import services as service_kind
from podpass.lab.cluster.kinds.storage import storage_kinds
from podpass.lab.cluster.kinds.webhooks import webhook_kinds
from podpass.lab.cluster.kinds.workloads import workload_kinds
from podpass.lab.cluster.openapi.v3 import OpenApi
from podpass.lab.cluster.pod_subresources import NodeConnector, PodSubresources
from podpass.lab.cluster.registry import Registry, Subresource
from podpass.lab.cluster.requests.protobuf import decode_body
from podpass.lab.cluster.serviceaccounts.issuer import Issuer
from podpass.lab.cluster.serviceaccounts.signing_keys import SigningKeys
from podpass.lab.cluster.serviceaccounts.tokens import ServiceAccountTokens
from podpass.lab.cluster.services.addresses import ServiceAddresses
from podpass.lab.cluster.services.view import ServiceView
from podpass.lab.cluster.storage import HistoryLimits, Storage
from podpass.lab.cluster.tables import Tables
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.watch import Watches
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.asgi import App

DEFAULT_NAMESPACES = ("default", "kube-system", "kube-public", NODE_LEASE_NAMESPACE)
NODE_NAME = "lab-node"
ADMIN = User("kubernetes-admin", groups=(MASTERS, AUTHENTICATED))


class Cluster:
    """One embedded cluster. Open it with `open`, use it as a context manager, and keep `run` running."""

    node: NodeConnector | None = None
    """Whoever has the containers' logs; set by the lab."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        clock: Clock,
        journal: Journal,
        keys: SigningKeys,
        tokens: dict[str, str],
        issuer: str,
        ca_pem: bytes,
        api_audiences: tuple[str, ...] = (),
        resolve_service: ResolveService = no_services,
        history: HistoryLimits | None = None,
    ) -> None:
        self.name = name
        self.keys = keys
        self._keys_directory = Path()
        self.admin_token, self.node_token = tokens["admin"], tokens["node"]
        self.registry = Registry()
        self.storage = Storage(store, clock, cluster=name, limits=history)
        self.verbs = Verbs(self.registry, self.storage, clock, journal)
        self.tokens = ServiceAccountTokens(self.verbs, keys, clock, journal, issuer=issuer, api_audiences=api_audiences)
        self._authorizer = Authorizer(self.verbs)
        node = User(f"system:node:{NODE_NAME}", groups=(NODES_GROUP, AUTHENTICATED))
        self._authenticator = Authenticator(
            {self.admin_token: ADMIN, self.node_token: node}, self.tokens, self._authorizer
        )
        self._webhooks = WebhookClient(resolve_service)
        self.watches = Watches(self.verbs)
        self.services = ServiceView(self.storage)
        self._issuer = Issuer(issuer, keys, journal)
        self._register(clock, journal)
        self._publish()
        self.verbs.admission = Admission(self.verbs, self._webhooks, self._authorizer, journal, self.registry.find_kind)
        self.verbs.check_fields = validate_fields
        self._furniture = NamespaceFurniture(self.verbs, ca_pem)
        self._kubernetes = KubernetesService(self.verbs)
        # The index hears of every change in front of the controllers that look into it.
        self._pods = PodIndex(self.storage)
        self.storage.listen(self._pods.notice)
        self._loops = [
            *(
                Loop(controller)
                for controller in (
                    self._furniture,
                    self._kubernetes,
                    NamespaceLifecycle(self.verbs),
                    RoleAggregation(self.verbs),
                    GarbageCollector(self.verbs),
                    DefinitionController(self.verbs),
                    EndpointsController(self.verbs),
                    TokenSecrets(self.verbs, self.tokens, ca_pem),
                )
            ),
            *workload_loops(self.verbs, self._pods),
        ]
        self._expiry = Expiry(self.verbs)
        self._node_lifecycle = NodeLifecycle(self.verbs)
        self.storage.listen(self._node_lifecycle.notice)
        for loop in self._loops:
            self.storage.listen(loop.notice)
        self.app: App = KubernetesApi(
            self.verbs,
            self.watches,
            journal,
            Parts(
                authenticator=self._authenticator,
                authorizer=self._authorizer,
                tables=Tables(clock),
                protobuf=decode_body,
                openapi=OpenApi(self.registry),
                document=self._issuer.document,
                live=lambda: self.fault,
            ),
        )
        self.issuer_app: App = self._issuer.app

    @classmethod
    async def open(
        cls,
        *,
        name: str,
        store: Store,
        clock: Clock,
        journal: Journal,
        keys_directory: Path,
        issuer: str,
        ca_pem: bytes,
        api_audiences: tuple[str, ...] = (),
        resolve_service: ResolveService = no_services,
        history: HistoryLimits | None = None,
    ) -> Self:
        """The cluster of that name in *store*, made with all that a new one has if there is none.

        *ca_pem* is the certificate that pods verify the API with. Raises UnusableKey, OSError.
        """
        keys = await SigningKeys.open(keys_directory)
        tokens = {who: _static_token(keys_directory / f"{who}.token") for who in ("admin", "node")}
        cluster = cls(
            name=name,
            store=store,
            clock=clock,
            journal=journal,
            keys=keys,
            tokens=tokens,
            issuer=issuer,
            ca_pem=ca_pem,
            api_audiences=api_audiences,
            resolve_service=resolve_service,
            history=history,
        )
        cluster._keys_directory = keys_directory
        await cluster._fill()
        return cluster

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_watches()
        await self._webhooks.close()

    def token_of_node(self, name: str) -> str:
        """The token of the node of that name."""
        return self._token_of(f"node-{name}", User(f"system:node:{name}", groups=(NODES_GROUP, AUTHENTICATED)))

    def token_of_scheduler(self) -> str:
        return self._token_of("scheduler", User(SCHEDULER_USER, groups=(AUTHENTICATED,)))

    def _token_of(self, who: str, user: User) -> str:
        token = _static_token(self._keys_directory / f"{who}.token")
        self._authenticator.add(token, user)
        return token

    def advertise(self, address: str, port: int) -> None:
        """Name where the API server answers inside the pods' network, for its Service; before `run`."""
        self._kubernetes.endpoint = (address, port)

    async def run(self) -> None:
        """The controllers, until cancelled; then every watch is ended."""
        await self._pods.load()
        try:
            async with asyncio.TaskGroup() as group:
                for loop in self._loops:
                    group.create_task(loop.run())
                group.create_task(self._expiry.run())
                group.create_task(self._node_lifecycle.run())
        finally:
            await self.close_watches()

    async def close_watches(self) -> None:
        """End every watch and every stream, so that the servers that carry them can stop at once."""
        self.watches.close()
        await self._streams.close()

    def _register(self, clock: Clock, journal: Journal) -> None:
        token = Subresource(
            "token", ("create",), "TokenRequest", "authentication.k8s.io", "v1", handler=self.tokens.create
        )
        finalize = Subresource("finalize", ("update",), "Namespace")
        pod_subresources = PodSubresources(self.verbs, clock, lambda: self.node, journal)
        self._streams = pod_subresources.streams
        for kind in (
            pods({**pod_subresources.table(), **Evictions(self.verbs).subresource()}),
            namespaces({"finalize": finalize}),
            service_accounts({"token": token}),
            secret_kind(),
            configmaps(),
            nodes(),
            leases(),
            service_kind(ServiceAddresses(self.storage).allocate),
            endpoints(),
            endpoint_slices(),
            *workload_kinds(self.verbs),
            *event_kinds(),
            *access_kinds(),
            *webhook_kinds(),
            *policy_kinds(),
            definition_kind(),
            *storage_kinds(),
            *bound_kinds(),
            *networking_kinds(),
            *review_kinds(self._authorizer, self._authenticator, clock),
        ):
            self.registry.add(kind)

    def _publish(self) -> None:
        """Serve the custom resources that are defined, now and whenever a definition changes."""
        publisher = Publisher(self.registry, ScaleRequests(self.verbs).answer, self.watches.look)
        for (_, name), stored in self.storage.collection(CUSTOMRESOURCEDEFINITIONS).objects.items():
            publisher.publish(name, stored)
        self.storage.listen(publisher.notice)

    async def _fill(self) -> None:
        """What a cluster has from its first moment: namespaces with their accounts, default roles."""
        for name in DEFAULT_NAMESPACES:
            if self.verbs.find(NAMESPACES, name) is None:
                await self.verbs.create(NAMESPACES, {"metadata": {"name": name}})
            await self._furniture.reconcile((name,))
        for name, value in PRIORITY_CLASSES.items():
            if self.verbs.find(PRIORITYCLASSES, name) is None:
                text = "For what a cluster or node can't do without."
                await self.verbs.create(
                    PRIORITYCLASSES, {"metadata": {"name": name}, "value": value, "description": text}
                )
        for task in self._kubernetes.everything():
            await self._kubernetes.reconcile(task)
        for resource, obj in default_access():
            if self.verbs.find(resource, objects.name(obj), objects.namespace(obj)) is None:
                await self.verbs.create(resource, obj, objects.namespace(obj))

    def clock_moved(self) -> None:
        """The clock jumped: what waits for a time is looked at now."""
        for loop in self._loops:
            loop.hurry()

    @property
    def fault(self) -> str:
        """What broke in a controller; empty when all do well."""
        return next((loop.fault for loop in self._loops if loop.fault), "")


def _static_token(path: Path) -> str:
    """The token in a file of mode 0600, made when there is none: the kubeconfig stays good over restarts."""
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(32)
    # Renamed when it is whole: a crash must not leave an empty file that would be taken for a token.
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(token)
    unfinished.replace(path)
    return token


__all__ = ["ADMIN", "DEFAULT_NAMESPACES", "NODE_NAME", "Cluster"]
