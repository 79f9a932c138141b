"""What a container says that can't have its image, and by which signal one is asked to end."""

import signal

import pytest

from podpass.lab.node.image_pulls import refusal
from podpass.lab.node.images import Catalogue, NoImage
from podpass.lab.node.pod_containers import stop_signal


@pytest.mark.parametrize(
    ("policy", "reason", "event"),
    [
        ("IfNotPresent", "ErrImagePull", 'Failed to pull image "shop:1": unknown'),
        ("Always", "ErrImagePull", 'Failed to pull image "shop:1": unknown'),
        ("Never", "ErrImageNeverPull", 'Container image "shop:1" is not present with pull policy of Never'),
    ],
)
def test_an_image_that_is_not_there(policy: str, reason: str, event: str) -> None:
    found = refusal("shop:1", policy, NoImage("shop:1", "unknown"))
    assert found is not None
    assert (found.reason, found.event_message) == (reason, event)
    assert found.message.endswith("unknown")


@pytest.mark.parametrize("policy", ["IfNotPresent", "Always", "Never"])
def test_an_image_that_is_there_is_taken_whatever_the_policy(policy: str) -> None:
    assert refusal("busybox", policy, Catalogue().resolve("busybox")) is None


@pytest.mark.parametrize("name", ["Shop", "shop:", "shop:::1", "a//b"])
def test_what_can_name_no_image_is_told_apart(name: str) -> None:
    found = refusal(name, None, Catalogue().resolve(name))
    assert found is not None
    assert (found.reason, found.event_reason) == ("InvalidImageName", "InspectFailed")


@pytest.mark.parametrize(
    ("asked", "of_image", "expected"),
    [
        (None, "", signal.SIGTERM),
        ("SIGUSR1", "SIGQUIT", signal.SIGUSR1),
        (None, "SIGQUIT", signal.SIGQUIT),
        (None, "quit", signal.SIGQUIT),
        (None, "3", signal.SIGQUIT),
        (None, "SIGRTMIN+3", signal.SIGRTMIN + 3),
        (None, "999", signal.SIGTERM),
        (None, "nonsense", signal.SIGTERM),
    ],
)
def test_the_pods_signal_comes_before_the_images(asked: str | None, of_image: str, expected: int) -> None:
    assert stop_signal(asked, of_image) == expected
