"""What a decision about a workload wants said: an event, which the controller records."""

from dataclasses import dataclass

from podpass.kube.events import EventType


@dataclass(frozen=True, slots=True)
class Say:
    """An event about the object that was decided on."""

    type: EventType
    reason: str
    message: str

    def __str__(self) -> str:
        return f"say {self.reason}: {self.message}"
