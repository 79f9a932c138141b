"""A program that keeps its clients, its token and the authority's key set over a rotation of the signing keys."""

import os
import subprocess
import sys

import jwt
from azure.identity import WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient

SCOPE = "https://vault.azure.net/.default"
KEYS = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/discovery/v2.0/keys"


def read(credential: WorkloadIdentityCredential) -> str:
    with SecretClient(os.environ["VAULT_URL"], credential) as vault:
        return str(vault.get_secret(os.environ["SECRET_NAME"]).name)


def verified(token: str, key: jwt.PyJWK) -> bool:
    return bool(jwt.decode(token, key.key, algorithms=["RS256"], audience="https://vault.azure.net"))


known = jwt.PyJWKClient(KEYS, cache_keys=True, lifespan=86_400)
kept = WorkloadIdentityCredential()
before = kept.get_token(SCOPE).token
print("before:", read(kept), verified(before, known.get_signing_key_from_jwt(before)))
cached = known.get_jwk_set()

subprocess.run([sys.executable, "-m", "podpass", "lab", "keys", "--rotate"], check=True, stdout=subprocess.DEVNULL)

print("with the token from before:", read(kept), kept.get_token(SCOPE).token == before)
fresh = WorkloadIdentityCredential()
after = fresh.get_token(SCOPE).token
kids = [jwt.get_unverified_header(token)["kid"] for token in (before, after)]
by_kid = {key.key_id: key for key in cached.keys}
print("with a new one:", read(fresh), kids[0] != kids[1], verified(after, by_kid[kids[1]]))
now = [key.key_id for key in jwt.PyJWKClient(KEYS).get_jwk_set().keys]
print("published:", set(kids) <= set(now))
