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


def test_a_kind_of_ones_own(said: Callable[..., list[str]], namespace: str) -> None:
    assert said("generic_resource.py", namespace) == [
        "made {'colour': 'blue', 'size': 3}",
        '422 Widget.clients.example.test "w" is invalid: spec.size: Invalid value: 0: spec.size in body should be'
        " greater than or equal to 1",
        "kept 5 {'phase': 'Ready'} 2",
        "DELETED w",
    ]
