"""Azure's clouds and the hosts of each.

Contract: azure workload identity, sections 1.8, 3.3 and 6.2.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cloud:
    """One cloud. Addresses end with a slash, as the environment variables for clients do."""

    name: str
    authority_host: str
    resource_manager: str
    graph: str
    key_vault_suffix: str
    token_exchange_audience: str
    """The audience recommended for federated credentials."""

    @property
    def authority(self) -> str:
        """The authority host as it stands in front of a path, without its slash."""
        return self.authority_host.rstrip("/")


PUBLIC = Cloud(
    name="AzurePublicCloud",
    authority_host="https://login.microsoftonline.com/",
    resource_manager="https://management.azure.com/",
    graph="https://graph.microsoft.com/",
    key_vault_suffix="vault.azure.net",
    token_exchange_audience="api://AzureADTokenExchange",  # noqa: S106 - an audience
)
US_GOVERNMENT = Cloud(
    name="AzureUSGovernmentCloud",
    authority_host="https://login.microsoftonline.us/",
    resource_manager="https://management.usgovcloudapi.net/",
    graph="https://graph.microsoft.us/",
    key_vault_suffix="vault.usgovcloudapi.net",
    token_exchange_audience="api://AzureADTokenExchangeUSGov",  # noqa: S106 - an audience
)
CHINA = Cloud(
    name="AzureChinaCloud",
    authority_host="https://login.chinacloudapi.cn/",
    resource_manager="https://management.chinacloudapi.cn/",
    graph="https://microsoftgraph.chinacloudapi.cn/",
    key_vault_suffix="vault.azure.cn",
    token_exchange_audience="api://AzureADTokenExchangeChina",  # noqa: S106 - an audience
)
GERMANY = Cloud(
    name="AzureGermanCloud",
    authority_host="https://login.microsoftonline.de/",
    resource_manager="https://management.microsoftazure.de/",
    graph="https://graph.microsoft.de/",
    key_vault_suffix="vault.microsoftazure.de",
    token_exchange_audience="api://AzureADTokenExchange",  # noqa: S106 - an audience
)

CLOUDS = (PUBLIC, US_GOVERNMENT, CHINA, GERMANY)
_BY_NAME = {cloud.name.lower(): cloud for cloud in CLOUDS}


def cloud_named(name: str) -> Cloud | None:
    """The cloud of this name, in any letter case."""
    return _BY_NAME.get(name.lower())
