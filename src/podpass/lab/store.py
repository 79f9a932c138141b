"""The lab's state: one SQLite file, written in short transactions inside the event loop.

A write is acknowledged to a client only after its transaction has committed. WAL with synchronous=NORMAL keeps
every committed transaction when the process is killed; only a power cut can lose the newest ones, which a lab
on a laptop may. One connection, used only from the loop's thread, so transactions can't interleave.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
_NEWEST_TEXT = "\U0010ffff"


class Store:
    """Documents by service, kind and key, plus the connection for services that keep tables of their own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._depth = 0

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
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.executescript(_SCHEMA)
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
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        else:
            self.connection.execute("COMMIT")
        finally:
            self._depth = 0

    def get(self, service: str, kind: str, key: str) -> Any | None:
        """The document, decoded from JSON, or None."""
        row = self.connection.execute(
            "SELECT body FROM documents WHERE service=? AND kind=? AND key=?", (service, kind, key)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def put(self, service: str, kind: str, key: str, document: Any) -> None:
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (service, kind, key, msgspec.json.encode(document)),
            )

    def delete(self, service: str, kind: str, key: str) -> bool:
        """Remove the document; False when there was none."""
        with self.transaction() as connection:
            cursor = connection.execute(
                "DELETE FROM documents WHERE service=? AND kind=? AND key=?", (service, kind, key)
            )
            return cursor.rowcount > 0

    def items(self, service: str, kind: str, prefix: str = "") -> list[tuple[str, Any]]:
        """Keys that start with *prefix* and their documents, in the order of the keys."""
        rows = self.connection.execute(
            "SELECT key, body FROM documents WHERE service=? AND kind=? AND key>=? AND key<? ORDER BY key",
            (service, kind, prefix, prefix + _NEWEST_TEXT),
        )
        return [(key, msgspec.json.decode(body)) for key, body in rows]
