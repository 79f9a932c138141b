"""The decision behind a federated token by itself: verify, match and sign, with no HTTP, no TLS and no journal."""

import os

from bench.rates import calls_per_core
from podpass.lab.clock import SystemClock
from podpass.lab.entra import issuing, model
from podpass.lab.entra.directory import Application, Directory, Tenant
from podpass.lab.store import Store
from podpass.oauth import grants
from podpass.tokens import jwt
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import JwkSet, SigningKey

_TENANT = "11111111-1111-4111-8111-111111111111"
_CLIENT = "22222222-2222-4222-8222-222222222222"
_ISSUER = f"https://eastus.oic.prod-aks.azure.com/{_TENANT}/bench/"
_SUBJECT = "system:serviceaccount:shop:orders"
_AUDIENCE = "api://AzureADTokenExchange"


def decision_rate() -> float:
    """Tokens decided and signed per second of one core, each from a form that holds the same assertion."""
    directory = Directory(Store.open(None))
    directory.put_tenant(Tenant(_TENANT))
    directory.put_application(Application(_TENANT, _CLIENT, _CLIENT, "bench", "managed-identity"))
    directory.put_credential(_TENANT, _CLIENT, FederatedCredential("orders", _ISSUER, _SUBJECT, (_AUDIENCE,)))
    issuer_key, key, clock, rules = SigningKey.generate(), SigningKey.generate(), SystemClock(), model.Rules()
    keys, header = JwkSet((issuer_key.public,)), jwt.encoded_header(key, {"typ": "JWT", "x5t": key.kid})
    now = int(clock.now())
    claims = {"iss": _ISSUER, "sub": _SUBJECT, "aud": [_AUDIENCE], "iat": now, "nbf": now, "exp": now + 3600}
    form = {
        "grant_type": grants.CLIENT_CREDENTIALS,
        "client_id": _CLIENT,
        "client_assertion_type": grants.CLIENT_ASSERTION_JWT,
        "client_assertion": jwt.sign(claims, issuer_key),
        "scope": "https://vault.azure.net/.default",
    }

    def decide() -> str:
        candidate = model.consider(
            _TENANT,
            form,
            version=2,
            directory=directory,
            credentials=directory.credentials,
            now=clock.now(),
            rules=rules,
        )
        assert isinstance(candidate, model.Candidate), candidate
        grant = model.conclude(candidate, keys, directory=directory, now=clock.now(), rules=rules)
        assert isinstance(grant, model.Grant), grant
        issued = issuing.access_claims(grant, authority=rules.authority, now=now, entropy=os.urandom(40))
        return jwt.sign_with_header(header, issued, key)

    return calls_per_core(decide)
