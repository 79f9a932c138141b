"""Rotation policies of keys as values: what they may say, and when what they say is to be done.

Contract: secrets store, section 3.4.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.lab.keyvault.durations import Duration, NotADuration, parse

SHORTEST_EXPIRY_DAYS = 28
SHORTEST_TRIGGER_DAYS = 7
ROTATE, NOTIFY = "rotate", "notify"


class NotAPolicy(ValueError):
    """What was given makes no policy; the text says why, for the caller."""


class Trigger(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """When: one of the two, as a duration of ISO 8601."""

    time_after_create: str | None = None
    time_before_expiry: str | None = None


class Action(msgspec.Struct, frozen=True):
    """What: Rotate or Notify, in any letter case."""

    type: str


class LifetimeAction(msgspec.Struct, frozen=True):
    """Something to be done in the life of each version."""

    action: Action
    trigger: Trigger = Trigger()

    @property
    def kind(self) -> str:
        return self.action.type.lower()


class PolicyAttributes(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How long a version that a rotation makes is valid, and when the policy was made; seconds since the epoch."""

    expiry_time: str | None = None
    created: int | None = None
    updated: int | None = None


class RotationPolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The policy of one key, which all its versions have."""

    lifetime_actions: list[LifetimeAction] = msgspec.field(default_factory=list)
    attributes: PolicyAttributes = PolicyAttributes()

    @property
    def expiry(self) -> Duration | None:
        return parse(self.attributes.expiry_time) if self.attributes.expiry_time else None

    def moment(self, kind: str, *, created: float, expires: float | None) -> float | None:
        """When the action *kind* is due for a version, in seconds since the epoch; None: never."""
        for one in self.lifetime_actions:
            if one.kind != kind:
                continue
            if one.trigger.time_after_create:
                return parse(one.trigger.time_after_create).after(created)
            if one.trigger.time_before_expiry and expires is not None:
                return max(parse(one.trigger.time_before_expiry).before(expires), created)
        return None


DEFAULT = RotationPolicy(lifetime_actions=[LifetimeAction(Action("Notify"), Trigger(time_before_expiry="P30D"))])
"""What every key has until a policy is set: nothing but a word before it expires."""


def checked(given: RotationPolicy, *, key_expires: bool) -> RotationPolicy:
    """The policy to keep, with the notice that every policy has. Raises NotAPolicy."""
    try:
        expiry = given.expiry
        if expiry is not None and expiry.days < SHORTEST_EXPIRY_DAYS:
            raise NotAPolicy(f"The property expiryTime must be at least {SHORTEST_EXPIRY_DAYS} days")
        kinds = [one.kind for one in given.lifetime_actions]
        if len(kinds) != len(set(kinds)) or not {ROTATE, NOTIFY}.issuperset(kinds):
            raise NotAPolicy("The property lifetimeActions can have one action of type Rotate and one of type Notify")
        for one in given.lifetime_actions:
            _check(one, expiry, key_expires=key_expires)
    except NotADuration as error:
        raise NotAPolicy(f"The policy is invalid: {error}") from error
    actions = [
        msgspec.structs.replace(one, action=Action(one.kind.capitalize()))
        for one in sorted(given.lifetime_actions, key=lambda one: one.kind, reverse=True)
    ]
    if NOTIFY not in kinds:
        actions += DEFAULT.lifetime_actions
    return msgspec.structs.replace(given, lifetime_actions=actions)


def _check(one: LifetimeAction, expiry: Duration | None, *, key_expires: bool) -> None:
    """Raises NotAPolicy, NotADuration."""
    after, before = one.trigger.time_after_create, one.trigger.time_before_expiry
    if bool(after) == bool(before):
        raise NotAPolicy("A trigger must have either timeAfterCreate or timeBeforeExpiry")
    if after and one.kind == NOTIFY:
        raise NotAPolicy("The trigger of an action of type Notify must be timeBeforeExpiry")
    waits = parse(after or before or "")
    if waits.days < SHORTEST_TRIGGER_DAYS:
        raise NotAPolicy(f"The time of a trigger must be at least {SHORTEST_TRIGGER_DAYS} days")
    if before and expiry is None and one.kind == ROTATE and not key_expires:
        raise NotAPolicy("A trigger with timeBeforeExpiry needs the property expiryTime, or a key that expires")
    if expiry is not None and expiry.days - waits.days < SHORTEST_TRIGGER_DAYS:
        limit = "before the key expires" if after else "after the key is created"
        raise NotAPolicy(f"The time of a trigger must be at least {SHORTEST_TRIGGER_DAYS} days {limit}")


def shown(policy: RotationPolicy, identifier: str) -> Mapping[str, Any]:
    """The policy as a vault answers it."""
    return {"id": identifier, **msgspec.to_builtins(policy)}
