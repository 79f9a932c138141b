import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import SystemClock
from podpass.lab.doors.http import ForwardProxy, Gateway
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import serve_forward_proxy, serve_gateway
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.journal import Hop, Journal, current_trace
from podpass.lab.store import Store
from podpass.serving.asgi import App, Request, answering, json_response
from podpass.serving.connection import Limits
from podpass.serving.server import bind_tcp
from tests.azure_calls import GATEWAYS


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """TLS that starts in place differs most between the loops."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


def toy(service: str) -> App:
    """A service that tells what arrived."""

    async def handle(request: Request) -> object:
        seen = {
            "service": service,
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "host": request.host,
            "scheme": request.scheme,
            "length": len(request.body),
            "headers": sorted(request.headers),
            "trace": current_trace(),
        }
        return json_response(200, seen)

    return answering(handle, max_body=10_000_000, too_large=lambda request: json_response(413, {}))  # type: ignore[arg-type]


@pytest.fixture
def journal() -> Iterator[Journal]:
    store = Store.open(None)
    yield Journal(store, SystemClock())
    store.close()


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.open(tmp_path_factory.mktemp("ca"))


@dataclass
class Doors:
    """The gateway and the proxy on real sockets, with toy services behind them."""

    ca: CertificateAuthority
    ca_file: Path
    journal: Journal
    names: Names
    seal: TraceSeal
    proxy: str
    gateway: tuple[str, int]
    vaults: set[str]
    services: dict[str, App]

    def hops(self) -> list[Hop]:
        return [event.hop for event in self.journal.events()]


@pytest.fixture
def limits() -> Limits:
    return Limits(head_bytes=8_000, head_seconds=5)


@pytest.fixture
async def doors(ca: CertificateAuthority, journal: Journal, tmp_path: Path, limits: Limits) -> AsyncIterator[Doors]:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ca.pem)
    names, seal, vaults = Names(), TraceSeal(), {"shop"}
    names.only_existing("keyvault", vaults.__contains__)
    services = {name: toy(name) for name in ("entra", "arm", "keyvault", "cluster")}
    gateway = Gateway(names, services, journal, seal=seal)
    GATEWAYS.append(gateway.traffic)
    front, inner = bind_tcp(), bind_tcp()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve_gateway(gateway, [inner], ca, names, limits=limits))
        proxy = ForwardProxy(gateway, names, ca, journal, limits=limits)
        await stack.enter_async_context(serve_forward_proxy(proxy, front))
        yield Doors(
            ca,
            ca_file,
            journal,
            names,
            seal,
            f"http://127.0.0.1:{front.getsockname()[1]}",
            inner.getsockname(),
            vaults,
            services,
        )
