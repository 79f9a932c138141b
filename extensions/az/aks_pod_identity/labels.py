"""Labels as they are written after `--pod-labels`."""

from collections.abc import Sequence


def parsed(words: Sequence[str]) -> dict[str, str]:
    """`["a=b", "c=d e=f"]` as labels; a quoted list is split too. Raises ValueError."""
    labels = {}
    for word in (part for text in words for part in text.split()):
        key, separator, value = word.partition("=")
        if not separator or not key:
            raise ValueError(f"{word!r} is not a label: use the format of <label>=<value>")
        labels[key] = value
    return labels
