"""Carrying out a call for somebody, just as their own request would: routed, authorised, held against locks."""

from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.lab.arm import errors
from podpass.lab.arm.authorization import Denied
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Actor, Answer, Call
from podpass.lab.arm.paths import NotAPath, parse
from podpass.lab.arm.routing import Route, route


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a call is made for."""

    actor: Actor
    client_id: str
    object_id: str
    tenant_id: str

    @classmethod
    def of(cls, call: Call) -> "Principal":
        return cls(call.actor, call.client_id, call.principal_id, call.tenant_id)


def call_of(
    estate: Estate, method: str, path: str, content: Any = None, *, api_version: str, principal: Principal
) -> tuple[Call, Route]:
    """The call that this request would be, and who answers it. Raises ArmError."""
    try:
        address = parse(path)
    except NotAPath as error:
        raise ArmError(400, "InvalidRequestUri", f"The request URI is invalid: {error}.") from error
    subscription = None
    if address.id.subscription:
        subscription = estate.subscription(address.id.subscription)
        if subscription is None:
            raise errors.subscription_not_found(address.id.subscription)
    call = Call(
        method=method,
        address=address,
        query={},
        body=b"" if content is None else msgspec.json.encode(content),
        api_version=api_version,
        actor=principal.actor,
        subscription=subscription,
        tenant_id=principal.tenant_id,
        principal_id=principal.object_id,
        client_id=principal.client_id,
    )
    return call, route(address, method, api_version)


def perform(
    estate: Estate,
    method: str,
    path: str,
    content: Any = None,
    *,
    api_version: str,
    principal: Principal,
    authorised: bool = True,
) -> Answer:
    """The answer to the call. Raises ArmError. Without *authorised* nobody's rights are asked: the lab itself looks."""
    call, found = call_of(estate, method, path, content, api_version=api_version, principal=principal)
    scope = str(call.address.id) or "/"
    if authorised and found.action:
        decision = estate.decide(principal_id=principal.object_id, action=found.action, scope=scope)
        if isinstance(decision, Denied):
            raise errors.authorization_failed(principal.client_id, principal.object_id, found.action, scope)
        estate.locks.check(found.action, scope)
    return found.run(estate, call)
