"""When a projected token is asked for again.

Contract: Kubernetes API surface, section 4.5, which follows the kubelet's token manager.
"""

from dataclasses import dataclass, field

LONGEST_AGE_SECONDS = 24 * 3600.0
MOST_JITTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ProjectedToken:
    """A token as the node holds it. Times are seconds since the epoch, on the lab's clock."""

    token: str = field(repr=False)
    requested_seconds: int
    issued_at: float
    expires_at: float


def refresh_at(held: ProjectedToken, *, jitter_seconds: float) -> float:
    """From when on *held* is to be replaced: at 80 % of its life, or after a day."""
    by_age = held.issued_at + LONGEST_AGE_SECONDS
    by_life = held.expires_at - 0.2 * held.requested_seconds
    return min(by_age, by_life) - jitter_seconds


def is_expired(held: ProjectedToken, now: float) -> bool:
    return now >= held.expires_at
