"""Exec by the websocket clients of three libraries, each in its own style. Contract: section 1.6."""

from collections.abc import Callable

import pytest

from tests.running_lab import RunningLab

Said = Callable[..., list[str]]


@pytest.fixture
def box(running_lab: RunningLab, namespace: str) -> str:
    """The namespace of a pod that runs."""
    running_lab.kubectl("-n", namespace, "run", "box", "--image=busybox", "--", "sleep", "3600")
    running_lab.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    return namespace


def test_the_official_client_runs_commands_and_talks_to_them(said: Said, box: str) -> None:
    assert said("exec_by_official_client.py", box) == ["whole ['err', 'out']", "answer 42", "code 3"]


def test_the_asynchronous_client_runs_commands_and_talks_to_them(said: Said, box: str) -> None:
    assert said("exec_by_asyncio_client.py", box) == ["whole hello", "answer got word", "code 5"]


def test_kr8s_runs_commands(said: Said, box: str) -> None:
    assert said("exec_by_kr8s.py", box) == ["whole b'a b\\n' b'err\\n' 0", "code 4"]
