"""The description of the cloud that clients fetch before they sign in.

Contract: Azure HTTP surface, section 7.1.
"""

from typing import Any

_LIST_UNTIL = "2021"


def cloud(*, api_version: str, name: str, authority: str, arm: str) -> Any:
    """The answer of `/metadata/endpoints`: a list for versions up to 2020, one object after, endpoints for the oldest.

    *authority* and *arm* are origins without a trailing slash.
    """
    audiences = ["https://management.core.windows.net/", "https://management.azure.com/"]
    if api_version in ("1.0", "2015-01-01"):
        return {
            "galleryEndpoint": "https://gallery.azure.com",
            "graphEndpoint": "https://graph.windows.net/",
            "portalEndpoint": "https://portal.azure.com",
            "authentication": {"loginEndpoint": f"{authority}/", "audiences": audiences},
        }
    described: dict[str, Any] = {
        "name": name,
        "portal": "https://portal.azure.com",
        "authentication": {
            "loginEndpoint": f"{authority}/",
            "audiences": audiences,
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": f"{arm}/",
        "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "gallery": "https://gallery.azure.com/",
        "batch": "https://batch.core.windows.net/",
        "media": "https://rest.media.azure.net",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/quickstart-templates/aliases.json",
        "appInsightsResourceId": "https://api.applicationinsights.io",
        "logAnalyticsResourceId": "https://api.loganalytics.io",
        "attestationResourceId": "https://attest.azure.net",
        "synapseAnalyticsResourceId": "https://dev.azuresynapse.net",
        "ossrdbmsResourceId": "https://ossrdbms-aad.database.windows.net",
        "suffixes": {
            "keyVaultDns": "vault.azure.net",
            "mhsmDns": "managedhsm.azure.net",
            "storage": "core.windows.net",
            "acrLoginServer": "azurecr.io",
            "sqlServerHostname": "database.windows.net",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        },
    }
    return [described] if api_version < _LIST_UNTIL else described
