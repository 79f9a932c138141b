"""Five thousand managed identities with twenty federated credentials each: finding, listing, and what they weigh.

Runs as a program of its own, so that its memory is theirs. One identity is made as a client makes it, and the others
like it, straight in the store: their number would cost minutes.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.rates import resident_mib
from podpass.importing import for_good, without_system_roots

with for_good(), without_system_roots():
    # As the lab's own process imports them.
    from podpass.lab.arm import Arm
    from podpass.lab.arm.estate import parsed_id
    from podpass.lab.arm.managed_identity import CREDENTIAL, IDENTITY
    from podpass.lab.clock import SystemClock
    from podpass.lab.entra.access import AccessTokens, v1_issuer
    from podpass.lab.entra.directory import Application, Directory, Tenant
    from podpass.lab.journal import Journal
    from podpass.lab.store import Store
    from podpass.serving.asgi import App
    from podpass.tokens import federation, jwt
    from podpass.tokens.keys import JwkSet, SigningKey

IDENTITIES, CREDENTIALS = 5_000, 20
_TENANT = "11111111-1111-4111-8111-111111111111"
_SUBSCRIPTION = "22222222-2222-4222-8222-222222222222"
_AUTHORITY = "https://login.microsoftonline.com"
_ISSUER = "https://eastus.oic.prod-aks.azure.com/bench/"


@dataclass(frozen=True, slots=True)
class Found:
    match_seconds: float
    """Reading an identity's credentials and matching a token against them, none read before."""
    list_seconds: float
    """All of them listed, page by page, through Resource Manager without its sockets; CPU time."""
    listed: int
    resident_mib: float


def measured() -> Found:
    """Raises RuntimeError when a list leaves out an identity, or shows one twice."""
    with tempfile.TemporaryDirectory(prefix="podpass-bench-") as directory:
        command = [sys.executable, "-m", "bench.many_identities", directory]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = Found(**json.loads(done.stdout))
    if found.listed != IDENTITIES:
        raise RuntimeError(f"{found.listed} of {IDENTITIES} identities were listed")
    return found


def _fill(arm: Arm) -> list[str]:
    """The client ids of the identities that were made."""
    group = arm.seed.put_group(_SUBSCRIPTION, "bench")
    first = arm.seed.put_identity(group.id, "identity-00000")
    for number in range(CREDENTIALS):
        arm.seed.put_federated_credential(first.id, f"credential-{number}", issuer=_ISSUER, subject=f"sa-{number}")
    estate, directory = arm.estate, arm.directory
    identity = estate.require(parsed_id(first.id))
    credentials = estate.below(parsed_id(first.id), CREDENTIAL)
    kept = estate.store.get("entra", "credentials", f"{_TENANT}/{first.client_id}")
    clients = [first.client_id]
    with estate.store.transaction():
        for number in range(1, IDENTITIES):
            name, client_id, object_id = f"identity-{number:05}", str(uuid.uuid4()), str(uuid.uuid4())
            resource_id = f"{group.id}/providers/{IDENTITY}/{name}"
            properties = {**identity.properties, "clientId": client_id, "principalId": object_id}
            estate.keep(replace(identity, id=resource_id, name=name, properties=properties))
            for one in credentials:
                estate.keep(replace(one, id=f"{resource_id}/federatedIdentityCredentials/{one.name}"))
            directory.put_application(Application(_TENANT, client_id, object_id, name, "managed-identity", resource_id))
            estate.store.put("entra", "credentials", f"{_TENANT}/{client_id}", kept)
            clients.append(client_id)
    return clients


async def _get(app: App, url: str, token: str) -> dict[str, Any]:
    parts = urlsplit(url)
    answered: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(b"host", parts.netloc.encode()), (b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        answered.append(message)

    await app(scope, receive, send)
    document: dict[str, Any] = json.loads(b"".join(one.get("body", b"") for one in answered[1:]))
    return document


async def _listed(arm: Arm, token: str) -> int:
    url = f"https://management.azure.com/subscriptions/{_SUBSCRIPTION}/providers/{IDENTITY}?api-version=2024-11-30"
    names: list[str] = []
    while url:
        page = await _get(arm.app, url, token)
        names += [one["name"] for one in page["value"]]
        url = page.get("nextLink", "")
    return len(set(names)) if len(set(names)) == len(names) else -1


async def _run(directory: Path) -> Found:
    store, clock, key = Store.open(directory / "lab.sqlite"), SystemClock(), SigningKey.generate()
    tenants = Directory(store, clock)
    tenants.put_tenant(Tenant(_TENANT))
    tokens = AccessTokens(lambda: JwkSet((key.public,)), clock, _AUTHORITY)
    arm = Arm(store, clock, Journal(store, clock), tenants, tokens)
    arm.seed.put_subscription(_TENANT, "bench", _SUBSCRIPTION)
    clients = _fill(arm)
    reader = Application(_TENANT, str(uuid.uuid4()), str(uuid.uuid4()), "reader")
    tenants.put_application(reader)
    arm.seed.put_role_assignment(f"/subscriptions/{_SUBSCRIPTION}", "Reader", reader.object_id)
    now = int(clock.now())
    token = jwt.sign(
        {
            "iss": v1_issuer(_TENANT),
            "aud": "https://management.azure.com/",
            "tid": _TENANT,
            "oid": reader.object_id,
            "appid": reader.client_id,
            "nbf": now,
            "exp": now + 3_600,
        },
        key,
    )
    claims = {"iss": _ISSUER, "sub": f"sa-{CREDENTIALS - 1}", "aud": ["api://AzureADTokenExchange"]}
    began = time.process_time()
    for client_id in clients:
        assert isinstance(federation.match(claims, tenants.credentials(_TENANT, client_id)), federation.Match)
    match_seconds = (time.process_time() - began) / len(clients)
    began = time.process_time()
    listed = await _listed(arm, token)
    list_seconds = time.process_time() - began
    store.close()
    return Found(match_seconds, list_seconds, listed, resident_mib(os.getpid()))


if __name__ == "__main__":
    result = asyncio.run(_run(Path(sys.argv[1])))
    print(json.dumps({name: getattr(result, name) for name in Found.__slots__}))
