"""The description of the cloud that clients fetch before they sign in.

Contract: Azure HTTP surface, section 7.1.
"""

from typing import Any

from podpass.lab.arm.endpoint import Endpoint

_LIST_UNTIL = "2021"


def cloud(*, api_version: str, arm: str, endpoint: Endpoint) -> Any:
    """The answer of `/metadata/endpoints`: a list for versions up to 2020, one object after, endpoints for the oldest.

    *arm* is an origin without a trailing slash. What no plane of the lab stands behind is as in Azure's public cloud.
    """
    authority = endpoint.authority
    audiences = ["https://management.core.windows.net/", "https://management.azure.com/"]
    if api_version in ("1.0", "2015-01-01"):
        return {
            "galleryEndpoint": "https://gallery.azure.com",
            "graphEndpoint": "https://graph.windows.net/",
            "portalEndpoint": "https://portal.azure.com",
            "authentication": {"loginEndpoint": f"{authority}/", "audiences": audiences},
        }
    described: dict[str, Any] = {
        "name": endpoint.cloud,
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
        "microsoftGraphResourceId": f"{endpoint.graph}/",
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
            "keyVaultDns": endpoint.vault_suffix,
            "mhsmDns": "managedhsm.azure.net",
            "storage": "core.windows.net",
            "acrLoginServer": "azurecr.io",
            "sqlServerHostname": "database.windows.net",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        },
    }
    return [described] if api_version < _LIST_UNTIL else described
