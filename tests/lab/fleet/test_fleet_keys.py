"""Rotations of the keys of tokens: which are believed afterwards."""

from dataclasses import replace
from pathlib import Path

from podpass.lab.cluster.serviceaccounts.signing_keys import SigningKeys
from podpass.lab.fleet.keys import rotate, withdraw
from podpass.lab.fleet.plan import Applied

APPLIED = Applied(node_count=1, workload_identity=True, key_generation=0)


async def test_the_key_before_the_present_one_stays_and_older_ones_do_not(tmp_path: Path) -> None:
    keys = await SigningKeys.open(tmp_path)
    first = keys.signing.kid
    await rotate(keys, APPLIED, lambda _: None)
    second = keys.signing.kid
    assert keys.published.kids == (second, first)
    await rotate(keys, APPLIED, lambda _: None)
    assert keys.published.kids == (keys.signing.kid, second)
    withdraw(keys)
    assert keys.published.kids == (keys.signing.kid,)
    assert (await SigningKeys.open(tmp_path)).published.kids == keys.published.kids


async def test_a_rotation_that_was_cut_short_is_not_done_twice(tmp_path: Path) -> None:
    keys = await SigningKeys.open(tmp_path)
    first, kept = keys.signing.kid, [APPLIED]
    await rotate(keys, APPLIED, kept.append)
    again = await SigningKeys.open(tmp_path)
    # Killed after the new key was written, before it was kept that it was.
    await rotate(again, kept[-1], kept.append)
    assert again.published.kids == (keys.signing.kid, first)


async def test_a_rotation_that_was_cut_short_before_it_began_is_done(tmp_path: Path) -> None:
    keys = await SigningKeys.open(tmp_path)
    first = keys.signing.kid
    await rotate(keys, replace(APPLIED, rotating=first), lambda _: None)
    assert keys.published.kids == (keys.signing.kid, first)
    assert keys.signing.kid != first
