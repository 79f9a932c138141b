"""Tenants, subscriptions, locations, resource groups, and the lists of all resources.

Contract: Azure HTTP surface, sections 4 and 4.1.
"""

import re

from podpass.azure.resourceids import GROUP_TYPE, SUBSCRIPTION_TYPE, ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.authorization import covers
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.filters import clauses_of
from podpass.lab.arm.managed_clusters import hosted
from podpass.lab.arm.model import (
    LOCATIONS,
    Answer,
    Body,
    Call,
    Draft,
    NameRule,
    Operation,
    Resource,
    ResourceType,
    Shaped,
)
from podpass.lab.arm.selection import selected


def _tenants(estate: Estate, call: Call) -> Answer:
    tenant = estate.directory.tenant(call.tenant_id)
    document = {
        "id": f"/tenants/{call.tenant_id}",
        "tenantId": call.tenant_id,
        "countryCode": "US",
        "displayName": tenant.display_name if tenant else "",
        "domains": list(tenant.domains) if tenant else [],
        "tenantCategory": "Home",
    }
    if tenant and tenant.domains:
        document["defaultDomain"] = tenant.domains[0]
    return Answer(200, items=(document,))


def _subscriptions(estate: Estate, call: Call) -> Answer:
    if not call.address.tail:
        assert call.subscription is not None
        return Answer(200, call.subscription.to_dict())
    held = estate.grants(call.principal_id)
    seen = [
        subscription.to_dict()
        for subscription in estate.subscriptions()
        if subscription.tenant_id.lower() == call.tenant_id.lower()
        and any(_touches(one.scope, f"/subscriptions/{subscription.id}") for one in held)
    ]
    return Answer(200, items=tuple(seen))


def _touches(assigned: str, subscription: str) -> bool:
    return covers(assigned, subscription) or covers(subscription, assigned)


def _locations(estate: Estate, call: Call) -> Answer:
    del estate
    base = str(call.address.id)
    return Answer(
        200,
        items=tuple(
            {
                "id": f"{base}/locations/{name}",
                "name": name,
                "type": "Region",
                "displayName": shown,
                "regionalDisplayName": shown,
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            }
            for name, shown in LOCATIONS.items()
        ),
    )


def _resources(estate: Estate, call: Call) -> Answer:
    """All resources the caller may read, in the subscription or in one group of it."""
    scope = call.address.id
    if scope.type.lower() == GROUP_TYPE.lower():
        estate.require(scope)
    clauses = clauses_of(call.query)
    # Neither groups nor what lies in another resource.
    listed = [kind.name for kind in estate.types.values() if kind.name.count("/") == 1]
    found = [one for name in listed for one in estate.below(scope, name) if selected(one, clauses)]
    found.sort(key=lambda one: one.id.lower())
    now = estate.clock.now()
    return Answer(200, items=tuple(_item(one, call, now) for one in found if estate.may_read(call.principal_id, one)))


def _item(resource: Resource, call: Call, now: float) -> dict[str, object]:
    item: dict[str, object] = {
        "id": resource.id,
        "name": resource.name,
        "type": resource.type,
        "location": resource.location,
        "tags": resource.tags or {},
        **{name: resource.extra[name] for name in ("identity", "kind", "managedBy", "sku") if name in resource.extra},
    }
    expanded = {word.strip().lower() for word in call.query.get("$expand", "").split(",")}
    if "provisioningstate" in expanded:
        item["provisioningState"] = resource.provisioning_state(now)
    if resource.system_data is not None:
        if "createdtime" in expanded:
            item["createdTime"] = resource.system_data["createdAt"]
        if "changedtime" in expanded:
            item["changedTime"] = resource.system_data["lastModifiedAt"]
    return item


class _GroupBody(Body, frozen=True, kw_only=True, rename="camel"):
    managed_by: str | None = None


def _shape_group(estate: Estate, draft: Draft) -> Shaped:
    del estate
    body: _GroupBody = draft.body
    if draft.id.name.endswith("."):
        raise _group_name_refused(draft.id.name)
    kept = draft.existing.extra.get("managedBy") if draft.existing else None
    owner = kept or body.managed_by
    return Shaped(properties={"provisioningState": "Succeeded"}, extra={"managedBy": owner} if owner else {})


def _group_name_refused(name: str) -> ArmError:
    return errors.invalid_request(_GROUP_NAME.format(name=name), "InvalidResourceGroup")


def _group_not_found(wanted: ResourceId) -> ArmError:
    return errors.group_not_found(wanted.name)


_GROUP_NAME = (
    "The provided resource group name '{name}' is invalid: it can have up to 90 letters, digits, underscores, "
    "parentheses, hyphens and periods, and must not end with a period."
)

GROUP = ResourceType(
    name=GROUP_TYPE,
    api_versions=("2025-04-01", "2024-11-01", "2022-12-01", "2021-04-01"),
    body=_GroupBody,
    shape=_shape_group,
    deleting=hosted.begin_group_delete,
    system_data=False,
    name_rule=NameRule(re.compile(r"[-\w._()]{1,90}"), "InvalidResourceGroup", _GROUP_NAME),
    delete_absent_status=404,
    hides_unreadable=True,
    not_found=_group_not_found,
)

OPERATIONS = (
    Operation(method="GET", path="Microsoft.Resources/tenants", action="", run=_tenants),
    Operation(
        method="GET", path=SUBSCRIPTION_TYPE, action=f"{SUBSCRIPTION_TYPE}/read", list_action="", run=_subscriptions
    ),
    Operation(
        method="GET",
        path=f"{SUBSCRIPTION_TYPE}/locations",
        action=f"{SUBSCRIPTION_TYPE}/locations/read",
        run=_locations,
    ),
    # What the caller may not read is left out of these two lists; nothing else is asked for.
    Operation(method="GET", path=f"{SUBSCRIPTION_TYPE}/resources", action="", run=_resources),
    Operation(method="GET", path=f"{GROUP_TYPE}/resources", action="", run=_resources),
)
