"""Sets of completion indexes as Jobs write them: `0,3-5,7`."""

from collections.abc import Iterable


def read(text: str | None, completions: int) -> frozenset[int]:
    """The indexes below *completions* in *text*; what is no index is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, hyphen, last = part.partition("-")
        if not _is_index(first) or (hyphen and not _is_index(last)):
            continue
        begin, end = int(first), int(last) if hyphen else int(first)
        found.update(range(begin, min(end, completions - 1) + 1))
    return frozenset(found)


def written(indexes: Iterable[int]) -> str:
    """The shortest text for *indexes*: runs of three and more, and of two as well, are ranges."""
    parts: list[str] = []
    ordered = sorted(set(indexes))
    start = 0
    while start < len(ordered):
        end = start
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        if end == start:
            parts.append(str(ordered[start]))
        elif end == start + 1:
            parts += [str(ordered[start]), str(ordered[end])]
        else:
            parts.append(f"{ordered[start]}-{ordered[end]}")
        start = end + 1
    return ",".join(parts)


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10


def fault(text: str, completions: int) -> str:
    """What keeps *text* from being a list of indexes below *completions*; empty when nothing does."""
    if not text:
        return ""
    last_seen = -1
    for part in text.split(","):
        ends = part.split("-")
        if len(ends) > 2:
            return f"cannot parse {part!r}: too many hyphens"
        for end in ends:
            if not _is_index(end):
                return f'cannot convert string to integer for index: "{end[:32]}"'
            if int(end) >= completions:
                return f'too large index: "{end}"'
        if int(ends[0]) <= last_seen:
            return f"non-increasing order, previous: {last_seen}, current: {ends[0]}"
        if len(ends) == 2 and int(ends[1]) <= int(ends[0]):
            return f"non-increasing order, previous: {ends[0]}, current: {ends[1]}"
        last_seen = int(ends[-1])
    return ""
