"""A vault stands in the world that the tests of ARM make."""

from tests.lab.arm.conftest import world

__all__ = ["world"]
