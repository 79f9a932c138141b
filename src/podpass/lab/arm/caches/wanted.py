"""The caches that should run, as Resource Manager wants them: what whoever runs them asks."""

from dataclasses import dataclass, field

from podpass.lab.arm.caches.cache import NAMES, size_of
from podpass.lab.arm.estate import DELETING, SERVICE, Estate, parsed_id
from podpass.lab.arm.model import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCache:
    """A cache as it should run."""

    guid: str
    """Its own for life: another cache of the same name has another."""
    name: str
    """In lower case, as in its host name."""
    host: str
    keys: tuple[str, ...] = field(repr=False)
    """The passwords that are taken."""
    public: bool
    """Whether it answers anybody; nobody has a private endpoint here."""
    plain: bool
    """Whether it answers without TLS, too."""
    memory_bytes: int
    connections: int
    eviction: str
    """What it does when the memory is full, in Redis' words."""
    flushed: int = 0
    """Raised each time somebody asked that everything in it be forgotten."""


def wanted(estate: Estate) -> list[WantedCache]:
    """Every cache of the lab that is not being deleted, by name."""
    found = []
    for _, identifier in estate.store.items(SERVICE, NAMES):
        resource = estate.get(parsed_id(identifier))
        if resource is not None and resource.busy != DELETING:
            found.append(_wanted(resource))
    return found


def exists(estate: Estate, name: str) -> bool:
    """Whether there is a cache of this name, and so a host name that resolves."""
    return estate.store.get(SERVICE, NAMES, name.lower()) is not None


def _wanted(resource: Resource) -> WantedCache:
    properties, size = resource.properties, size_of(resource.properties)
    return WantedCache(
        guid=resource.hidden["guid"],
        name=resource.name.lower(),
        host=properties["hostName"],
        keys=(resource.hidden["primary"], resource.hidden["secondary"]),
        public=properties["publicNetworkAccess"] == "Enabled",
        plain=properties["enableNonSslPort"],
        memory_bytes=size.memory_bytes,
        connections=size.connections,
        eviction=properties["redisConfiguration"].get("maxmemory-policy", "volatile-lru"),
        flushed=resource.hidden.get("flushed", 0),
    )
