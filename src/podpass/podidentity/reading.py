"""Objects of a copy read into values, once for each state of each."""

from collections.abc import Callable
from typing import Generic, TypeVar

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.reflector import Change

T = TypeVar("T")


class ReadOnce(Generic[T]):
    """*read*, remembered for each object until another one takes its place; `forget` follows the copy's changes."""

    def __init__(self, read: Callable[[Obj], T]) -> None:
        self._read = read
        self._kept: dict[tuple[str, str], tuple[Obj, T]] = {}

    def __call__(self, obj: Obj) -> T:
        key = objects.key(obj)
        kept = self._kept.get(key)
        if kept is None or kept[0] is not obj:
            kept = self._kept[key] = (obj, self._read(obj))
        return kept[1]

    def forget(self, change: Change[Obj]) -> None:
        """Drop what is gone."""
        if change.after is None:
            self._kept.pop(change.key, None)
