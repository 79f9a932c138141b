"""Parameters whose values are kept in a key vault, read for whoever deploys.

The vault must be enabled for template deployment, and the deployer must hold its deploy action.
"""

from collections.abc import Mapping
from typing import Any

from podpass.lab.arm import vaults
from podpass.lab.arm.authorization import Allowed
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.performing import Principal

DEPLOY = "Microsoft.KeyVault/vaults/deploy/action"
_HELP = "Please see https://aka.ms/arm-keyvault for usage details."


def is_reference(given: Any) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("reference"), Mapping)


def read_references(estate: Estate, parameters: Mapping[str, Any], principal: Principal) -> dict[str, Any]:
    """The parameters with each reference replaced by the secret's value. Raises ArmError."""
    return {
        name: {"value": _value(estate, name, given["reference"], principal)} if is_reference(given) else given
        for name, given in parameters.items()
    }


def _value(estate: Estate, parameter: str, reference: Mapping[str, Any], principal: Principal) -> str:
    holder = reference.get("keyVault")
    vault_id = str(holder.get("id", "")) if isinstance(holder, Mapping) else ""
    secret, version = str(reference.get("secretName", "")), str(reference.get("secretVersion") or "")
    wanted = parsed_id(vault_id)
    found = vaults.vault(estate, wanted.name)
    if found is None or found.id.lower() != wanted.key:
        raise ArmError(
            400,
            "KeyVaultParameterReferenceNotFound",
            f"The specified KeyVault '{vault_id}' could not be found. {_HELP}",
        )
    decision = estate.decide(principal_id=principal.object_id, action=DEPLOY, scope=found.id)
    if not isinstance(decision, Allowed):
        raise ArmError(
            403,
            "KeyVaultParameterReferenceAuthorizationFailed",
            f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have permission to "
            f"perform action '{DEPLOY}' at scope '{found.id}'. {_HELP}",
        )
    resource = estate.require(wanted)
    if not resource.properties.get("enabledForTemplateDeployment"):
        raise _not_retrieved(
            parameter, "Forbidden", f"The vault '{found.name}' is not enabled for template deployment."
        )
    value = estate.vault_secrets.value(found, secret, version) if estate.vault_secrets else None
    if value is None:
        message = f"A secret with (name/id) {secret}{'/' if version else ''}{version} was not found in this key vault."
        raise _not_retrieved(parameter, "NotFound", message)
    return value


def _not_retrieved(parameter: str, status: str, reason: str) -> ArmError:
    return ArmError(
        400,
        "KeyVaultParameterReferenceSecretRetrieveFailed",
        f"The secret of KeyVault parameter '{parameter}' cannot be retrieved. Http status code: '{status}'. Error "
        f"message: '{reason}'. {_HELP}",
    )
