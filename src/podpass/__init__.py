"""Kubernetes pods reach Azure and Google Cloud without stored secrets."""

from typing import TYPE_CHECKING, Any

from podpass.problems import Problem

if TYPE_CHECKING:
    from podpass.lab.assembly import Lab

__version__ = "0.1.0.dev0"
__all__ = ["Lab", "Problem", "__version__"]


def __getattr__(name: str) -> Any:
    # The lab's imports take a third of a second, which a component in a cluster should not pay.
    if name == "Lab":
        from podpass.lab.assembly import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
