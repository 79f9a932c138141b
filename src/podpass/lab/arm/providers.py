"""Resource providers of a subscription: which there are, and whether it has registered them.

A subscription of the lab starts with every provider registered that the lab has. One that was unregistered creates
nothing until it is registered again.
Contract: Azure HTTP surface, section 4.3.
"""

from collections.abc import Iterable
from typing import Any

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm import errors
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import LOCATIONS, Answer, Call, ResourceType
from podpass.lab.arm.namespaces import NOT_EMULATED_NAMESPACES

ALWAYS = frozenset({"microsoft.authorization", "microsoft.features", "microsoft.resources"})
"""The providers that every subscription has and keeps."""


def names(types: Iterable[ResourceType]) -> dict[str, str]:
    """The providers of *types* in their own letter case, by lower case."""
    found = [kind.name.partition("/")[0] for kind in types]
    return {name.lower(): name for name in (*found, "Microsoft.Authorization", "Microsoft.Features")}


def listed(estate: Estate, call: Call) -> Answer:
    shown = [_shown(estate, name, call) for name in sorted(names(estate.types.values()).values())]
    return Answer(200, items=tuple(shown))


def read(estate: Estate, call: Call) -> Answer:
    return Answer(200, _shown(estate, _name(estate, call), call))


def register(estate: Estate, call: Call) -> Answer:
    return _set(estate, call, registered=True)


def unregister(estate: Estate, call: Call) -> Answer:
    name = _name(estate, call)
    in_use = [one for one in estate.below(call.address.id) if one.type.lower().startswith(f"{name.lower()}/")]
    if name.lower() in ALWAYS or in_use:
        raise errors.invalid_request(
            f"The provider '{name}' can't be unregistered: the subscription has resources of it, or it is needed by "
            "every subscription.",
            "CannotUnregisterNamespace",
        )
    return _set(estate, call, registered=False)


def _set(estate: Estate, call: Call, *, registered: bool) -> Answer:
    name = _name(estate, call)
    estate.set_registered(call.address.id.subscription, name, registered=registered)
    return Answer(200, _shown(estate, name, call))


def _name(estate: Estate, call: Call) -> str:
    namespace = call.address.namespace
    name = names(estate.types.values()).get(namespace.lower())
    if name is None:
        # What exists in Azure and has nothing here can't be registered honestly.
        known = namespace.lower() in NOT_EMULATED_NAMESPACES
        raise errors.not_emulated(f"the provider {namespace}") if known else errors.invalid_namespace(namespace)
    return name


def _shown(estate: Estate, name: str, call: Call) -> dict[str, Any]:
    subscription = call.address.id.subscription
    types = [kind for kind in estate.types.values() if kind.name.partition("/")[0] == name]
    return {
        "id": f"{call.address.id.subscription_id}/providers/{name}",
        "namespace": name,
        "registrationPolicy": "RegistrationFree" if name.lower() in ALWAYS else "RegistrationRequired",
        "registrationState": "Registered" if estate.is_registered(subscription, name) else "Unregistered",
        "resourceTypes": [_shown_type(kind) for kind in types],
    }


def _shown_type(kind: ResourceType) -> dict[str, Any]:
    own = "resourceGroups" if kind.name == GROUP_TYPE else kind.name.partition("/")[2]
    return {
        "resourceType": own,
        "locations": list(LOCATIONS.values()) if kind.located else [],
        "apiVersions": list(kind.api_versions),
        "capabilities": "SupportsTags, SupportsLocation" if kind.located else "None",
    }
