"""Whether a cluster may put an identity on its scale sets: its role *Managed Identity Operator* on that identity."""

from collections.abc import Iterable, Mapping
from typing import Any

MANAGED_IDENTITY_OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"


def is_operator(assignments: Iterable[Mapping[str, Any]], principal: str, identity_id: str) -> bool:
    """Whether one of the role *assignments* makes *principal* operator of the identity, or of a scope around it."""
    place = identity_id.lower()
    for assignment in assignments:
        found = assignment.get("properties") or {}
        role, scope = str(found.get("roleDefinitionId")).lower(), str(found.get("scope")).lower().rstrip("/")
        if (
            role.endswith(MANAGED_IDENTITY_OPERATOR)
            and str(found.get("principalId")).lower() == principal.lower()
            and (place == scope or place.startswith(f"{scope}/"))
        ):
            return True
    return False


def assignment(principal: str, identity_id: str) -> dict[str, Any]:
    """The role assignment that makes *principal* operator of the identity alone."""
    subscription = "/".join(identity_id.split("/")[:3])
    role = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{MANAGED_IDENTITY_OPERATOR}"
    # The type spares a principal that was made a moment ago the wait until the directory knows it everywhere.
    return {"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}}
