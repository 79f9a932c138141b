"""A tenant, a subscription, and callers with real tokens, for tests of ARM and of Key Vault."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from podpass.lab.arm import Arm
from podpass.lab.arm.seeding import Group, Identity
from podpass.lab.clock import LabClock
from podpass.lab.entra.access import AccessTokens, v1_issuer
from podpass.lab.entra.directory import Application, Directory, Tenant
from podpass.lab.faults import Faults
from podpass.lab.journal import Hop, Journal
from podpass.lab.keyvault import KeyVault
from podpass.lab.store import Store
from podpass.serving.asgi import App
from podpass.tokens.jwt import sign
from podpass.tokens.keys import JwkSet, SigningKey
from tests.azure_calls import IN_PROCESS

AUTHORITY = "https://login.microsoftonline.com"
TENANT = "11111111-2222-4333-8444-555555555555"
OTHER_TENANT = "99999999-2222-4333-8444-555555555555"
SUBSCRIPTION = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
ARM_AUDIENCE = "https://management.azure.com/"
VAULT_AUDIENCE = "https://vault.azure.net"
NOW = 1_800_000_000.0


_SERVICES = {
    "azure.com": "arm",
    "microsoft.com": "graph",
    "microsoftonline.com": "entra",
    "vault.azure.net": "keyvault",
}


@dataclass(frozen=True)
class Reply:
    """An answer to a request sent straight into an app."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


async def send(
    app: App, method: str, url: str, *, token: str = "", content: Any = None, headers: dict[str, str] | None = None
) -> Reply:
    """One request to *app*; bytes are sent as they are, everything else as JSON."""
    parts = urlsplit(url)
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    sent = {"host": parts.netloc, "content-length": str(len(body)), **(headers or {})}
    if token:
        sent["authorization"] = f"Bearer {token}"
    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 40_000),
    }
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, answer)
    start, *chunks = messages
    raw = b"".join(chunk.get("body", b"") for chunk in chunks)
    service = _SERVICES.get(parts.netloc.partition(".")[2], "")
    seen = {"service": service, "method": method, "path": parts.path, "api_version": "", "client": ""}
    IN_PROCESS.append({**seen, "status": start["status"]})
    received = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], received, msgspec.json.decode(raw) if raw else None)


@dataclass
class World:
    """Everything of Azure that a test needs, on one in-memory store."""

    key: SigningKey
    start: float = NOW
    store: Store = field(default_factory=lambda: Store.open(None))
    passed: Callable[[], float] = lambda: 0.0
    """How many seconds have gone by, for tests whose clients wait in real time; the clock stands still for others."""

    def __post_init__(self) -> None:
        self.clock = LabClock(source=lambda: self.start + self.passed())
        self.journal = Journal(self.store, self.clock)
        self.directory = Directory(self.store, self.clock)
        self.directory.put_tenant(Tenant(TENANT, ("lab.example",), "lab"))
        self.directory.put_tenant(Tenant(OTHER_TENANT, (), "other"))
        self.access_tokens = AccessTokens(lambda: JwkSet((self.key.public,)), self.clock, AUTHORITY)
        self.arm = Arm(self.store, self.clock, self.journal, self.directory, self.access_tokens)
        self.faults = Faults()
        self.keyvault = KeyVault(self.store, self.clock, self.journal, self.access_tokens, self.arm, faults=self.faults)
        self.arm.seed.put_subscription(TENANT, "lab", SUBSCRIPTION)
        self.group: Group = self.arm.seed.put_group(SUBSCRIPTION, "shop", "eastus")
        self.owner = self.application("operator")
        self.arm.seed.put_role_assignment(f"/subscriptions/{SUBSCRIPTION}", "Owner", self.owner.object_id)

    def application(self, name: str, tenant: str = TENANT) -> Application:
        application = Application(tenant, str(uuid.uuid4()), str(uuid.uuid4()), name)
        self.directory.put_application(application)
        return application

    def identity(self, name: str) -> Identity:
        return self.arm.seed.put_identity(self.group.id, name)

    def token(self, who: Application | Identity | None = None, audience: str = ARM_AUDIENCE, **claims: object) -> str:
        who = who or self.owner
        object_id = who.principal_id if isinstance(who, Identity) else who.object_id
        now = self.clock.now()
        return sign(
            {
                "iss": v1_issuer(who.tenant_id),
                "aud": audience,
                "tid": who.tenant_id,
                "oid": object_id,
                "sub": object_id,
                "appid": who.client_id,
                "iat": int(now),
                "nbf": int(now),
                "exp": int(now) + 3_600,
                **claims,
            },
            self.key,
        )

    async def call(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        who: Any = None,
        version: str = "2024-11-01",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """An ARM request by *who*, the owner of the subscription unless told otherwise."""
        mark = "&" if "?" in path else "?"
        url = f"https://management.azure.com{path}{mark}api-version={version}"
        return await send(self.arm.app, method, url, token=self.token(who), content=content, headers=headers)

    async def vault(
        self, method: str, url: str, content: Any = None, *, who: Any = None, version: str = "7.4", **headers: str
    ) -> Reply:
        """A data-plane request to `{vault}/{path}`; without *who* there is no token."""
        name, _, path = url.partition("/")
        mark = "&" if "?" in path else "?"
        full = f"https://{name}.vault.azure.net/{path}{mark}api-version={version}"
        token = self.token(who, VAULT_AUDIENCE) if who is not None else ""
        return await send(self.keyvault.app, method, full, token=token, content=content, headers=headers)

    @property
    def hops(self) -> list[Hop]:
        return [event.hop for event in self.journal.events()]
