"""Writes that have to be made one after another: of two that are made at once, one is refused.

The lab writes in no time, one request after another, so two writes would never meet. Where Azure refuses those that do,
a write goes on for a moment of real time, in which others are refused; a client that waits for its answer before it
writes again never is.
"""

import asyncio

from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.paths import Address

ALONE_SECONDS = 0.02


class Turn:
    """One request's turn to write; it needs none when what it writes is not written alone."""

    def __init__(self, taken: set[str], key: str, refusal: ArmError | None) -> None:
        self._taken, self._key, self._refusal = taken, key, refusal
        self._is_mine = False

    def take(self) -> None:
        """Raises ArmError while it is another's."""
        if self._refusal is None:
            return
        if self._key in self._taken:
            raise self._refusal
        self._taken.add(self._key)
        self._is_mine = True

    async def last(self) -> None:
        """Go on for as long as the write takes."""
        if self._is_mine:
            await asyncio.sleep(ALONE_SECONDS)

    def end(self) -> None:
        if self._is_mine:
            self._taken.discard(self._key)


class Turns:
    """Who writes what is written alone."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._taken: set[str] = set()

    def of(self, method: str, address: Address) -> Turn:
        """The turn that a request needs."""
        kind = self._estate.kind(address.type) if method in ("PUT", "PATCH", "DELETE") else None
        refusal = None if kind is None or kind.writes_alone is None else kind.writes_alone(address.id)
        return Turn(self._taken, address.id.parent.key, refusal)
