"""The refusals that a decision leads to, in a vault's words and with what mends them.

Contract: secrets store, sections 3.1 and 3.6.
"""

from typing import Any

from podpass.lab.arm import Denied, Vault
from podpass.lab.entra.access import Caller, Refusal
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.model import DeniedByPolicy

_HELP = "For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"


def forbidden(decision: Denied | DeniedByPolicy, vault: Vault, caller: Caller) -> KeyVaultError:
    """403 by role assignments or by access policies."""
    asker = f"appid={caller.client_id};oid={caller.object_id};iss={caller.issuer}"
    where = f"{vault.name};location={vault.location}"
    values: dict[str, Any] = {"object_id": caller.object_id, "vault": vault.name, "why": decision.why}
    if isinstance(decision, DeniedByPolicy):
        message = (
            f"The user, group or application '{asker}' does not have {decision.kind}s {decision.permission} permission "
            f"on key vault '{where}'. {_HELP}"
        )
        return KeyVaultError(
            403,
            "Forbidden",
            message,
            "ForbiddenByPolicy",
            problem="PP302",
            values={**values, "kind": decision.kind, "permission": decision.permission},
        )
    message = "\r\n".join(
        (
            "Caller is not authorized to perform action on resource.",
            "If role assignments, deny assignments or role definitions were changed recently, please observe "
            "propagation time.",
            f"Caller: {asker}",
            f"Action: '{decision.action}'",
            f"Resource: '{decision.scope}'",
            "Assignment: (not found)",
            "DenyAssignmentId: null",
            "DecisionReason: null",
            f"Vault: {where}",
            "",
        )
    )
    role = decision.granting_roles[0] if decision.granting_roles else "Key Vault Administrator"
    return KeyVaultError(
        403,
        "Forbidden",
        message,
        "ForbiddenByRbac",
        problem="PP301",
        # The remedy is for the whole vault; the decision was about one object of it.
        values={**values, "role": role, "scope": vault.id, "resource": decision.scope},
    )


def outside_network(inner: str, vault: Vault, address: str) -> KeyVaultError:
    """403 by the network rules; *inner* says which."""
    if inner == "ForbiddenByConnection":
        message = (
            "Public network access is disabled and request is not from a trusted service nor via an approved private "
            "link."
        )
    else:
        message = f"Client address is not authorized and caller is not a trusted service.\r\nClient address: {address}"
    return KeyVaultError(
        403,
        "Forbidden",
        f"{message}\r\nVault: {vault.name};location={vault.location}",
        inner,
        problem="PP308",
        values={"vault": vault.name, "address": address},
    )


def token_refusal(refusal: Refusal, resource: str) -> str:
    """Why a token does not count, as the 401 says it."""
    match refusal.code:
        case "missing":
            return "AKV10000: Request is missing a Bearer or PoP token."
        case "audience":
            return f"AKV10022: Invalid audience. Expected {resource}, found: {refusal.found}."
        case "issuer":
            return f"AKV10032: Invalid issuer. Expected one of {refusal.expected}, found {refusal.found}."
        case "bad-signature":
            return "AKV10046: Unable to resolve the key used for signature validation."
        case "expired":
            return f"Error validating token: IDX10223: Lifetime validation failed. {refusal.message}"
        case "revoked":
            return f"AKV10095: {refusal.message}"
        case "malformed":
            return f"Error validating token: IDX12709: The token is not well formed. {refusal.message}"
