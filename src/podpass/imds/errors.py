"""How the metadata service refuses.

Contract: pod identity, section 4.1.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImdsError:
    """A refusal: status, code and text. Clients read the body as JSON whatever the status."""

    status: int
    code: str
    description: str
    retry_after_seconds: int | None = None

    def to_dict(self) -> dict[str, str]:
        return {"error": self.code, "error_description": self.description}


def invalid_request(description: str) -> ImdsError:
    return ImdsError(400, "invalid_request", description)


METADATA_MISSING = invalid_request("Required metadata header not specified")
FORWARDED = invalid_request("Requests with an X-Forwarded-For header are refused")
IDENTITY_NOT_FOUND = invalid_request("Identity not found")
SEVERAL_IDENTITIES = invalid_request(
    "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token "
    "request"
)
METHOD_NOT_ALLOWED = ImdsError(405, "method_not_allowed", "Only GET is allowed")
TOO_MANY_REQUESTS = ImdsError(429, "too_many_requests", "Too many requests", retry_after_seconds=1)


def not_found(path: str) -> ImdsError:
    return ImdsError(404, "not_found", f"{path[:100]} was not found")


def missing(name: str) -> ImdsError:
    return invalid_request(f"Required query variable '{name}' is missing")
