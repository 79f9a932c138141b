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
from podpass.lab.cluster import Cluster
from podpass.lab.cluster.admission.client import Endpoint, ServiceUnreachable
from podpass.lab.journal import Hop, Journal
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, serving

ISSUER = "https://issuer.example.test/cluster/"


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

    def __init__(
        self, directory: Path, cluster: Cluster, journal: Journal, services: dict[tuple[str, str], int]
    ) -> None:
        self.directory = directory
        self.cluster = cluster
        self.journal = journal
        self.services = services

    def write_kubeconfig(self, server: str, bundle: Path) -> None:
        user = {"token": self.cluster.admin_token}
        context = {"cluster": "c", "user": "admin", "namespace": "shop"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": str(bundle)}}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "c", "context": context}],
            "current-context": "c",
        }
        (self.directory / "kubeconfig").write_text(yaml.safe_dump(config))

    async def kubectl(self, binary: str, *arguments: str, stdin: str | dict[str, Any] = "", user: str = "") -> Ran:
        """Run kubectl, as the administrator or in the name of *user*; an object on stdin is written as YAML."""
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--kubeconfig={self.directory / 'kubeconfig'}",
            f"--cache-dir={self.directory / 'cache'}",
            *([f"--as={user}", "--as-group=developers"] if user else []),
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


@contextlib.asynccontextmanager
async def api_server(directory: Path) -> AsyncIterator[ApiServer]:
    """A cluster with the namespace `shop` and its default account, on a TLS socket."""
    services: dict[tuple[str, str], int] = {}

    def resolve(namespace: str, name: str, _port: int) -> Endpoint:
        if (namespace, name) not in services:
            raise ServiceUnreachable(f'service "{name}" not found')
        return Endpoint("127.0.0.1", services[namespace, name])

    clock = SystemClock()
    store = Store.open(None)
    journal = Journal(store, clock)
    authority = trustme.CA()
    bundle = directory / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with await Cluster.open(
        name="test",
        store=store,
        clock=clock,
        journal=journal,
        keys_directory=directory / "keys",
        issuer=ISSUER,
        ca_pem=bundle.read_bytes(),
        resolve_service=resolve,
    ) as cluster:
        await cluster.verbs.create(resources.NAMESPACES, {"metadata": {"name": "shop"}})
        await cluster.verbs.create(resources.SERVICEACCOUNTS, {"metadata": {"name": "default"}}, "shop")
        server = ApiServer(directory, cluster, journal, services)
        listener = bind_tcp()
        server.write_kubeconfig(f"https://127.0.0.1:{listener.getsockname()[1]}", bundle)
        async with serving(cluster.app, [listener], tls=context, grace_seconds=1):
            try:
                yield server
            finally:
                await cluster.close_watches()
    journal.close()
    store.close()
