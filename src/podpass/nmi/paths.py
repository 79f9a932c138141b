"""The one form of a request's path on which NMI decides.

What stands behind NMI takes backslashes for slashes and decodes percent signs in its own way, so a path that only
looks harmless must not reach it: CVE-2022-23551 was such a path. Contract: pod identity, section 9 (1).
"""

from urllib.parse import unquote

MAX_PATH = 2048
_MOST_ROUNDS = 8


class NotAPath(ValueError):
    """The path has no canonical form: it is too long, is encoded over and over, or holds odd characters."""


def canonical(raw_path: str) -> str:
    """The path decoded until nothing changes, with plain slashes, no dot segments and no parameters.

    It starts with one slash and ends with none; letter case stays. Raises NotAPath.
    """
    if len(raw_path) > MAX_PATH:
        raise NotAPath(f"a path has at most {MAX_PATH} characters")
    path = raw_path
    for _ in range(_MOST_ROUNDS):
        decoded = unquote(path, errors="replace")
        if decoded == path:
            break
        path = decoded
    else:
        raise NotAPath("the path is percent-encoded too many times")
    # Letters that some servers take for those of ASCII are many; the metadata service has no path with any of them.
    if not (path.isascii() and path.isprintable()):
        raise NotAPath("the path holds a control character, or one beyond ASCII")
    segments: list[str] = []
    for written in path.replace("\\", "/").split("/"):
        segment = written.partition(";")[0].strip()
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments)
