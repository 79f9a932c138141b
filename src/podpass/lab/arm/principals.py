"""Callers in words, for the journal and for `systemData`."""

from typing import Any, Protocol

from podpass.lab.arm.model import Actor
from podpass.lab.entra.access import Caller
from podpass.lab.entra.directory import Directory


class _Known(Protocol):
    @property
    def tenant_id(self) -> str: ...

    @property
    def client_id(self) -> str: ...

    @property
    def object_id(self) -> str: ...


def described(directory: Directory, caller: _Known) -> str:
    """`appid … oid … (name)`, the name being the application's in the directory."""
    application = directory.application(caller.tenant_id, caller.client_id)
    name = f" ({application.display_name})" if application is not None and application.display_name else ""
    return f"appid {caller.client_id} oid {caller.object_id}{name}"


def actor(caller: Caller) -> Actor:
    """Who changes a resource, as ARM records it: an application by its client id, an identity by its object id."""
    if caller.resource_id:
        return Actor(caller.object_id, "ManagedIdentity")
    return Actor(caller.client_id or caller.object_id)


def facts(caller: Caller) -> dict[str, Any]:
    """The claims that access decisions look at."""
    return {
        "client_id": caller.client_id,
        "object_id": caller.object_id,
        "tenant_id": caller.tenant_id,
        "issuer": caller.issuer,
        "audience": caller.audience,
        "token": caller.token,
    }
