"""Clients that hold tokens while these are revoked: Azure's SDKs answer the challenge, and go on."""

import os
import subprocess
import sys
from collections.abc import Callable

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.identity import WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.msi import ManagedServiceIdentityClient


class Watched(WorkloadIdentityCredential):
    """Tells with which claims its tokens were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.challenged: list[bool] = []

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        self.challenged.append("nbf" in ((options or {}).get("claims") or ""))
        return super().get_token_info(*scopes, options=options)


def over_a_revocation(what: str, use: Callable[[], object], credential: Watched, identity: str) -> None:
    before = use()
    subprocess.run([sys.executable, "-m", "podpass", "lab", "revoke", identity], check=True, stdout=subprocess.DEVNULL)
    after = use()
    print(f"{what}: same answer {before == after}, challenged {credential.challenged}")


def list_identities(credential: Watched, **options: ARMChallengeAuthenticationPolicy) -> None:
    with ManagedServiceIdentityClient(credential, os.environ["PODPASS_SUBSCRIPTION_ID"], **options) as client:
        listed = client.user_assigned_identities.list_by_subscription
        over_a_revocation(sys.argv[1], lambda: [one.id for one in listed()], credential, identity)


identity, credential = os.environ["AZURE_CLIENT_ID"], Watched()
match sys.argv[1]:
    case "vault":
        with SecretClient(os.environ["VAULT_URL"], credential) as vault:
            over_a_revocation("vault", lambda: vault.get_secret(os.environ["SECRET_NAME"]).id, credential, identity)
    case "arm":
        # Clients of Resource Manager ask for such tokens when they are told to.
        scope = "https://management.azure.com/.default"
        policy = ARMChallengeAuthenticationPolicy(credential, scope, enable_cae=True)
        list_identities(credential, authentication_policy=policy)
    case "arm-by-default":
        list_identities(credential)
