"""Tenants, subscriptions with their providers and features, and resource groups."""

import re
from collections.abc import Iterator
from functools import partial

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm import features
from podpass.lab.arm.model import Resource, Subscription
from podpass.lab.entra.directory import Tenant
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.tenancy import (
    FeatureEntry,
    ProviderEntry,
    ResourceGroupEntry,
    SubscriptionEntry,
    TenantEntry,
)


def put_tenant(making: Making, entry: TenantEntry) -> Made:
    clouds = making.clouds
    tenant_id = clouds.remembered.tenant_id(entry.name, entry.id)
    domains = (entry.domain,) if entry.domain else ()
    clouds.directory.put_tenant(Tenant(tenant_id, domains, entry.name, entry.flexible_issuers == "any"))
    return Made(id=tenant_id)


def tenants_there(finding: Finding) -> Iterator[Found]:
    taken: set[str] = set()
    for tenant in finding.clouds.directory.tenants():
        name = finding.free_name(_label(tenant.display_name, tenant.tenant_id), taken)
        finding.note("tenants", f"{name} has further domains.", len(tenant.domains[1:]))
        entry = TenantEntry(
            name=name,
            id=tenant.tenant_id,
            domain=tenant.domains[0] if tenant.domains else "",
            flexible_issuers="any" if tenant.any_flexible_issuer else "supported",
        )
        yield Found(path=(name,), id=tenant.tenant_id, entry=partial(_same, entry))


def _same(entry: TenantEntry) -> TenantEntry:
    return entry


def put_subscription(making: Making, entry: SubscriptionEntry) -> Made:
    clouds = making.clouds
    subscription = clouds.arm.seed.put_subscription(
        making.find(entry.tenant, "tenants").id, entry.name, clouds.remembered.subscription_id(entry.name, entry.id)
    )
    for provider in entry.providers:
        registered = provider.state == "Registered"
        clouds.arm.estate.set_registered(subscription.id, provider.namespace, registered=registered)
    for feature in entry.features:
        namespace, _, name = feature.name.partition("/")
        features.put(clouds.arm.estate, subscription.id, namespace, name, feature.state)
    return Made(id=f"/subscriptions/{subscription.id}")


def subscriptions_there(finding: Finding) -> Iterator[Found]:
    taken: set[str] = set()
    for one in finding.clouds.arm.estate.subscriptions():
        holder = finding.path("tenants", one.tenant_id)
        name = finding.free_name(_label(one.name, one.id), taken)
        entry = partial(_subscription, finding, one, name)
        yield Found(path=(*holder, name), id=f"/subscriptions/{one.id}", entry=entry)


def _subscription(finding: Finding, one: Subscription, name: str) -> SubscriptionEntry:
    estate = finding.clouds.arm.estate
    providers = sorted({kind.name.partition("/")[0] for kind in estate.types.values()})
    return SubscriptionEntry(
        name=name,
        tenant=finding.reference("tenants", one.tenant_id),
        id=one.id,
        providers=tuple(
            ProviderEntry(namespace=provider, state="Unregistered")
            for provider in providers
            if not estate.is_registered(one.id, provider)
        ),
        features=tuple(
            FeatureEntry(name=f"{namespace}/{feature}", state="Registered" if registered else "Unregistered")
            for namespace, feature, registered in features.there(estate, one.id)
        ),
    )


def put_group(making: Making, entry: ResourceGroupEntry) -> Made:
    subscription = making.find(entry.subscription, "subscriptions").id.rpartition("/")[2]
    return Made(id=making.clouds.arm.seed.put_group(subscription, entry.name, entry.location, tags=entry.tags).id)


def groups_there(finding: Finding) -> Iterator[Found]:
    for group in finding.resources(GROUP_TYPE):
        subscription = f"/subscriptions/{group.id.split('/')[2]}"
        path = (*finding.path("subscriptions", subscription), group.name)
        yield Found(path=path, id=group.id, entry=partial(_group, finding, group, subscription))


def _group(finding: Finding, group: Resource, subscription: str) -> ResourceGroupEntry:
    return ResourceGroupEntry(
        name=group.name,
        subscription=finding.reference("subscriptions", subscription),
        location=group.location,
        tags=dict(group.tags or {}),
    )


def _label(name: str, otherwise: str) -> str:
    """*name* as far as a scenario's labels are spelt so."""
    text = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:60].lstrip("._-")
    return text if spelling.LABEL.pattern.fullmatch(text) else otherwise
