"""The actions that a custom role may name.

Checked are an action's form, its provider, and whether it is one of management or of data. Azure also knows every
single operation of each provider, which the lab does not: a misspelt one is taken here.
Contract: Azure HTTP surface, section 4.1.
"""

import re
from collections.abc import Collection

_FORM = re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+(?:/[A-Za-z0-9*_.$-]+)+|\*(?:/[A-Za-z0-9*_.$-]+)*", re.ASCII)
_ENDINGS = ("read", "write", "delete", "action")
_VAULTS = "microsoft.keyvault/vaults/"
_VAULT_DATA = ("secrets", "keys", "certificates", "certificatecas", "certificatecontacts", "keyrotationpolicies")
_VAULT_MANAGEMENT = ("secrets/read", "secrets/write", "keys/read", "keys/write", "keys/versions/read")
"""What can be done to the objects of a vault through Resource Manager."""
_WITHOUT_DATA = frozenset(
    f"microsoft.{name}" for name in ("authorization", "features", "managedidentity", "network", "resources")
)


def fault_of(action: str, providers: Collection[str], *, is_data: bool) -> str | None:
    """Why no role can hold *action*, in the service's words; None when one can. *providers* are in lower case."""
    unmatched = f"'{action[:200]}' does not match any of the actions supported by the providers."
    if _FORM.fullmatch(action) is None:
        return unmatched
    wanted = action.lower()
    provider, _, rest = wanted.partition("/")
    if provider != "*" and provider not in providers:
        return (
            "The resource provider referenced in the action is not returned in the list of providers from Azure "
            "Resource Manager."
        )
    if "*" in wanted:
        return None
    if not rest.endswith(_ENDINGS) or (is_data and provider in _WITHOUT_DATA) or _is_misplaced(wanted, is_data=is_data):
        return unmatched
    return None


def _is_misplaced(action: str, *, is_data: bool) -> bool:
    """Whether an action of vaults is named among those of the other plane."""
    if not action.startswith("microsoft.keyvault/"):
        return False
    of_objects = action.removeprefix(_VAULTS) if action.startswith(_VAULTS) else ""
    is_of_data = of_objects.partition("/")[0] in _VAULT_DATA
    if is_data:
        return not is_of_data
    return is_of_data and of_objects not in _VAULT_MANAGEMENT
