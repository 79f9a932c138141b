"""Secrets as a vault writes them: bundles, items, deleted bundles.

Contract: secrets store, section 3.3.
"""

from typing import Any

from podpass.lab.arm import Vault
from podpass.lab.keyvault.model import DeletedSecret, SecretVersion, recovery_level


def bundle(secret: SecretVersion, vault: Vault, origin: str, *, with_value: bool = True) -> dict[str, Any]:
    """A secret with its value, as get and set answer. *origin* is `https://{host}` as the client called it."""
    document: dict[str, Any] = {"value": secret.value.text} if with_value else {}
    if secret.content_type is not None:
        document["contentType"] = secret.content_type
    document["id"] = f"{origin}/secrets/{secret.name}/{secret.version}"
    document["attributes"] = _attributes(secret, vault)
    if secret.tags is not None:
        document["tags"] = secret.tags
    return document


def item(secret: SecretVersion, vault: Vault, origin: str, *, with_version: bool) -> dict[str, Any]:
    """A member of a list, which has no value, and no version either in the list of secrets."""
    document = bundle(secret, vault, origin, with_value=False)
    if not with_version:
        document["id"] = f"{origin}/secrets/{secret.name}"
    return document


def deleted_bundle(deleted: DeletedSecret, vault: Vault, origin: str, *, with_version: bool = True) -> dict[str, Any]:
    document = item(deleted.newest, vault, origin, with_version=with_version)
    return {
        "recoveryId": f"{origin}/deletedsecrets/{deleted.newest.name}",
        "deletedDate": deleted.deleted,
        "scheduledPurgeDate": deleted.purged,
        **document,
    }


def _attributes(secret: SecretVersion, vault: Vault) -> dict[str, Any]:
    attributes: dict[str, Any] = {"enabled": secret.enabled}
    if secret.not_before is not None:
        attributes["nbf"] = secret.not_before
    if secret.expires is not None:
        attributes["exp"] = secret.expires
    return {
        **attributes,
        "created": secret.created,
        "updated": secret.updated,
        "recoveryLevel": recovery_level(vault),
        "recoverableDays": vault.retention_days,
    }
