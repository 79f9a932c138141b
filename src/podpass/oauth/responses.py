"""What a token endpoint answers: a token, or an error value."""

from dataclasses import dataclass, field
from typing import Any

NO_STORE = (("Cache-Control", "no-store, no-cache"), ("Pragma", "no-cache"))
"""RFC 6749, section 5.1: an answer that holds a token is never stored."""

_STATUS = {"invalid_client": 401, "temporarily_unavailable": 503, "server_error": 500}


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A bearer token granted. Lifetimes are in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_in: int | None = None
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name for the type

    def to_dict(self) -> dict[str, Any]:
        """The members of RFC 6749, section 5.1; numbers are numbers."""
        body: dict[str, Any] = {"token_type": self.token_type, "expires_in": self.expires_in}
        if self.refresh_in is not None:
            body["refresh_in"] = self.refresh_in
        return {**body, "access_token": self.access_token}


@dataclass(frozen=True, slots=True)
class OAuthError:
    """An error of RFC 6749, section 5.2, before a vendor adds its members."""

    error: str
    description: str = ""

    @property
    def status(self) -> int:
        return status_of(self.error)

    def to_dict(self) -> dict[str, Any]:
        return {"error": self.error, "error_description": self.description}


def status_of(error: str) -> int:
    """The HTTP status that goes with an error: 401 for a client that was not recognised, mostly 400 else."""
    return _STATUS.get(error, 400)
