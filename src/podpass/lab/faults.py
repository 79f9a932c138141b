"""Faults that a person or a test sets on purpose. They are part of the lab's state and deterministic."""

from dataclasses import asdict, dataclass
from typing import Any

from podpass.lab.store import Store
from podpass.serving.asgi import App, Receive, Scope, Send, send_response, text_response

_SERVICE, _KIND, _KEY = "lab", "faults", "faults"

LONGEST_SECONDS = 366 * 86_400
_SWITCHES = frozenset({"issuer_unreachable", "authority_unavailable", "metadata_limited"})
_LEAST = {
    "propagation_delay_seconds": 0,
    "negative_cache_seconds": 0,
    "tokens_per_10_seconds": 0,
    "vault_calls_per_10_seconds": 0,
    "cluster_skew_seconds": -LONGEST_SECONDS,
}


@dataclass(slots=True)
class Faults:
    """Which faults are on. Services hold this object and look at it for each request."""

    issuer_unreachable: bool = False
    """The cluster's issuer answers nobody."""
    propagation_delay_seconds: float = 0.0
    """How long a changed federated credential stays unseen at the token endpoint."""
    negative_cache_seconds: float = 0.0
    """How long the token endpoint goes on answering that there is no such credential, once it has said so."""
    authority_unavailable: bool = False
    """Entra's token endpoint answers 503 to everybody."""
    tokens_per_10_seconds: float = 0.0
    """How many token requests Entra answers a tenant before it answers 429; 0: as many as come."""
    cluster_skew_seconds: float = 0.0
    """How far the cluster's clock is ahead of the clouds' (negative: behind)."""
    metadata_limited: bool = False
    """The metadata service keeps its limits: 20 token requests a second, 5 of all others."""
    vault_calls_per_10_seconds: float = 0.0
    """How many calls of a kind each vault takes before it answers 429; 0: as many as come. Azure's own limit is 4,000,
    with 20 for calls that make keys and 300 for those that bring values in, which are kept, too."""

    @classmethod
    def load(cls, store: Store) -> "Faults":
        kept = store.get(_SERVICE, _KIND, _KEY) or {}
        return cls(**{name: kept[name] for name in cls.__slots__ if name in kept})

    def change(self, store: Store, values: dict[str, Any]) -> None:
        """Set the named faults and keep them over restarts. Raises ValueError naming what is not a fault."""
        for name, value in values.items():
            if name not in self.__slots__:
                raise ValueError(f"there is no fault {name!r}; there are {', '.join(self.__slots__)}")
            wanted = bool if name in _SWITCHES else (int, float)
            if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
                raise ValueError(f"{name} can't be {value!r}")
            if wanted is not bool and not _LEAST[name] <= value <= LONGEST_SECONDS:
                raise ValueError(f"{name} must be from {_LEAST[name]} to {LONGEST_SECONDS}")
        # Kept before they count: a disk that refuses must leave them as they were.
        store.put(_SERVICE, _KIND, _KEY, {**asdict(self), **values})
        for name, value in values.items():
            setattr(self, name, value)


def unless_unreachable(issuer: App, faults: Faults) -> App:
    """The issuer's app as long as it can be reached; otherwise everybody is told what a proxy says of a dead host."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if faults.issuer_unreachable and scope["type"] == "http":
            await send_response(send, text_response(502, "the issuer does not answer\n"))
        else:
            await issuer(scope, receive, send)

    return app
