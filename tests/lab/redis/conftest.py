from tests.lab.arm.conftest import world

__all__ = ["world"]
