"""Why a lab could not start, as a problem its user can mend: a disk that refuses, state that is damaged."""

import errno
import sqlite3

import msgspec

from podpass.lab.certificates import CertificatesUnreadable
from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError
from podpass.tokens.keys import UnusableKey

_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
    | {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
)
_PRIMARY_CODE = 0xFF
_DISK_SAID_NO = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM}
)


def explained(error: BaseException, paths: LabPaths) -> PodpassError | None:
    """The problem behind *error*, or None when there is none that a user could mend.

    PP105 when the disk refused, PP107 when what the lab kept is not what it wrote.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case PodpassError():
            return error
        case sqlite3.OperationalError() if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _DISK_SAID_NO:
            return PodpassError("PP105", path=paths.database, reason=error)
        case sqlite3.DatabaseError():
            return PodpassError("PP107", path=paths.database, reason=error, name=paths.name)
        case msgspec.DecodeError():
            return PodpassError("PP107", path=paths.database, reason=f"it holds {error}", name=paths.name)
        case CertificatesUnreadable() | UnusableKey():
            return PodpassError("PP107", path=paths.keys, reason=error, name=paths.name)
        case OSError() if error.errno in _DISK:
            return PodpassError("PP105", path=error.filename or paths.directory, reason=error.strerror)
        case _:
            return None
