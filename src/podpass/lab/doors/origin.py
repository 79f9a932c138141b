"""By which door a request came: whether a pod asks, or a program on the host."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from podpass.serving.asgi import Scope

_from_pod: ContextVar[bool] = ContextVar("podpass_from_pod", default=False)


def asked_by_pod() -> bool:
    """Whether the request that is being answered came out of a pod with a network of its own.

    Such a pod reaches the lab by host names only, as nothing of the host's loopback is there.
    """
    return _from_pod.get()


@contextlib.contextmanager
def came_by(scope: Scope) -> Iterator[None]:
    """Answer the request of *scope* as what came by its door."""
    # Pods arrive through the unix socket of their network, which gives a client no address.
    token = _from_pod.set(scope.get("client") is None)
    try:
        yield
    finally:
        _from_pod.reset(token)
