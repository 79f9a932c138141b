"""The resource type of caches: how they are named, checked, filled in and shown.

Contract: Azure HTTP surface, section 4.
"""

import base64
import re
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from podpass.lab.arm import errors, resource_identity
from podpass.lab.arm.caches.sizes import NotASize, Size
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import SERVICE, Estate
from podpass.lab.arm.model import Body, Draft, NameRule, Resource, ResourceType, Shaped
from podpass.lab.arm.resource_identity import Identity

TYPE = "Microsoft.Cache/Redis"
DNS_SUFFIX = "redis.cache.windows.net"
PORT, TLS_PORT = 6379, 6380
SECONDS = 1.0
NAMES = "cache-name"
DEFAULT_TLS = "1.2"
# What the retired versions became, and what `latest` means.
_VERSIONS = {"": "6.0", "6": "6.0", "6.0": "6.0", "latest": "6.0"}
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9]|-(?!-)){0,61}[a-zA-Z0-9]|[a-zA-Z0-9]")
_KEY_BYTES = 32


class _Sku(msgspec.Struct, frozen=True):
    name: str
    family: str
    capacity: int


class _Properties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    sku: _Sku
    redis_configuration: dict[str, Any] | None = None
    redis_version: str | None = None
    enable_non_ssl_port: bool | None = None
    tenant_settings: dict[str, str] | None = None
    shard_count: int | None = None
    replicas_per_master: int | None = None
    replicas_per_primary: int | None = None
    minimum_tls_version: str | None = None
    public_network_access: str | None = None
    update_channel: Literal["Stable", "Preview"] | None = None
    disable_access_key_authentication: bool | None = None
    zonal_allocation_policy: str | None = None
    subnet_id: str | None = None
    static_ip: str | None = msgspec.field(default=None, name="staticIP")


class CacheBody(Body, frozen=True, kw_only=True, rename="camel"):
    """A PUT's body."""

    properties: _Properties
    identity: Identity | None = None
    zones: list[str] | None = None


def size_of(properties: Mapping[str, Any]) -> Size:
    """The size of a stored cache."""
    sku = properties["sku"]
    return Size(sku["name"], sku["family"], sku["capacity"])


def new_key() -> str:
    """An access key: as long as Azure's, and of the same letters."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _shape(estate: Estate, draft: Draft) -> Shaped:
    if estate.caches_refused:
        raise errors.not_emulated(f"a cache here: {estate.caches_refused}")
    given: _Properties = draft.body.properties
    before: Mapping[str, Any] = draft.existing.properties if draft.existing else {}
    size = _size(given.sku, before)
    _check(given, size)
    hidden = dict(draft.existing.hidden) if draft.existing else _claim(estate, draft)
    name = draft.existing.name if draft.existing else draft.id.name
    plain = given.enable_non_ssl_port
    if plain is None:
        plain = before.get("enableNonSslPort", False)
    instance: dict[str, Any] = {"sslPort": 15_000, "isMaster": True, "isPrimary": True}
    properties: dict[str, Any] = {
        "provisioningState": "Succeeded",
        "redisVersion": _VERSIONS[given.redis_version or ""],
        "sku": {"name": size.sku, "family": size.family, "capacity": size.capacity},
        "enableNonSslPort": plain,
        "instances": [{**instance, "nonSslPort": 13_000} if plain else instance],
        "publicNetworkAccess": given.public_network_access or before.get("publicNetworkAccess", "Enabled"),
        "redisConfiguration": _configuration(given.redis_configuration, before, size),
        "accessKeys": None,
        "hostName": f"{name.lower()}.{DNS_SUFFIX}",
        "port": PORT,
        "sslPort": TLS_PORT,
        "linkedServers": [],
        "minimumTlsVersion": given.minimum_tls_version or before.get("minimumTlsVersion", DEFAULT_TLS),
        "updateChannel": given.update_channel or before.get("updateChannel", "Stable"),
        "disableAccessKeyAuthentication": False,
    }
    if given.tenant_settings:
        properties["tenantSettings"] = given.tenant_settings
    if given.zonal_allocation_policy:
        properties["zonalAllocationPolicy"] = given.zonal_allocation_policy
    extra: dict[str, Any] = {}
    if draft.body.zones:
        extra["zones"] = draft.body.zones
    if (identity := resource_identity.shape(estate, draft, draft.body.identity, TYPE)) is not None:
        extra["identity"] = identity
    return Shaped(properties=properties, hidden=hidden, extra=extra)


def _size(given: _Sku, before: Mapping[str, Any]) -> Size:
    try:
        size = Size.of(given.name, given.family, given.capacity)
        if before:
            size.check_follows(size_of(before))
    except NotASize as error:
        raise errors.invalid_request(str(error), "InvalidParameter") from error
    return size


def _check(given: _Properties, size: Size) -> None:
    """Raises ArmError for what no cache can have, and for what the lab's can't."""
    if (given.redis_version or "") not in _VERSIONS:
        raise _invalid("redisVersion", given.redis_version)
    if given.minimum_tls_version not in (None, "1.0", "1.1", "1.2"):
        raise _invalid("minimumTlsVersion", given.minimum_tls_version)
    if given.public_network_access not in (None, "Enabled", "Disabled"):
        raise _invalid("publicNetworkAccess", given.public_network_access)
    premium_only = {"shardCount": given.shard_count, "subnetId": given.subnet_id, "staticIP": given.static_ip}
    for name, value in premium_only.items():
        if value and size.sku != "Premium":
            raise errors.invalid_request(
                f"The parameter 'properties.{name}' is supported by caches of the Premium SKU only.", "InvalidParameter"
            )
        if value:
            raise errors.not_emulated(f"the property {name} of a cache")
    if given.disable_access_key_authentication:
        raise errors.not_emulated("a cache without access keys")


def _invalid(name: str, value: object) -> ArmError:
    return errors.invalid_request(
        f"The value of the parameter 'properties.{name}' is invalid: '{str(value)[:64]}'.", "InvalidParameter"
    )


def _configuration(given: Mapping[str, Any] | None, before: Mapping[str, Any], size: Size) -> dict[str, Any]:
    kept: dict[str, Any] = {**before.get("redisConfiguration", {}), **(given or {})}
    policy = kept.get("maxmemory-policy", "volatile-lru")
    if policy not in POLICIES:
        raise _invalid("redisConfiguration.maxmemory-policy", policy)
    if str(kept.get("aad-enabled", "false")).lower() == "true":
        raise errors.not_emulated("Entra tokens in place of a cache's keys")
    return {**{name: value for name, value in kept.items() if value is not None}, "maxclients": str(size.connections)}


POLICIES = frozenset(
    (
        "allkeys-lfu",
        "allkeys-lru",
        "allkeys-random",
        "noeviction",
        "volatile-lfu",
        "volatile-lru",
        "volatile-random",
        "volatile-ttl",
    )
)
"""What a full cache may do."""


def _claim(estate: Estate, draft: Draft) -> dict[str, str]:
    """The hidden members of a new cache. Raises ArmError when somebody has its name, in any subscription."""
    if is_taken(estate, draft.id.name):
        raise name_not_available(draft.id.name)
    return {"guid": uuid.uuid4().hex, "primary": new_key(), "secondary": new_key()}


def is_taken(estate: Estate, name: str) -> bool:
    return estate.store.get(SERVICE, NAMES, name.lower()) is not None


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def name_not_available(name: str) -> ArmError:
    return ArmError(
        409,
        "NameNotAvailable",
        "An error occurred when trying to reserve the DNS name for the cache. The name "
        f"'{name[:64]}' is not available.",
    )


def _written(estate: Estate, resource: Resource, before: Resource | None) -> None:
    if before is None:
        estate.store.put(SERVICE, NAMES, resource.name.lower(), resource.id.lower())
    resource_identity.enter_directory(estate, resource, before)
    tell(estate)


def _deleting(estate: Estate, resource: Resource) -> float:
    """It stops answering at once, and its name is free when it is gone."""
    del resource
    tell(estate)
    return SECONDS


def _removed(estate: Estate, resource: Resource) -> None:
    estate.store.delete(SERVICE, NAMES, resource.name.lower())
    resource_identity.leave_directory(estate, resource)
    tell(estate)


def tell(estate: Estate) -> None:
    """Have whoever runs the caches look at what is wanted, once this transaction has ended."""
    for listener in estate.cache_listeners:
        estate.store.after_commit(listener)


CACHE = ResourceType(
    name=TYPE,
    api_versions=("2024-11-01", "2024-03-01", "2023-08-01"),
    body=CacheBody,
    shape=_shape,
    name_rule=NameRule(
        _NAME,
        "InvalidResourceName",
        "The cache name '{name}' is invalid. It can only contain letters, numbers and hyphens, must start and end "
        "with a letter or number, can't contain consecutive hyphens, and has at most 63 characters.",
    ),
    seconds=SECONDS,
    patched=resource_identity.patched,
    written=_written,
    deleting=_deleting,
    removed=_removed,
)
