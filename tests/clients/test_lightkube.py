"""A controller written with lightkube: typed objects, the three patches, apply, conflicts, a watch."""

from collections.abc import Callable


def test_a_controller_serves_what_it_watches(said: Callable[..., list[str]]) -> None:
    assert said("team_controller.py", "lightkube") == [
        "409 Conflict .data.b",
        '404 pods "none" not found',
        "['kube-root-ca.crt', 'settings']",
        "added orders",
        "deleted lightkube",
    ]
