"""The sizes that a cache can have: families, memory, connections, and which may become which."""

from collections.abc import Mapping
from dataclasses import dataclass

_MEBIBYTE = 1024 * 1024
_SKUS = ("Basic", "Standard", "Premium")
_FAMILIES: Mapping[str, str] = {"Basic": "C", "Standard": "C", "Premium": "P"}
# Memory in MB and connections, as Azure publishes them.
_SIZES: Mapping[str, tuple[int, int]] = {
    "C0": (250, 256),
    "C1": (1_024, 1_000),
    "C2": (2_560, 2_000),
    "C3": (6_144, 5_000),
    "C4": (13_312, 10_000),
    "C5": (26_624, 15_000),
    "C6": (54_272, 20_000),
    "P1": (6_144, 7_500),
    "P2": (13_312, 15_000),
    "P3": (26_624, 30_000),
    "P4": (54_272, 40_000),
    "P5": (122_880, 40_000),
}


class NotASize(ValueError):
    """No cache has this size, or it can't be reached from the present one; the text says why, for the caller."""


@dataclass(frozen=True, slots=True)
class Size:
    """A cache's size: its SKU by name, family and capacity."""

    sku: str
    family: str
    capacity: int

    @classmethod
    def of(cls, sku: str, family: str, capacity: int) -> "Size":
        """Raises NotASize. Letter case does not matter."""
        name = next((one for one in _SKUS if one.lower() == sku.lower()), None)
        if name is None:
            raise NotASize(f"The value of the parameter 'properties.sku.name' is invalid: '{sku[:64]}'.")
        if family.upper() != _FAMILIES[name]:
            raise NotASize(f"The value of the parameter 'properties.sku.family' is invalid: '{family[:64]}'.")
        size = cls(name, family.upper(), capacity)
        if size.label not in _SIZES:
            raise NotASize(f"The value of the parameter 'properties.sku.capacity' is invalid: '{capacity}'.")
        return size

    @property
    def label(self) -> str:
        return f"{self.family}{self.capacity}"

    @property
    def memory_bytes(self) -> int:
        return _SIZES[self.label][0] * _MEBIBYTE

    @property
    def connections(self) -> int:
        return _SIZES[self.label][1]

    def check_follows(self, before: "Size") -> None:
        """Raises NotASize where a cache can't become one of this size, as Azure scales them."""
        if _SKUS.index(self.sku) < _SKUS.index(before.sku):
            raise NotASize(f"A cache can't be scaled from {before.sku} to {self.sku}.")
        if before.label != "C0" and self.label == "C0":
            raise NotASize("A cache can't be scaled down to C0.")
        if before.sku == "Basic" and self.sku == "Premium":
            raise NotASize("A cache can't be scaled from Basic to Premium at once; scale to Standard first.")
