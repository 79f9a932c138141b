"""How the lab's ARM refuses: codes, texts and the envelope.

Contract: Azure HTTP surface, sections 1.1 and 4; workload identity, section 6.2; secrets store, section 4.2.
"""

from collections.abc import Iterable, Mapping
from typing import Any


class ArmError(Exception):
    """A refusal as ARM words it; *details* are the errors that it comes from."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        target: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        details: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        super().__init__(f"({code}) {message}")
        self.status, self.code, self.message, self.target, self.headers = status, code, message, target, headers
        self.details = details

    def to_dict(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            error["target"] = self.target
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


def subscription_not_found(subscription: str) -> ArmError:
    return ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")


def group_not_found(group: str) -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def resource_not_found(resource_type: str, name: str, group: str) -> ArmError:
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{resource_type}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def parent_not_found(resource_type: str, parent: str) -> ArmError:
    return ArmError(
        404,
        "ParentResourceNotFound",
        f"Failed to perform 'write' on resource(s) of type '{resource_type}', because the parent resource "
        f"'{parent}' could not be found.",
    )


def invalid_namespace(namespace: str) -> ArmError:
    return ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")


def invalid_type(namespace: str, resource_type: str, api_version: str) -> ArmError:
    return ArmError(
        404,
        "InvalidResourceType",
        f"The resource type '{resource_type}' could not be found in the namespace '{namespace}' for api version "
        f"'{api_version}'.",
    )


def being_deleted(resource_type: str, name: str) -> ArmError:
    return ArmError(
        409,
        "ResourceIsBeingDeleted",
        f"The resource '{name}' of type '{resource_type}' is being deleted. Try again later.",
    )


def group_being_deleted(group: str) -> ArmError:
    return ArmError(
        409,
        "ResourceGroupBeingDeleted",
        f"The resource group '{group}' is in deprovisioning state and cannot perform this operation.",
    )


def not_registered(namespace: str) -> ArmError:
    return ArmError(
        409,
        "MissingSubscriptionRegistration",
        f"The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how "
        "to register subscriptions.",
        namespace,
    )


def not_emulated(what: str) -> ArmError:
    """For what exists in Azure and not in the lab: said openly, never answered with an invented result."""
    return ArmError(501, "NotImplemented", f"The lab does not emulate {what}.")


def method_not_allowed(method: str, resource_type: str) -> ArmError:
    return ArmError(
        405, "HttpMethodNotSupported", f"The HTTP method '{method}' is not supported for '{resource_type}'."
    )


def missing_api_version() -> ArmError:
    return ArmError(
        400,
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
    )


def invalid_api_version(version: str, supported: Iterable[str]) -> ArmError:
    return ArmError(
        400,
        "InvalidApiVersionParameter",
        f"The api-version '{version[:40]}' is invalid. The supported versions are '{','.join(supported)}'.",
    )


def invalid_content(reason: str) -> ArmError:
    return ArmError(
        400,
        "InvalidRequestContent",
        f"The request content was invalid and could not be deserialized: '{reason}'.",
    )


def invalid_request(message: str, code: str = "BadRequest", target: str = "") -> ArmError:
    return ArmError(400, code, message, target)


def bad_request(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)


def invalid_filter(text: str) -> ArmError:
    return ArmError(400, "InvalidFilterInQueryString", f"Invalid $filter '{text[:200]}' specified in the query string.")


def location_required() -> ArmError:
    return ArmError(400, "LocationRequired", "The location property is required for this definition.")


def location_not_available(location: str, resource_type: str, available: str) -> ArmError:
    return ArmError(
        400,
        "LocationNotAvailableForResourceType",
        f"The provided location '{location}' is not available for resource type '{resource_type}'. List of available "
        f"regions for the resource type is '{available}'.",
    )


def location_fixed(name: str, present: str, resource_type: str) -> ArmError:
    return ArmError(
        409,
        "InvalidResourceLocation",
        f"The resource '{name}' already exists in location '{present}'. A resource with the same name cannot be "
        f"created in another location. Please select a new resource name. ({resource_type})",
    )


def group_location_fixed(given: str, present: str) -> ArmError:
    return ArmError(
        409,
        "InvalidResourceGroupLocation",
        f"Invalid resource group location '{given}'. The Resource group already exists in location '{present}'.",
    )


def too_large(limit: int) -> ArmError:
    return ArmError(
        413, "RequestContentTooLarge", f"The request content size exceeds the maximum size of {limit} bytes."
    )


def authorization_failed(client_id: str, object_id: str, action: str, scope: str) -> ArmError:
    return ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{client_id}' with object id '{object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh "
        "your credentials.",
    )


def linked_authorization_failed(
    client_id: str, object_id: str, action: str, scope: str, linked_action: str, linked_scope: str
) -> ArmError:
    """The caller may do *action*, and not what it implies somewhere else."""
    return ArmError(
        403,
        "LinkedAuthorizationFailed",
        f"The client '{client_id}' with object id '{object_id}' has permission to perform action '{action}' on scope "
        f"'{scope}'; however, it does not have permission to perform action(s) '{linked_action}' on the linked "
        f"scope(s) '{linked_scope}' (respectively) or the linked scope(s) are invalid.",
    )


def linked_subscription_not_found(
    client_id: str, object_id: str, action: str, scope: str, subscription: str
) -> ArmError:
    return ArmError(
        403,
        "LinkedAuthorizationFailed",
        f"The client '{client_id}' with object id '{object_id}' has permission to perform action '{action}' on scope "
        f"'{scope}'; however, the linked subscription '{subscription}' was not found.",
    )


def not_stored(reason: str) -> ArmError:
    return ArmError(500, "InternalServerError", f"The change could not be stored: {reason}. Nothing was changed.")
