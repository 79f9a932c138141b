"""What vaults say of every object they keep, whatever its type.

Contract: secrets store, section 3.3.
"""

from typing import Any

from podpass.lab.arm import Vault
from podpass.lab.keyvault.model import recovery_level
from podpass.lab.keyvault.shelves import Body


def common(body: Body, vault: Vault) -> dict[str, Any]:
    """The members `attributes` and, where there are any, `tags`."""
    attributes: dict[str, Any] = {"enabled": body.enabled}
    if body.not_before is not None:
        attributes["nbf"] = body.not_before
    if body.expires is not None:
        attributes["exp"] = body.expires
    document: dict[str, Any] = {
        "attributes": {
            **attributes,
            "created": body.created,
            "updated": body.updated,
            "recoveryLevel": recovery_level(vault),
            "recoverableDays": vault.retention_days,
        }
    }
    if body.tags is not None:
        document["tags"] = body.tags
    return document


def managed(body: Body) -> dict[str, Any]:
    """The member `managed` of a key or secret that belongs to a certificate."""
    return {"managed": True} if body.managed else {}
