"""How deployments are refused, and how they fail. Contract: Resource Manager's list of deployment errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from podpass.lab.arm.errors import ArmError, not_emulated

OPERATIONS_HELP = (
    "At least one resource deployment operation failed. Please list deployment operations for details. Please see "
    "https://aka.ms/arm-deployment-operations for usage details."
)


def invalid_template(reason: str) -> ArmError:
    return ArmError(400, "InvalidTemplate", f"Deployment template validation failed: '{reason}'.")


def unprocessable(resource: str, reason: str) -> ArmError:
    """An expression of a resource that has no value."""
    return ArmError(
        400, "InvalidTemplate", f"Unable to process template language expressions for resource '{resource}'. '{reason}'"
    )


def invalid_deployment(name: str, tracking: str, details: Sequence[Mapping[str, Any]]) -> ArmError:
    return ArmError(
        400,
        "InvalidTemplateDeployment",
        f"The template deployment '{name}' is not valid according to the validation procedure. The tracking id is "
        f"'{tracking}'. See inner errors for details.",
        details=tuple(details),
    )


def unauthorized(refusals: Sequence[str]) -> ArmError:
    """For a caller who may deploy, and may not write what the template holds."""
    joined = ":".join(refusals)
    many = len(refusals) > 1
    start = "Deployment failed with multiple errors:" if many else "The template deployment failed with error:"
    return ArmError(403, "InvalidTemplateDeployment", f"{start} '{joined}'.")


def may_not_write(*, name: str, resource_type: str, client_id: str, object_id: str, action: str, scope: str) -> str:
    return (
        f"Authorization failed for template resource '{name}' of type '{resource_type}'. The client '{client_id}' with "
        f"object id '{object_id}' does not have permission to perform action '{action}' at scope '{scope}'."
    )


def not_found(name: str) -> ArmError:
    return ArmError(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")


def still_active(name: str, began: str, expires: str) -> ArmError:
    return ArmError(
        409,
        "DeploymentActive",
        f"Unable to edit or replace deployment '{name}': previous deployment from '{began}' is still active "
        f"(expiration time is '{expires}'). Please see https://aka.ms/arm-deploy-resources for usage details.",
    )


def not_cancellable(name: str, state: str) -> ArmError:
    return ArmError(
        409,
        "DeploymentCannotBeCancelled",
        f"The deployment '{name}' can't be cancelled: its provisioning state is '{state}'.",
    )


def location_required(name: str) -> ArmError:
    return ArmError(
        400, "LocationRequired", f"The location property is required for the deployment '{name}' at this scope."
    )


def location_refused(name: str) -> ArmError:
    return ArmError(
        400,
        "InvalidDeployment",
        f"The 'location' property is not allowed for the deployment '{name}': it is at the scope of a resource group. "
        "Please see https://aka.ms/deploy-to-subscription for usage details.",
    )


def other_location(name: str, location: str, present: str) -> ArmError:
    return ArmError(
        400,
        "InvalidDeploymentLocation",
        f"Invalid deployment location '{location}'. The deployment '{name}' already exists in location '{present}'.",
    )


def not_kept(name: str) -> ArmError:
    return not_emulated(
        f"the export of '{name}': its template was evaluated by the deployment around it, and is kept nowhere"
    )


def outputs_not_kept(name: str) -> ArmError:
    return ArmError(
        409,
        "DeploymentOutputsNotKept",
        f"The secure outputs of the deployment '{name}' are kept nowhere, and the lab was started since. Deploy it "
        "again.",
    )


def failed(deployment_id: str, details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "code": "DeploymentFailed",
        "target": deployment_id,
        "message": OPERATIONS_HELP,
        "details": list(details),
    }


def ended_badly(resource: str, state: str, details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A write that was accepted, and did not succeed."""
    return {
        "code": "ResourceDeploymentFailure",
        "target": resource,
        "message": "The resource write operation failed to complete successfully, because it reached terminal "
        f"provisioning state '{state}'.",
        "details": list(details),
    }


def outputs_failed(details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ",".join(str(detail["target"]) for detail in details)
    return {
        "code": "DeploymentOutputEvaluationFailed",
        "message": f"Unable to evaluate template outputs: '{names}'. Please see error details and deployment "
        "operations. Please see https://aka.ms/arm-common-errors for usage details.",
        "details": list(details),
    }
