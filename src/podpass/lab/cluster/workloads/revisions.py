"""Names and numbers of a workload's past templates."""

from collections.abc import Iterable
from typing import Any

import msgspec

from podpass.kube import objects
from podpass.kube.objects import Obj

POD_TEMPLATE_HASH = "pod-template-hash"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""Letters and digits that spell no words."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def template_hash(template: Any, collisions: int | None = None) -> str:
    """A short name for *template*, another one for each number of *collisions*."""
    value = 2166136261
    suffix = b"" if collisions is None else str(collisions).encode()
    for byte in _encode(template) + suffix:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two pod templates differ in nothing but the mark that a ReplicaSet carries."""
    return _bare(one) == _bare(other)


def _bare(template: Obj) -> Obj:
    meta = {name: value for name, value in objects.metadata(template).items() if value}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != POD_TEMPLATE_HASH}
    meta.pop("creationTimestamp", None)
    return {**template, "metadata": {**meta, "labels": labels}}


def next_number(numbers: Iterable[int]) -> int:
    return max(numbers, default=0) + 1
