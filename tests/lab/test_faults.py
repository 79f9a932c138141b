"""Faults that are set on purpose: what can be set, and what would only break the lab."""

import sqlite3
from typing import Any

import pytest

from podpass.lab.faults import Faults
from podpass.lab.store import Store


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"cluster_skew_seconds": 1e300}, "must be from"),
        ({"cluster_skew_seconds": float("nan")}, "must be from"),
        ({"propagation_delay_seconds": -1}, "must be from 0"),
        ({"propagation_delay_seconds": "5"}, "can't be"),
        ({"propagation_delay_seconds": True}, "can't be"),
        ({"issuer_unreachable": 1}, "can't be"),
        ({"issuer_unreachable": True, "flood": 1}, "there is no fault 'flood'"),
    ],
)
def test_what_is_no_fault_changes_nothing(values: dict[str, Any], says: str) -> None:
    store, faults = Store.open(None), Faults()
    with pytest.raises(ValueError, match=says):
        faults.change(store, values)
    assert faults == Faults() == Faults.load(store)


def test_faults_are_kept() -> None:
    store = Store.open(None)
    Faults().change(store, {"cluster_skew_seconds": -60, "issuer_unreachable": True})
    assert Faults.load(store) == Faults(issuer_unreachable=True, cluster_skew_seconds=-60)


def test_faults_that_can_not_be_kept_do_not_count() -> None:
    store, faults = Store.open(None), Faults()
    store.connection.execute("PRAGMA query_only=ON")
    with pytest.raises(sqlite3.OperationalError):
        faults.change(store, {"issuer_unreachable": True})
    assert faults == Faults()
