"""A script written with kr8s."""

from collections.abc import Callable


def test_a_script_starts_waits_for_reads_and_removes_a_pod(said: Callable[..., list[str]], namespace: str) -> None:
    assert said("script_in_kr8s.py", namespace) == [
        "server v1",
        "ready True front one",
        "log hello",
        "found ['greeter']",
        "data 1 2",
        "gone True",
    ]
