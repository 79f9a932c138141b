"""Lifetime actions of certificates as values: what a policy may say, and when it is to be done.

Contract: secrets store, section 3.5.
"""

from typing import Literal

import msgspec

_DAY_SECONDS = 86_400
_DAYS_OF_MONTH = 27
"""The service counts so, to stay below the shortest month."""
AUTO_RENEW: Literal["AutoRenew"] = "AutoRenew"
EMAIL_CONTACTS: Literal["EmailContacts"] = "EmailContacts"


class NotAnAction(ValueError):
    """What was given makes no lifetime action; the text says why, for the caller."""


class Trigger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When: one of the two."""

    lifetime_percentage: int | None = None
    days_before_expiry: int | None = None


class Action(msgspec.Struct, frozen=True):
    """What."""

    action_type: Literal["AutoRenew", "EmailContacts"]


class LifetimeAction(msgspec.Struct, frozen=True):
    """Something to be done in the life of each version."""

    trigger: Trigger
    action: Action

    def moment(self, start: float, end: float) -> float:
        """When it is due for a certificate that is valid from *start* to *end*, in seconds since the epoch."""
        if self.trigger.lifetime_percentage is not None:
            return start + (end - start) * self.trigger.lifetime_percentage / 100
        return max(start, end - (self.trigger.days_before_expiry or 0) * _DAY_SECONDS)


def default(issuer: str) -> list[LifetimeAction]:
    """What the policy of a certificate gets that says nothing."""
    kind = Action(AUTO_RENEW if issuer.lower() == "self" else EMAIL_CONTACTS)
    return [LifetimeAction(Trigger(lifetime_percentage=80), kind)]


def check(actions: list[LifetimeAction], *, months: int) -> None:
    """Raises NotAnAction for what a certificate valid for *months* can't have."""
    if len({one.action.action_type for one in actions}) != len(actions):
        raise NotAnAction("A policy can have one lifetime action of a kind")
    for one in actions:
        percentage, days = one.trigger.lifetime_percentage, one.trigger.days_before_expiry
        if (percentage is None) == (days is None):
            raise NotAnAction("A trigger must have either lifetime_percentage or days_before_expiry")
        if percentage is not None and not 1 <= percentage <= 99:
            raise NotAnAction("The property lifetime_percentage must be between 1 and 99")
        if days is not None and not 1 <= days <= months * _DAYS_OF_MONTH:
            raise NotAnAction(f"The property days_before_expiry must be between 1 and {months * _DAYS_OF_MONTH}")
