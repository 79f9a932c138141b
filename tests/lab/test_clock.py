"""The lab's clock moves forward on demand; a skewed view of it differs by a constant."""

import pytest

from podpass.lab.clock import LabClock, SkewedClock, rfc3339


def test_advancing_moves_the_clock_and_keeps_it_running() -> None:
    source = iter([100.0, 101.0])
    clock = LabClock(source=lambda: next(source))
    assert clock.now() == 100.0
    clock.advance(3600)
    assert clock.now() == 3701.0


def test_the_clock_never_goes_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        LabClock().advance(-1)


def test_a_skewed_clock_follows_its_base() -> None:
    base = LabClock(source=lambda: 1000.0)
    skewed = SkewedClock(base, -60)
    base.advance(5)
    assert skewed.now() == 945.0


def test_times_are_written_as_kubernetes_writes_them() -> None:
    assert rfc3339(1_769_847_300.9) == "2026-01-31T08:15:00Z"


def test_the_clock_stays_inside_the_years_that_can_be_written() -> None:
    clock = LabClock()
    for seconds in (1e12, float("inf")):
        with pytest.raises(ValueError, match="at most"):
            clock.advance(seconds)
    clock.advance(6_000 * 365 * 86_400)
    assert rfc3339(clock.now() + 86_400)
