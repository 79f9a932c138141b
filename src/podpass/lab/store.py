"""The lab's state: one SQLite file, written in short transactions inside the event loop.

A write is acknowledged to a client only after its transaction has committed. WAL with synchronous=NORMAL keeps
every committed transaction when the process is killed; only a power cut can lose the newest ones, which a lab
on a laptop may. One connection, used only from the loop's thread, so transactions can't interleave.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    service TEXT NOT NULL,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (service, kind, key)
) WITHOUT ROWID;
"""
SCHEMA_VERSION = 1
"""Kept in the file. A file of a later one was written by a newer podpass, which may mean other things by it."""
_NEWEST_TEXT = "\U0010ffff"

T = TypeVar("T")


class NotStored(sqlite3.OperationalError):
    """The change could not be made durable, and so was not made: the disk is full, say."""


class Store:
    """Documents by service, kind and key, plus the connection for services that keep tables of their own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._depth = 0
        self._writes: dict[str, int] = {}
        self._after: list[Callable[[], None]] = []
        self._rollbacks = 0

    @classmethod
    def open(cls, path: Path | None) -> "Store":
        """Open or create the file at *path* with mode 0600; None keeps everything in memory.

        Raises sqlite3.DatabaseError when the file is not a database of ours, OSError when it can't be written.
        """
        if path is not None:
            path.touch(mode=0o600, exist_ok=True)
            path.chmod(0o600)
        connection = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise sqlite3.DatabaseError("it was written by a newer podpass")
            # Of a new file only. The journal's events are some 2 KB long: SQLite's own 4 KB hold just one of them.
            connection.execute("PRAGMA page_size=8192")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.executescript(_SCHEMA)
            if version != SCHEMA_VERSION:
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.Error:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        self.connection.close()

    @property
    def in_transaction(self) -> bool:
        return self._depth > 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All writes inside commit together or not at all. Transactions nest; the outermost one commits."""
        if self._depth:
            self._depth += 1
            try:
                yield self.connection
            finally:
                self._depth -= 1
            return
        self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException as error:
            self._rollbacks += 1
            self._after.clear()
            # Of some failures to commit SQLite has rolled back already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise NotStored(str(error)) from error
            raise
        finally:
            self._depth = 0
        told, self._after = self._after, []
        for tell in told:
            tell()

    def after_commit(self, tell: Callable[[], None]) -> None:
        """Call *tell* once what is being written has been kept: at once outside of a transaction, and never when it
        is rolled back. It may write itself.
        """
        if self._depth:
            self._after.append(tell)
        else:
            tell()

    def version(self, service: str) -> int:
        """A number that grows whenever a document of *service* may have become another: with each put and delete, at
        once, and with each rollback. What was read under one version holds as long as the version does.
        """
        return self._writes.get(service, 0) + self._rollbacks

    def get(self, service: str, kind: str, key: str) -> Any | None:
        """The document, decoded from JSON, or None."""
        row = self.connection.execute(
            "SELECT body FROM documents WHERE service=? AND kind=? AND key=?", (service, kind, key)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def put(self, service: str, kind: str, key: str, document: Any) -> None:
        with self.writing(service) as connection:
            connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (service, kind, key, msgspec.json.encode(document)),
            )

    def delete(self, service: str, kind: str, key: str) -> bool:
        """Remove the document; False when there was none."""
        with self.writing(service) as connection:
            cursor = connection.execute(
                "DELETE FROM documents WHERE service=? AND kind=? AND key=?", (service, kind, key)
            )
            return cursor.rowcount > 0

    def keys(self, service: str, kind: str, prefix: str = "", *, before: str = _NEWEST_TEXT) -> list[str]:
        """Keys that start with *prefix*, in their order; only those that come before another."""
        rows = self.connection.execute(
            "SELECT key FROM documents WHERE service=? AND kind=? AND key>=? AND key<? AND key<? ORDER BY key",
            (service, kind, prefix, prefix + _NEWEST_TEXT, before),
        )
        return [key for (key,) in rows]

    def items(self, service: str, kind: str, prefix: str = "") -> list[tuple[str, Any]]:
        """Keys that start with *prefix* and their documents, in the order of the keys."""
        rows = self.connection.execute(
            "SELECT key, body FROM documents WHERE service=? AND kind=? AND key>=? AND key<? ORDER BY key",
            (service, kind, prefix, prefix + _NEWEST_TEXT),
        )
        return [(key, msgspec.json.decode(body)) for key, body in rows]

    @contextlib.contextmanager
    def writing(self, service: str) -> Iterator[sqlite3.Connection]:
        """A transaction that counts as a write of *service*, for one that keeps a table of its own."""
        with self.transaction() as connection:
            yield connection
            self._writes[service] = self._writes.get(service, 0) + 1


class Recollection:
    """What was read from one service's documents, kept until any of them changes.

    For look-ups that are asked over and over between two writes. A reading is a pure function of the documents of
    *service*; it returns what nobody changes.
    """

    def __init__(self, store: Store, service: str, *, most: int = 4_096) -> None:
        self._store, self._service, self._most = store, service, most
        self._version = -1
        self._kept: dict[tuple[str, str], Any] = {}

    def get(self, kind: str, key: str, read: Callable[[str], T]) -> T:
        """*read(key)*, or what it returned before; *kind* tells readings of the same key apart."""
        version = self._store.version(self._service)
        if version != self._version:
            self._kept.clear()
            self._version = version
        try:
            return cast("T", self._kept[kind, key])
        except KeyError:
            if len(self._kept) >= self._most:
                self._kept.clear()
            found = self._kept[kind, key] = read(key)
            return found
