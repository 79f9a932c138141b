"""A world's services behind the forward proxy, on real sockets with real TLS."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.http import ForwardProxy, Gateway
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import serve_forward_proxy
from podpass.lab.doors.traces import TraceSeal
from podpass.serving.server import bind_tcp
from tests.azure_calls import GATEWAYS
from tests.lab.arm.azure_world import World

CLIENT_SECONDS = 90


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
    GATEWAYS.append(gateway.traffic)
    listener = bind_tcp()
    host, port = listener.getsockname()[:2]
    async with serve_forward_proxy(ForwardProxy(gateway, names, ca, world.journal), listener):
        yield Doors(f"http://{host}:{port}", ca, ca_file)


async def run_client(
    world: World, directory: Path, program: Path, *arguments: str, token: str, **variables: str
) -> dict[str, Any]:
    """What *program* prints as JSON; it uses a stock client, and finds *token* in the file PODPASS_TEST_TOKEN."""
    file = directory / "token"
    file.write_text(token)
    async with open_doors(world, directory) as doors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PODPASS_TEST_TOKEN": str(file), **variables, **doors.environ},
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), CLIENT_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, err.decode()[-3_000:]
    seen = json.loads(out)
    assert isinstance(seen, dict)
    return seen
