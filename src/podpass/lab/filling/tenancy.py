"""Tenants, subscriptions with their providers and features, the lab's cluster, and resource groups."""

from podpass.lab.arm import features
from podpass.lab.entra.directory import Tenant
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.scenario.entries.clusters import ClusterEntry
from podpass.lab.scenario.entries.tenancy import ResourceGroupEntry, SubscriptionEntry, TenantEntry


def put_tenant(making: Making, entry: TenantEntry) -> Made:
    clouds = making.clouds
    tenant_id = clouds.remembered.tenant_id(entry.name, entry.id)
    domains = (entry.domain,) if entry.domain else ()
    clouds.directory.put_tenant(Tenant(tenant_id, domains, entry.name, entry.flexible_issuers == "any"))
    return Made(tenant_id)


def put_subscription(making: Making, entry: SubscriptionEntry) -> Made:
    clouds = making.clouds
    subscription = clouds.arm.seed.put_subscription(
        making.find("tenants", entry.tenant).id, entry.name, clouds.remembered.subscription_id(entry.name, entry.id)
    )
    for provider in entry.providers:
        registered = provider.state == "Registered"
        clouds.arm.estate.set_registered(subscription.id, provider.namespace, registered=registered)
    for feature in entry.features:
        namespace, _, name = feature.name.partition("/")
        features.put(clouds.arm.estate, subscription.id, namespace, name, feature.state)
    return Made(f"/subscriptions/{subscription.id}")


def put_cluster(making: Making, entry: ClusterEntry) -> Made:
    """The cluster itself is there before anything is put."""
    return Made(making.clouds.issuer_of(entry.name))


def put_group(making: Making, entry: ResourceGroupEntry) -> Made:
    subscription = making.find("subscriptions", entry.subscription).id.rpartition("/")[2]
    return Made(making.clouds.arm.seed.put_group(subscription, entry.name, entry.location, tags=entry.tags).id)
