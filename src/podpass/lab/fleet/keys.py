"""The rotation of the keys that sign a cluster's tokens: the one before the present stays valid, older ones do not.

AKS: after a rotation both keys are valid for 24 hours; a second one within them ends the first key at once.
"""

from collections.abc import Callable
from dataclasses import replace

from podpass.lab.cluster.serviceaccounts.signing_keys import SigningKeys
from podpass.lab.fleet.plan import Applied


async def rotate(keys: SigningKeys, applied: Applied, keep: Callable[[Applied], None]) -> None:
    """Sign with a new key, unless a rotation that was cut short has come that far. *keep* makes *applied* durable."""
    come_that_far = applied.rotating not in ("", keys.signing.kid)
    if not come_that_far:
        keep(replace(applied, rotating=keys.signing.kid))
        await keys.rotate()
    withdraw(keys, but=1)


def withdraw(keys: SigningKeys, *, but: int = 0) -> None:
    """Believe no token of an older key any more, *but* those of the newest so many."""
    for kid in keys.published.kids[1 + but :]:
        keys.withdraw(kid)
