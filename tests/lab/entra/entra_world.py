"""An authority with one tenant, one managed identity and one application, and requests sent straight into its app."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from podpass.lab.clock import LabClock
from podpass.lab.entra import Entra, NoFaults
from podpass.lab.entra.directory import Application, Directory, Tenant
from podpass.lab.entra.signing import SigningIdentity, SigningKeys
from podpass.lab.journal import Hop, Journal
from podpass.lab.store import Store
from podpass.tokens import jwt
from podpass.tokens.client import DiscoveryFailed
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import JwkSet, SigningKey

TENANT = "11111111-2222-4333-8444-555555555555"
DOMAIN = "lab.example"
IDENTITY = "66666666-2222-4333-8444-555555555555"
IDENTITY_OBJECT = "77777777-2222-4333-8444-555555555555"
IDENTITY_RESOURCE = (
    "/subscriptions/s1/resourceGroups/shop-rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"
)
APPLICATION = "88888888-2222-4333-8444-555555555555"
API = "99999999-2222-4333-8444-555555555555"
BARE = "aaaaaaaa-2222-4333-8444-555555555555"
DISABLED = "bbbbbbbb-2222-4333-8444-555555555555"
ISSUER = "https://issuer.example.test/c1/"
SUBJECT = "system:serviceaccount:shop:orders"
AUDIENCE = "api://AzureADTokenExchange"
NOW = 1_800_000_000
VAULT = "https://vault.azure.net/.default"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CREDENTIAL = FederatedCredential("orders-cred", ISSUER, SUBJECT, (AUDIENCE,))


class Issuers:
    """Keys by issuer, in the place of fetching them."""

    def __init__(self) -> None:
        self.keys: dict[str, JwkSet] = {}
        self.failure: DiscoveryFailed | None = None
        self.on_fetch = None

    async def keys_for(self, issuer: str, kid: str) -> JwkSet:
        if self.failure is not None:
            raise self.failure
        return self.keys[issuer]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> int:
        return int(self.body["error_codes"][0])


@dataclass
class World:
    identities: tuple[SigningIdentity, SigningIdentity]
    cluster_key: SigningKey
    algorithms: frozenset[str] = jwt.RS256
    store: Store = field(init=False)
    faults: NoFaults = field(default_factory=NoFaults)
    issuers: Issuers = field(default_factory=Issuers)

    def __post_init__(self) -> None:
        self.store = Store.open(None)
        self.clock = LabClock(source=lambda: NOW)
        self.signing = SigningKeys(None, self.clock, *self.identities)
        self.journal = Journal(self.store, self.clock)
        self.directory = Directory(self.store, self.clock)
        self.issuers.keys[ISSUER] = JwkSet((self.cluster_key.public,))
        self.entra = Entra(
            self.store,
            self.clock,
            self.journal,
            self.directory,
            self.issuers,  # type: ignore[arg-type]
            signing=self.signing,
            faults=self.faults,
            algorithms=self.algorithms,
        )
        put = self.directory.put_application
        self.directory.put_tenant(Tenant(TENANT, (DOMAIN,), "Lab"))
        put(Application(TENANT, IDENTITY, IDENTITY_OBJECT, "orders", "managed-identity", IDENTITY_RESOURCE))
        put(Application(TENANT, APPLICATION, APPLICATION[::-1], "orders-app"))
        put(Application(TENANT, API, API[::-1], "api", identifier_uris=("api://orders-api",), token_version=2))
        put(Application(TENANT, BARE, BARE[::-1], "bare"))
        put(Application(TENANT, DISABLED, DISABLED[::-1], "off", enabled=False))
        for client_id in (IDENTITY, APPLICATION):
            self.directory.put_credential(TENANT, client_id, CREDENTIAL)

    def assertion(self, *, key: SigningKey | None = None, header: dict | None = None, **changes: Any) -> str:
        claims = {"aud": [AUDIENCE], "exp": NOW + 3600, "iat": NOW, "iss": ISSUER, "nbf": NOW, "sub": SUBJECT}
        pod = {"kubernetes.io": {"namespace": "shop", "pod": {"name": "orders-1", "uid": "u"}}}
        return jwt.sign({**claims, **pod, **changes}, key or self.cluster_key, header=header)

    def form(self, **changes: str | None) -> dict[str, str]:
        form = {
            "grant_type": "client_credentials",
            "client_id": IDENTITY,
            "scope": VAULT,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": "",
        }
        if "client_assertion" not in changes:
            form["client_assertion"] = self.assertion()
        return {name: value for name, value in {**form, **changes}.items() if value is not None}

    async def ask(self, *, tenant: str = TENANT, version: int = 2, **changes: str | None) -> Reply:
        path = f"/{tenant}/oauth2/v2.0/token" if version == 2 else f"/{tenant}/oauth2/token"
        return await self.send("POST", path, urlencode(self.form(**changes)).encode())

    async def send(
        self, method: str, path: str, body: bytes = b"", *, query: str = "", headers: dict[str, str] | None = None
    ) -> Reply:
        sent = {"host": "login.microsoftonline.com", "content-type": "application/x-www-form-urlencoded"}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), v.encode()) for n, v in {**sent, **(headers or {})}.items()],
        }
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.entra.app(scope, receive, send)
        start, *chunks = messages
        content = b"".join(chunk["body"] for chunk in chunks)
        named = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], named, json.loads(content) if content else None)

    @property
    def hops(self) -> list[Hop]:
        return [event.hop for event in self.journal.events()]
