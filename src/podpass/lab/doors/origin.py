"""By which door a request came: whether a pod asks, or a program on the host."""

from contextvars import ContextVar

from podpass.serving.asgi import App, Receive, Scope, Send

_from_pod: ContextVar[bool] = ContextVar("podpass_from_pod", default=False)


def asked_by_pod() -> bool:
    """Whether the request that is being answered came out of a pod with a network of its own.

    Such a pod reaches the lab by host names only, as nothing of the host's loopback is there.
    """
    return _from_pod.get()


def by_its_door(app: App) -> App:
    """Run each request of *app* as what came by its door."""

    async def told_apart(scope: Scope, receive: Receive, send: Send) -> None:
        # Pods arrive through the unix socket of their network, which gives a client no address.
        token = _from_pod.set(scope.get("client") is None)
        try:
            await app(scope, receive, send)
        finally:
            _from_pod.reset(token)

    return told_apart
