"""What a deployment would change, told resource by resource. Contract: whatIf of Microsoft.Resources/deployments."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from podpass.lab.arm.deployments.language.values import equal

if TYPE_CHECKING:
    from podpass.lab.arm.deployments.rehearsal import Tried

_SECRETS = "microsoft.keyvault/vaults/secrets"
_OF_THE_SERVICE = frozenset({"systemData", "etag", "provisioningState"})


def changes(tried: "Iterable[Tried]", *, with_values: bool) -> list[dict[str, Any]]:
    """One change for each resource that the deployment would write."""
    return [_change(one, with_values=with_values) for one in tried]


def left_alone(resources: Iterable[Mapping[str, Any]], *, complete: bool, with_values: bool) -> list[dict[str, Any]]:
    """The changes to what a group holds and the deployment does not name: none, or their end in complete mode."""
    return [
        {
            "resourceId": resource["id"],
            "changeType": "Delete" if complete else "Ignore",
            **({"before": _plain(resource)} if with_values else {}),
        }
        for resource in resources
    ]


def _change(one: "Tried", *, with_values: bool) -> dict[str, Any]:
    change: dict[str, Any] = {"resourceId": one.planned.id}
    if one.planned.symbol:
        change["symbolicName"] = one.planned.symbol
    before, after = _plain(one.before), _plain(one.after)
    if one.before is None:
        return change | {"changeType": "Create"} | ({"after": _asked_for(one)} if with_values else {})
    if one.planned.type.lower() == _SECRETS:
        # Each write makes a new version, whatever its value.
        return change | {"changeType": "Deploy"} | ({"before": before, "after": after} if with_values else {})
    delta = list(_differences("", before, after))
    change["changeType"] = "Modify" if delta else "NoChange"
    return change | ({"before": before, "after": after, "delta": delta} if with_values else {})


def _asked_for(one: "Tried") -> dict[str, Any]:
    """A resource that there is not yet, as the deployment asks for it; of a secret not the value."""
    about = {
        "id": one.planned.id,
        "name": one.planned.name.rpartition("/")[2],
        "type": one.planned.type,
        "apiVersion": one.planned.api_version,
    }
    wanted = dict(one.wanted)
    if one.planned.type.lower() == _SECRETS and "value" in wanted.get("properties", {}):
        wanted["properties"] = {**wanted["properties"], "value": "*******"}
    return {**about, **wanted}


def _differences(path: str, before: Any, after: Any) -> Iterable[dict[str, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            inner = f"{path}.{name}" if path else name
            if name not in before:
                yield _difference(inner, "Create", None, after[name])
            elif name not in after:
                yield _difference(inner, "Delete", before[name], None)
            else:
                yield from _differences(inner, before[name], after[name])
    elif not equal(before, after):
        yield _difference(path, "Modify", before, after)


def _difference(path: str, kind: str, before: Any, after: Any) -> dict[str, Any]:
    return {"path": path, "propertyChangeType": kind, "before": before, "after": after, "children": []}


def _plain(document: Mapping[str, Any] | None) -> Any:
    """A resource without what its service adds by itself."""
    return _without(document) if document is not None else None


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(one) for name, one in value.items() if name not in _OF_THE_SERVICE}
    return [_without(one) for one in value] if isinstance(value, list) else value
