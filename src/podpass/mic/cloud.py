"""Which cloud, subscription and credential MIC works with: the node's azure.json, or the environment.

Contract: pod identity, section 2.10. podpass's own: a federated token in place of a secret, as workload identity gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from podpass.azure.clouds import CHINA, GERMANY, PUBLIC, US_GOVERNMENT, Cloud

_CLOUDS = {
    "": PUBLIC,
    "azurecloud": PUBLIC,
    "azurepubliccloud": PUBLIC,
    "azurechinacloud": CHINA,
    "azuregermancloud": GERMANY,
    "azureusgovernment": US_GOVERNMENT,
    "azureusgovernmentcloud": US_GOVERNMENT,
}


class BadCloud(ValueError):
    """The configuration can't be used; the text says why and holds no secret."""


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """Tokens from the metadata service."""

    client_id: str = ""
    """Empty: the machine's own identity."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    tenant_id: str
    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FederatedToken:
    """A token that the cluster projects into a file, exchanged as workload identity does."""

    tenant_id: str
    client_id: str
    file: Path


Credential = ManagedIdentity | ClientSecret | FederatedToken


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """What MIC needs to call Resource Manager."""

    cloud: Cloud
    subscription_id: str
    resource_group: str
    """Of machines whose nodes don't say theirs."""
    credential: Credential
    cluster_identity: str = ""
    """The client id of the cluster's own identity, which is never taken from a machine."""


def from_file(text: str) -> CloudConfig:
    """azure.json, which may be YAML. Raises BadCloud."""
    try:
        document: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise BadCloud("it is neither JSON nor YAML") from error
    if not isinstance(document, dict):
        raise BadCloud("it is not an object")

    def member(name: str) -> str:
        value = document.get(name)
        return "" if value is None else str(value)

    own = member("userAssignedIdentityID")
    credential: Credential
    if document.get("useManagedIdentityExtension") is True or member("useManagedIdentityExtension").lower() == "true":
        credential = ManagedIdentity(own)
    else:
        credential = ClientSecret(member("tenantId"), member("aadClientId"), member("aadClientSecret"))
    return _checked(member("cloud"), member("subscriptionId"), member("resourceGroup"), credential, own)


def from_environment(environ: Mapping[str, str]) -> CloudConfig:
    """The variables of MIC's manifest, else those that the webhook of workload identity injects. Raises BadCloud."""
    own = environ.get("USER_ASSIGNED_MSI_CLIENT_ID", "")
    credential: Credential
    if environ.get("USE_MSI", "").lower() == "true":
        credential = ManagedIdentity(own)
    elif not environ.get("CLIENT_SECRET") and environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        credential = FederatedToken(
            environ.get("AZURE_TENANT_ID", ""),
            environ.get("AZURE_CLIENT_ID", ""),
            Path(environ["AZURE_FEDERATED_TOKEN_FILE"]),
        )
    else:
        names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
        credential = ClientSecret(*(environ.get(name, "") for name in names))
    return _checked(
        environ.get("CLOUD", ""), environ.get("SUBSCRIPTION_ID", ""), environ.get("RESOURCE_GROUP", ""), credential, own
    )


def _checked(
    cloud: str, subscription_id: str, resource_group: str, credential: Credential, cluster_identity: str
) -> CloudConfig:
    if cloud.lower() not in _CLOUDS:
        raise BadCloud(f"there is no cloud named {cloud[:60]!r}")
    if not subscription_id:
        raise BadCloud("it names no subscription")
    if not resource_group:
        raise BadCloud("it names no resource group")
    if isinstance(credential, ClientSecret):
        missing = [
            what
            for what, value in (
                ("tenant", credential.tenant_id),
                ("client id", credential.client_id),
                ("client secret", credential.secret),
            )
            if not value
        ]
        if missing:
            raise BadCloud(f"it has no {', '.join(missing)}, and no managed identity is to be used")
    return CloudConfig(_CLOUDS[cloud.lower()], subscription_id, resource_group, credential, cluster_identity)
