"""The providers of Azure that the lab knows by name only."""


def _words(text: str) -> list[str]:
    return text.split()


NOT_EMULATED_NAMESPACES: frozenset[str] = frozenset(
    f"microsoft.{name}"
    for name in _words(
        "apimanagement app appconfiguration batch blueprint botservice cdn cognitiveservices "
        "containerinstance containerregistry datafactory dbformysql dbforpostgresql devices "
        "documentdb eventgrid eventhub insights kubernetes kubernetesconfiguration logic "
        "machinelearningservices maintenance management managedservices monitor network operationalinsights "
        "policyinsights portal privatedns purview recoveryservices resourcehealth search security servicebus "
        "serviceslinker signalrservice sql storage support synapse web"
    )
)
"""Providers that exist in Azure and have nothing here, or little: their other types are answered 501, an unknown
provider's 404.
"""
