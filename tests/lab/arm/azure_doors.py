"""A world's services behind the forward proxy, on real sockets with real TLS."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.http import ForwardProxy, Gateway
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import serve_forward_proxy
from podpass.lab.doors.traces import TraceSeal
from podpass.serving.server import bind_tcp
from tests.lab.arm.azure_world import World


@dataclass(frozen=True)
class Doors:
    proxy: str
    ca: CertificateAuthority
    ca_file: Path

    @property
    def environ(self) -> dict[str, str]:
        """What a program on the host is given to reach the lab, and nothing else of this process's environment."""
        return {
            "HTTPS_PROXY": self.proxy,
            "HTTP_PROXY": self.proxy,
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
            "SSL_CERT_FILE": str(self.ca_file),
        }


@contextlib.asynccontextmanager
async def open_doors(world: World, directory: Path) -> AsyncIterator[Doors]:
    ca = CertificateAuthority.open(directory / "ca")
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(ca.pem)
    names = Names()
    names.only_existing("keyvault", world.keyvault.exists)
    services = {"arm": world.arm.app, "keyvault": world.keyvault.app}
    gateway = Gateway(names, services, world.journal, seal=TraceSeal())
    listener = bind_tcp()
    host, port = listener.getsockname()[:2]
    async with serve_forward_proxy(ForwardProxy(gateway, names, ca, world.journal), listener):
        yield Doors(f"http://{host}:{port}", ca, ca_file)
