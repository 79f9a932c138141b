"""The store: transactions commit together, and a killed process loses no committed write."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from podpass.lab.store import Recollection, Store


def test_documents_come_back_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    store = Store.open(path)
    store.put("entra", "tenant", "a", {"name": "ä", "list": [1, 2]})
    store.close()
    again = Store.open(path)
    assert again.get("entra", "tenant", "a") == {"name": "ä", "list": [1, 2]}
    assert again.get("entra", "tenant", "b") is None
    again.close()


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Store.open(tmp_path / "lab.sqlite").close()
    assert (tmp_path / "lab.sqlite").stat().st_mode & 0o777 == 0o600


def test_items_are_limited_to_the_prefix_and_sorted() -> None:
    store = Store.open(None)
    for key in ("b/2", "a/1", "b/1", "c"):
        store.put("s", "k", key, key)
    assert [key for key, _ in store.items("s", "k", "b/")] == ["b/1", "b/2"]
    assert [key for key, _ in store.items("s", "k")] == ["a/1", "b/1", "b/2", "c"]


def test_a_failed_transaction_changes_nothing_even_when_nested() -> None:
    store = Store.open(None)
    with pytest.raises(RuntimeError), store.transaction():
        store.put("s", "k", "outer", 1)
        with store.transaction():
            store.put("s", "k", "inner", 2)
        raise RuntimeError
    assert store.items("s", "k") == []


def test_an_inner_failure_that_is_caught_still_undoes_nothing_of_the_outer_one() -> None:
    store = Store.open(None)
    with store.transaction():
        store.put("s", "k", "kept", 1)
        assert store.delete("s", "k", "absent") is False
    assert store.get("s", "k", "kept") == 1


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Store.open(path)


def test_every_acknowledged_write_survives_kill_nine(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from podpass.lab.store import Recollection, Store
store = Store.open(Path(sys.argv[1]))
for number in range(1_000_000):
    store.put("s", "k", f"{number:07}", number)
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
"""
    path = tmp_path / "lab.sqlite"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(200)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    kept = {value for _, value in Store.open(path).items("s", "k")}
    assert set(acknowledged) <= kept


def test_the_version_grows_with_writes_of_the_service_alone() -> None:
    store = Store.open(None)
    before = store.version("entra")
    store.put("arm", "vault", "v", 1)
    store.get("entra", "tenant", "a")
    assert store.version("entra") == before
    store.put("entra", "tenant", "a", 1)
    after_put = store.version("entra")
    store.delete("entra", "tenant", "a")
    assert before < after_put < store.version("entra")


def test_what_was_read_inside_a_transaction_is_forgotten_when_it_is_rolled_back() -> None:
    store = Store.open(None)
    store.put("entra", "tenant", "a", "committed")
    known = Recollection(store, "entra")

    def look() -> object:
        return known.get("tenant", "a", lambda key: store.get("entra", "tenant", key))

    assert look() == "committed"
    with pytest.raises(LookupError), store.transaction():
        with store.transaction():
            store.put("entra", "tenant", "a", "inner")
            assert look() == "inner"
        store.delete("entra", "tenant", "a")
        assert look() is None
        raise LookupError
    assert look() == "committed"


def test_a_commit_that_fails_leaves_nothing_behind() -> None:
    store = Store.open(None)
    store.connection.execute("CREATE TABLE child (parent TEXT REFERENCES parent(name) DEFERRABLE INITIALLY DEFERRED)")
    store.connection.execute("CREATE TABLE parent (name TEXT PRIMARY KEY)")
    version = store.version("entra")
    with pytest.raises(sqlite3.IntegrityError), store.transaction() as connection:
        store.put("entra", "tenant", "a", 1)
        connection.execute("INSERT INTO child VALUES ('nobody')")
    assert store.get("entra", "tenant", "a") is None
    assert store.version("entra") > version + 1
    store.put("entra", "tenant", "a", 2)


def test_a_recollection_reads_once_between_writes_and_stays_bounded() -> None:
    store = Store.open(None)
    known = Recollection(store, "entra", most=2)
    read: list[str] = []

    def reading(key: str) -> str:
        read.append(key)
        return key

    for key in ("a", "a", "b", "a", "c", "c"):
        assert known.get("k", key, reading) == key
    assert read == ["a", "b", "c"]
    assert known.get("other kind", "c", reading) == "c"
    store.put("entra", "k", "a", 1)
    known.get("k", "c", reading)
    assert read == ["a", "b", "c", "c", "c"]


def test_what_waits_for_the_commit_is_told_after_it_and_never_of_a_rollback() -> None:
    store = Store.open(None)
    told: list[object] = []

    def tell() -> None:
        told.append(store.get("arm", "k", "a"))
        store.put("arm", "k", "a", 2)

    with store.transaction():
        store.after_commit(tell)
        with store.transaction():
            store.put("arm", "k", "a", 1)
        assert told == []
    assert (told, store.get("arm", "k", "a")) == ([1], 2)
    with pytest.raises(RuntimeError), store.transaction():
        store.after_commit(tell)
        raise RuntimeError
    store.put("arm", "k", "a", 3)
    assert told == [1]
    store.after_commit(tell)
    assert told == [1, 3]
