"""What a container waits for whose image can't be had, in the kubelet's words.

Contract: Kubernetes API surface, section 7.1. The lab pulls nothing, so each pull policy asks the catalogue; `Never`
differs only in what it says when there is no entry.
"""

from dataclasses import dataclass

from podpass.lab.node.images import NoImage, ResolvedImage
from podpass.lab.node.images.references import is_reference


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a container can't have its image: the reason and message of its state, and of the event before `Failed`."""

    reason: str
    message: str
    event_reason: str
    event_message: str


def refusal(reference: str, policy: str | None, found: ResolvedImage | NoImage) -> Refusal | None:
    """None when the container can start with what was *found*."""
    if not is_reference(reference):
        message = (
            f'Failed to apply default image tag "{reference}": couldn\'t parse image name: invalid reference format'
        )
        return Refusal("InvalidImageName", message, "InspectFailed", message)
    if isinstance(found, ResolvedImage):
        return None
    if policy == "Never":
        message = f'Container image "{reference}" is not present with pull policy of Never'
        return Refusal("ErrImageNeverPull", f"{message}: {found.message}", "ErrImageNeverPull", message)
    return Refusal("ErrImagePull", found.message, "Failed", f'Failed to pull image "{reference}": {found.message}')
