"""Trying a deployment out: everything is done inside a transaction that is taken back.

So preflight and what-if ask the very rules that the deployment will meet, and change nothing.
"""

import contextlib
import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from podpass.lab.arm.authorization import Denied
from podpass.lab.arm.deployments import errors, requests
from podpass.lab.arm.deployments.language.errors import ExpressionError, RuntimeNeeded
from podpass.lab.arm.deployments.outputs import Outputs, evaluated
from podpass.lab.arm.deployments.preparing import Plan, plan
from podpass.lab.arm.deployments.resources import Planned
from podpass.lab.arm.deployments.state import State
from podpass.lab.arm.deployments.vault_references import read_references
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.performing import Principal, call_of, perform
from podpass.lab.store import Store

MAX_NESTING = 8
_CHECKED_BEFORE = ("microsoft.keyvault/vaults", "microsoft.containerservice/", "microsoft.compute/", "microsoft.cache/")
"""The types whose services look at a request before the deployment begins."""
_OWN_CODES = frozenset(
    {
        "LocationNotAvailableForResourceType",
        "LocationRequired",
        "InvalidResourceLocation",
        "MissingSubscriptionRegistration",
        "InvalidResourceType",
        "InvalidResourceNamespace",
        "ResourceGroupNotFound",
    }
)
"""What Resource Manager itself finds wrong with a resource of any type."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one resource would become."""

    planned: Planned
    deployment: str
    wanted: Mapping[str, Any] = field(repr=False)
    """The request that would make it."""
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    error: ArmError | None
    needs_state: bool


@contextlib.contextmanager
def taken_back(store: Store) -> Iterator[None]:
    """Whatever is written inside is not kept."""

    class Back(Exception):
        pass

    with contextlib.suppress(Back), store.transaction():
        yield
        raise Back


def rehearse(
    estate: Estate, whole: Plan, principal: Principal, deployment: str, *, looking: bool = True, depth: int = 0
) -> list[Tried]:
    """Do everything that *whole* asks for, as far as it can be known. Only to be called within `taken_back`.

    *looking*: tell what each resource was and what it became, too.
    """
    outputs: dict[str, Outputs] = {}
    state = State(estate, principal, whole.names, outputs)
    unknown: set[str] = set()
    found: list[Tried] = []
    for planned in in_order(whole):
        needs_state = whole.needs_state(planned)
        if whole.waits[planned.key] & unknown:
            unknown.add(planned.key)
            continue
        before = _read(estate, planned, principal) if looking else None
        body: dict[str, Any] = {}
        try:
            body = whole.body(planned, state if needs_state else None)
            if planned.nested:
                tried, outputs[planned.key] = _nested(
                    estate, planned, body, principal, looking=looking, depth=depth + 1
                )
                found += tried
                after = None
            else:
                answer = perform(estate, "PUT", planned.id, body, api_version=planned.api_version, principal=principal)
                after = (_read(estate, planned, principal) or answer.body) if looking else None
        except ArmError as error:
            unknown.add(planned.key)
            found.append(Tried(planned, deployment, body, before, None, error, needs_state))
        else:
            if not planned.nested:
                found.append(Tried(planned, deployment, body, before, after, None, needs_state))
    return found


def check(estate: Estate, whole: Plan, principal: Principal, wanted: requests.Wanted, tracking: str) -> None:
    """Preflight: raises ArmError for what is known to be wrong before a deployment begins."""
    _check_expressions(whole)
    _check_rights(estate, whole, principal)
    with taken_back(estate.store):
        tried = rehearse(estate, whole, principal, str(wanted.id), looking=False)
    own, others = [], []
    for one in tried:
        if one.error is None or one.needs_state:
            continue
        if one.error.status == 501:
            raise one.error
        if one.error.code in ("InvalidTemplate", "InvalidTemplateDeployment"):
            # Of a deployment within this one.
            raise one.error
        if one.error.code in _OWN_CODES:
            own.append(one)
        elif one.planned.type.lower().startswith(_CHECKED_BEFORE) and one.error.status != 404:
            others.append(one)
    if len(own) == 1 and not others:
        raise own[0].error or ArmError(400, "InvalidTemplateDeployment", "")
    if own or others:
        raise errors.invalid_deployment(
            wanted.id.name, tracking, [_detail(one) for one in (*own, *others) if one.error is not None]
        )


def in_order(whole: Plan) -> Iterator[Planned]:
    """The deployed resources, each after what it waits for."""
    by_key = {one.key: one for one in whole.deployed}
    sorter = graphlib.TopologicalSorter(whole.waits)
    sorter.prepare()
    while sorter.is_active():
        ready = sorter.get_ready()
        yield from together(whole, (by_key[key] for key in ready))
        sorter.done(*ready)


def together(whole: Plan, ready: Iterable[Planned]) -> list[Planned]:
    """Resources that begin at the same moment, in an order that lets none of them gain by another.

    Azure begins them side by side. So one that needs another's state, or its existence, without waiting for it, does
    not find it.
    """
    return sorted(ready, key=lambda one: (not whole.needs_state(one), -one.id.count("/"), one.position))


def _nested(
    estate: Estate, planned: Planned, body: Mapping[str, Any], principal: Principal, *, looking: bool, depth: int
) -> tuple[list[Tried], Outputs]:
    """A deployment within the one that is tried out: what its resources would become, and what it would give back."""
    if depth > MAX_NESTING:
        raise errors.invalid_template(f"Deployments are nested deeper than {MAX_NESTING} levels")
    wanted = requests.read(parsed_id(planned.id), msgspec.json.encode(body))
    given = read_references(estate, wanted.parameters, principal)
    inner = plan(estate, wanted, principal, given=given)
    _check_expressions(inner)
    _check_rights(estate, inner, principal)
    tried = rehearse(estate, inner, principal, planned.id, looking=looking, depth=depth)
    outputs, _ = evaluated(inner.program, State(estate, principal, inner.names))
    return tried, outputs


def _check_expressions(whole: Plan) -> None:
    for planned in whole.deployed:
        try:
            if not whole.needs_state(planned):
                whole.body(planned, None)
        except RuntimeNeeded:
            # A function of the template's own can hide it; the deployment itself will tell.
            continue
        except ExpressionError as error:
            raise errors.invalid_template(f"The template resource '{planned.name}' is not valid: {error}") from error


def _check_rights(estate: Estate, whole: Plan, principal: Principal) -> None:
    refusals: list[str] = []
    for planned in whole.deployed:
        call, found = call_of(estate, "PUT", planned.id, api_version=planned.api_version, principal=principal)
        scope = str(call.address.id)
        decision = estate.decide(principal_id=principal.object_id, action=found.action, scope=scope)
        if isinstance(decision, Denied):
            refusals.append(
                errors.may_not_write(
                    name=planned.name,
                    resource_type=planned.type,
                    client_id=principal.client_id,
                    object_id=principal.object_id,
                    action=found.action,
                    scope=scope,
                )
            )
    if refusals:
        raise errors.unauthorized(refusals)


def _read(estate: Estate, planned: Planned, principal: Principal) -> Mapping[str, Any] | None:
    try:
        answer = perform(
            estate, "GET", planned.id, api_version=planned.api_version, principal=principal, authorised=False
        )
    except ArmError:
        return None
    return answer.body if isinstance(answer.body, dict) else None


def _detail(one: Tried) -> Mapping[str, Any]:
    assert one.error is not None
    error: dict[str, Any] = one.error.to_dict()["error"]
    return {"target": one.planned.id, **error}
