"""The cluster's API on a TLS socket, with every part that answers for it, and stock kubectls to ask it."""

import asyncio
import contextlib
import os
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml

from podpass.kube import resources
from podpass.lab.clock import SystemClock
from podpass.lab.cluster.admission import Admission
from podpass.lab.cluster.authentication import Authenticator
from podpass.lab.cluster.authorization import Authorizer
from podpass.lab.cluster.client import Endpoint, ServiceUnreachable, WebhookClient
from podpass.lab.cluster.default_roles import default_access
from podpass.lab.cluster.extension import User
from podpass.lab.cluster.fieldvalidation import validate_fields
from podpass.lab.cluster.http import KubernetesApi, Parts
from podpass.lab.cluster.issuer import Issuer
from podpass.lab.cluster.kinds.builtin import builtin_kinds
from podpass.lab.cluster.openapi import OpenApi
from podpass.lab.cluster.protobuf import decode_body
from podpass.lab.cluster.registry import Registry
from podpass.lab.cluster.serviceaccount_tokens import ServiceAccountTokens
from podpass.lab.cluster.signing_keys import SigningKeys
from podpass.lab.cluster.storage import Storage
from podpass.lab.cluster.tables import Tables
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.watch import Watches
from podpass.lab.journal import Hop, Journal
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, serving
from podpass.tokens.keys import SigningKey

ISSUER = "https://issuer.example.test/cluster/"
ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
ANN = User("ann", groups=("developers", "system:authenticated"))
STATIC = {"admin-token": ADMIN, "ann-token": ANN}


def kubectls() -> list[str]:
    """Every stock kubectl there is: the one installed with the tests, and that of the machine."""
    places = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    found = [path for place in places if (path := shutil.which("kubectl", path=place))]
    return list({str(Path(path).resolve()): path for path in found}.values())


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


class ApiServer:
    """One cluster's API. `services` maps (namespace, name) to the local ports that webhooks listen on."""

    def __init__(self, directory: Path, key: SigningKey) -> None:
        self.directory = directory
        self.clock = SystemClock()
        store = Store.open(None)
        self.journal = Journal(store, self.clock)
        self.registry = Registry()
        self.verbs = Verbs(self.registry, Storage(store, self.clock, cluster="test"), self.clock, self.journal)
        self.services: dict[tuple[str, str], int] = {}
        self.webhooks = WebhookClient(self._resolve)
        authorizer = Authorizer(self.verbs)
        self.keys = SigningKeys(directory, key)
        tokens = ServiceAccountTokens(self.verbs, self.keys, self.clock, self.journal, issuer=ISSUER)
        for kind in builtin_kinds(self.verbs, self.clock, tokens=tokens, rights=authorizer):
            self.registry.add(kind)
        self.verbs.admission = Admission(self.verbs, self.webhooks, authorizer, self.journal)
        self.verbs.check_fields = validate_fields
        self.watches = Watches(self.verbs)
        parts = Parts(
            authenticator=Authenticator(STATIC, tokens, authorizer),
            authorizer=authorizer,
            tables=Tables(self.clock),
            protobuf=decode_body,
            openapi=OpenApi(self.registry),
            document=Issuer(ISSUER, self.keys).document,
        )
        self.app = KubernetesApi(self.verbs, self.watches, self.journal, parts)

    def _resolve(self, namespace: str, name: str, _port: int) -> Endpoint:
        if (namespace, name) not in self.services:
            raise ServiceUnreachable(f'service "{name}" not found')
        return Endpoint("127.0.0.1", self.services[namespace, name])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ApiServer"]:
        for resource, obj in default_access():
            await self.verbs.create(resource, obj)
        for name in ("default", "kube-system", "shop"):
            await self.verbs.create(resources.NAMESPACES, {"metadata": {"name": name}})
            await self.verbs.create(resources.SERVICEACCOUNTS, {"metadata": {"name": "default"}}, name)
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        listener = bind_tcp()
        bundle = self.directory / "ca.pem"
        authority.cert_pem.write_to_path(bundle)
        self._write_kubeconfig(f"https://127.0.0.1:{listener.getsockname()[1]}", bundle)
        async with serving(self.app, [listener], tls=context, grace_seconds=1):
            try:
                yield self
            finally:
                self.watches.close()
                await self.webhooks.close()

    def _write_kubeconfig(self, server: str, bundle: Path) -> None:
        users = [{"name": token, "user": {"token": token}} for token in STATIC]
        contexts = [
            {"name": token, "context": {"cluster": "c", "user": token, "namespace": "shop"}} for token in STATIC
        ]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": str(bundle)}}],
            "users": users,
            "contexts": contexts,
            "current-context": "admin-token",
        }
        (self.directory / "kubeconfig").write_text(yaml.safe_dump(config))

    async def kubectl(self, binary: str, *arguments: str, stdin: str | dict[str, Any] = "", user: str = "admin") -> Ran:
        """Run kubectl as *user*; an object on stdin is written as YAML."""
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--kubeconfig={self.directory / 'kubeconfig'}",
            f"--cache-dir={self.directory / 'cache'}",
            f"--context={user}-token",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.directory), "PATH": os.environ["PATH"], "KUBECTL_KUBERC": "false"},
        )
        text = yaml.safe_dump(stdin) if isinstance(stdin, dict) else stdin
        async with asyncio.timeout(60):
            out, err = await process.communicate(text.encode())
        return Ran(process.returncode or 0, out.decode(), err.decode())

    def hops(self, problem: str = "", whom: str = "") -> list[Hop]:
        return [
            event.hop
            for event in self.journal.events()
            if (not problem or event.hop.problem == problem) and (not whom or event.hop.whom == whom)
        ]
