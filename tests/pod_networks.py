"""Whether pods have networks of their own on this machine, and NMI can lead them to itself."""

import asyncio
import functools
import shutil

import pytest

from podpass.lab.node.runtime import choose_runtime, probe


@functools.cache
def why_no_pod_identity() -> str:
    """What this machine lacks for pod identity, in the words of the lab; empty where it works."""
    choice = choose_runtime(asyncio.run(probe()))
    if choice.kind != "sandbox":
        return choice.why
    if shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        return "NMI needs iptables, which this machine lacks: install the package iptables"
    return ""


def require_pod_identity() -> None:
    """Skip the test where it can't work, and say why."""
    if why := why_no_pod_identity():
        pytest.skip(why)
