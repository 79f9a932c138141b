"""Where a deployment is, and what the functions about its surroundings say.

Ids are texts here, as templates handle them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.registry import text

GROUPS = "Microsoft.Resources/resourceGroups"
DEPLOYMENTS = "Microsoft.Resources/deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A deployment's scope and what it may say of itself."""

    deployment: str
    """Its name."""
    subscription_id: str
    group: str
    """The resource group's name; empty for a deployment to the subscription."""
    location: str
    """The deployment's own, for one to the subscription."""
    mode: str
    subscription: Mapping[str, Any]
    resource_group: Mapping[str, Any] | None
    tenant: Mapping[str, Any]
    environment: Mapping[str, Any]
    deployer: Mapping[str, Any]

    @property
    def scope(self) -> str:
        return scope_of(self.subscription_id, self.group)


def scope_of(subscription_id: str, group: str) -> str:
    base = f"/subscriptions/{subscription_id}"
    return f"{base}/resourceGroups/{group}" if group else base


def interleaved(resource_type: str, names: Sequence[str]) -> str:
    """`Microsoft.KeyVault/vaults/secrets` with two names as `Microsoft.KeyVault/vaults/kv/secrets/s`.

    Raises ExpressionError when there are not as many names as types.
    """
    namespace, *kinds = resource_type.strip("/").split("/")
    if not kinds or len(kinds) != len(names):
        raise ExpressionError(
            f"Unable to evaluate template language function 'resourceId': the type '{resource_type}' requires "
            f"'{len(kinds)}' resource name argument(s). Please see "
            "https://aka.ms/arm-resource-functions/#resourceid for usage details."
        )
    return "/".join([namespace, *(part for pair in zip(kinds, names, strict=True) for part in pair)])


def id_of(base: str, resource_type: str, names: Sequence[str]) -> str:
    """The id of a resource below *base*, the scope that holds it. Raises ExpressionError."""
    if resource_type.lower() == GROUPS.lower() and len(names) == 1:
        subscription = "/".join(base.split("/")[:3])
        return f"{subscription}/resourceGroups/{names[0]}"
    return f"{base.rstrip('/')}/providers/{interleaved(resource_type, names)}"


def resource_id(place: Place, *arguments: Any) -> str:
    """resourceId([subscription], [group], type, name, …)."""
    before, resource_type, names = _split("resourceId", arguments, 2)
    subscription, group = place.subscription_id, place.group
    match before:
        case [one] if not place.group:
            # Without a resource group around it, a single text before the type can only be the subscription.
            subscription = one
        case [one]:
            group = one
        case [one, other]:
            subscription, group = one, other
    return id_of(scope_of(subscription, group), resource_type, names)


def subscription_resource_id(place: Place, *arguments: Any) -> str:
    before, resource_type, names = _split("subscriptionResourceId", arguments, 1)
    return id_of(scope_of(before[0] if before else place.subscription_id, ""), resource_type, names)


def tenant_resource_id(*arguments: Any) -> str:
    _, resource_type, names = _split("tenantResourceId", arguments, 0)
    return f"/providers/{interleaved(resource_type, names)}"


def management_group_resource_id(*arguments: Any) -> str:
    before, resource_type, names = _split("managementGroupResourceId", arguments, 1)
    return id_of(f"/providers/Microsoft.Management/managementGroups/{''.join(before)}", resource_type, names)


def extension_resource_id(scope: Any, *arguments: Any) -> str:
    _, resource_type, names = _split("extensionResourceId", arguments, 0)
    return id_of(text("extensionResourceId", scope), resource_type, names)


def _split(function: str, arguments: Sequence[Any], most_before: int) -> tuple[list[str], str, list[str]]:
    """The texts before the type, the type, which is the first text with a slash, and the names after it."""
    given = [text(function, argument) for argument in arguments]
    at = next((at for at, one in enumerate(given) if "/" in one.strip("/")), None)
    if at is None or at > most_before:
        raise ExpressionError(
            f"Unable to evaluate template language function '{function}': the type of the resource is missing. "
            f"Please see https://aka.ms/arm-resource-functions/#{function.lower()} for usage details."
        )
    return given[:at], given[at], given[at + 1 :]
