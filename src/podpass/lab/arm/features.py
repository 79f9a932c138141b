"""Preview features of a subscription. Registering takes a moment of the lab's time, as it takes minutes in Azure.

Any feature of any provider can be registered: what it would switch on is decided by whoever asks `is_registered`.
Contract: Azure HTTP surface, section 4.3.
"""

from typing import Any

from podpass.lab.arm import errors
from podpass.lab.arm.estate import SERVICE, Estate
from podpass.lab.arm.model import Answer, Call, Operation

TYPE = "Microsoft.Features/providers/features"
SECONDS = 2.0
"""From Registering to Registered, and back."""
_KIND = "feature"


def is_registered(estate: Estate, subscription: str, namespace: str, name: str) -> bool:
    """Whether the subscription has the feature."""
    return _state(estate, _key(subscription, namespace, name)) == "Registered"


def put(estate: Estate, subscription: str, namespace: str, name: str, state: str) -> None:
    """Have the subscription's feature in *state*, Registered or Unregistered, at once."""
    document = {"namespace": namespace, "name": name, "state": state, "done_at": estate.clock.now()}
    if _state(estate, key := _key(subscription, namespace, name)) != state:
        estate.store.put(SERVICE, _KIND, key, document)


def there(estate: Estate, subscription: str) -> list[tuple[str, str, bool]]:
    """The features that the subscription has asked for: provider, name, and whether it has it, or soon will."""
    found = estate.store.items(SERVICE, _KIND, f"{subscription}/".lower())
    return [(one["namespace"], one["name"], one["state"] == "Registered") for _, one in found]


def _read(estate: Estate, call: Call) -> Answer:
    if not call.address.tail:
        return Answer(200, _shown(estate, *_names(call), call))
    prefix = f"{call.address.id.subscription}/".lower()
    namespace = call.address.id.name.lower() if call.address.id.type.lower() == "microsoft.features/providers" else ""
    found = [
        _shown(estate, document["namespace"], document["name"], call)
        for _, document in estate.store.items(SERVICE, _KIND, prefix)
        if not namespace or document["namespace"].lower() == namespace
    ]
    return Answer(200, items=tuple(found))


def _register(estate: Estate, call: Call) -> Answer:
    return _change(estate, call, "Registered")


def _unregister(estate: Estate, call: Call) -> Answer:
    return _change(estate, call, "Unregistered")


def _change(estate: Estate, call: Call, wanted: str) -> Answer:
    namespace, name = _names(call)
    key = _key(call.address.id.subscription, namespace, name)
    present = _state(estate, key)
    if present not in (wanted, f"{wanted.removesuffix('ed')}ing") and (present, wanted) != (
        "NotRegistered",
        "Unregistered",
    ):
        done_at = estate.clock.now() + SECONDS
        document = {"namespace": namespace, "name": name, "state": wanted, "done_at": done_at}
        estate.store.put(SERVICE, _KIND, key, document)
    return Answer(200, _shown(estate, namespace, name, call))


def _names(call: Call) -> tuple[str, str]:
    pairs = call.address.id.parts[-1].pairs
    if len(pairs) != 2:
        # Azure lists all features of a subscription at `features`, and has none there by name.
        raise errors.method_not_allowed(call.method, call.address.type)
    return pairs[0][1], pairs[1][1]


def _key(subscription: str, namespace: str, name: str) -> str:
    return f"{subscription}/{namespace}/{name}".lower()


def _state(estate: Estate, key: str) -> str:
    document = estate.store.get(SERVICE, _KIND, key)
    if document is None:
        return "NotRegistered"
    state = str(document["state"])
    return state if estate.clock.now() >= document["done_at"] else f"{state.removesuffix('ed')}ing"


def _shown(estate: Estate, namespace: str, name: str, call: Call) -> dict[str, Any]:
    document = estate.store.get(SERVICE, _KIND, _key(call.address.id.subscription, namespace, name))
    if document is not None:
        # The letter case of whoever asked first, as of every name.
        namespace, name = document["namespace"], document["name"]
    base = f"{call.address.id.subscription_id}/providers/Microsoft.Features/providers/{namespace}"
    return {
        "id": f"{base}/features/{name}",
        "name": f"{namespace}/{name}",
        "type": TYPE,
        "properties": {"state": _state(estate, _key(call.address.id.subscription, namespace, name))},
    }


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", list_action=f"{TYPE}/read", run=_read),
    Operation(
        method="GET",
        path="Microsoft.Features/features",
        action="Microsoft.Features/features/read",
        run=_read,
    ),
    Operation(method="POST", path=f"{TYPE}/register", action=f"{TYPE}/register/action", run=_register),
    Operation(method="POST", path=f"{TYPE}/unregister", action=f"{TYPE}/unregister/action", run=_unregister),
)
