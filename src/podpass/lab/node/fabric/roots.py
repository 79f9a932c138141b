"""A container's own root: an image's directory below, which nobody writes to, and a private top in memory."""

import contextlib
import ctypes
import os
import sys

_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2


class Roots:
    """The mounted roots by container. They are in this process's mount namespace, so they go with it at the latest."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._mounted: dict[str, str] = {}

    def mount(self, container: str, lower: str, place: str) -> None:
        """Show *lower* at *place*/root, writable without being written to. Raises OSError."""
        os.makedirs(place, mode=0o700, exist_ok=True)
        self._mount("tmpfs", place, "tmpfs", "mode=0755")
        self._mounted[container] = place
        try:
            for name in ("top", "work", "root"):
                os.mkdir(f"{place}/{name}", 0o755)
            os.chmod(f"{place}/top", os.stat(lower).st_mode & 0o1777)
            # Without privilege the top's notes of what was taken away are in attributes that a user may set.
            options = (
                f"userxattr,lowerdir={_escaped(lower)},upperdir={_escaped(place)}/top,workdir={_escaped(place)}/work"
            )
            self._mount("overlay", f"{place}/root", "overlay", options)
        except BaseException:
            self.drop(container)
            raise

    def drop(self, container: str) -> None:
        place = self._mounted.pop(container, None)
        if place is None or self._libc is None:
            return
        self._libc.umount2(os.fsencode(f"{place}/root"), _MNT_DETACH)
        self._libc.umount2(os.fsencode(place), _MNT_DETACH)
        with contextlib.suppress(OSError):
            os.rmdir(place)

    def _mount(self, source: str, place: str, kind: str, options: str) -> None:
        assert self._libc is not None
        arguments = (source.encode(), os.fsencode(place), kind.encode(), _MS_NOSUID | _MS_NODEV, os.fsencode(options))
        if self._libc.mount(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"mounting {kind}: {os.strerror(number)}")


def _escaped(path: str) -> str:
    """*path* as a value of a mount option, where commas and colons part values."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
