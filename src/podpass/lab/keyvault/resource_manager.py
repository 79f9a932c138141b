"""Secrets as Resource Manager makes them: a template's, or a client's of the management API.

Who may is Resource Manager's to decide, by its own actions; access policies and data actions are not asked.
"""

from collections.abc import Sequence

from podpass.lab.arm import ArmError, Vault
from podpass.lab.arm.vault_secrets import SecretShown, SecretWanted
from podpass.lab.clock import Clock
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.model import Attributes, SetParameters
from podpass.lab.keyvault.rendering import common
from podpass.lab.keyvault.secrets import Secrets, SecretVersion
from podpass.lab.keyvault.shelves import updated

_ALL = 100_000


class ManagedSecrets:
    """A vault's secrets for Resource Manager. Every method raises ArmError where the vault refuses."""

    def __init__(self, secrets: Secrets, clock: Clock) -> None:
        self._secrets, self._clock = secrets, clock

    def put(self, vault: Vault, name: str, wanted: SecretWanted) -> SecretShown:
        """A new version with the value; without one, a change of what is said of the newest version."""
        attributes = Attributes(enabled=wanted.enabled, nbf=wanted.not_before, exp=wanted.expires)
        tags = None if wanted.tags is None else dict(wanted.tags)
        try:
            if wanted.value is not None:
                made = self._secrets.put(
                    vault,
                    name,
                    SetParameters(
                        value=wanted.value, content_type=wanted.content_type, tags=tags, attributes=attributes
                    ),
                )
            else:
                newest = self._secrets.shelf.get(vault, name)
                body = updated(newest.body, attributes, tags, now=int(self._clock.now()))
                made = self._secrets.shelf.change(vault, name, newest.version, body)
        except KeyVaultError as error:
            raise _translated(error) from error
        return _shown(made, vault)

    def get(self, vault: Vault, name: str) -> SecretShown | None:
        found = self._newest(vault, name)
        return None if found is None else _shown(found, vault)

    def list(self, vault: Vault) -> Sequence[SecretShown]:
        return [_shown(one, vault) for one in self._secrets.shelf.page(vault, after="", limit=_ALL)]

    def value(self, vault: Vault, name: str, version: str) -> str | None:
        """The text of a secret, for a parameter that refers to it; None when there is none or it is disabled."""
        found = self._newest(vault, name, version)
        return None if found is None or not found.body.enabled else found.value.text

    def _newest(self, vault: Vault, name: str, version: str = "") -> SecretVersion | None:
        try:
            return self._secrets.shelf.get(vault, name, version)
        except KeyVaultError as error:
            if error.status == 404:
                return None
            raise _translated(error) from error


def _translated(error: KeyVaultError) -> ArmError:
    return ArmError(error.status, error.code, error.message)


def _shown(secret: SecretVersion, vault: Vault) -> SecretShown:
    described = common(secret.body, vault)
    attributes = {
        name: value
        for name, value in described["attributes"].items()
        if name in ("enabled", "nbf", "exp", "created", "updated")
    }
    return SecretShown(
        name=secret.name,
        version=secret.version,
        content_type=secret.body.content_type,
        attributes=attributes,
        tags=described.get("tags", {}),
    )
