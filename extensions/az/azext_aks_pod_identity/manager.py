"""Resource Manager's answers that the commands need besides the cluster, by the CLI's own way of asking."""

import json
import time
import urllib.parse
import uuid
from typing import Any

from azure.cli.core.azclierror import CLIError, HTTPError, InvalidArgumentValueError, ResourceNotFoundError
from azure.cli.core.util import send_raw_request
from knack.log import get_logger

from aks_pod_identity.operator_role import assignment, is_operator

logger = get_logger(__name__)

IDENTITIES_VERSION = "2023-01-31"
ROLES_VERSION = "2022-04-01"
IDENTITY_TYPE = "microsoft.managedidentity/userassignedidentities"
PROPAGATION_SECONDS = 30
ATTEMPTS, SECONDS_BETWEEN = 10, 5


def user_assigned_identity(cli_ctx: Any, resource_id: str) -> dict[str, Any]:
    """The identity as Resource Manager describes it. Raises CLIError."""
    parts = resource_id.strip("/").split("/")
    if len(parts) != 8 or "/".join(parts[5:7]).lower() != IDENTITY_TYPE:
        raise InvalidArgumentValueError(f"Cannot parse identity name from provided resource id {resource_id}.")
    try:
        answer = send_raw_request(cli_ctx, "GET", f"/{'/'.join(parts)}?api-version={IDENTITIES_VERSION}")
    except HTTPError as error:
        if _status(error) == 404:
            raise ResourceNotFoundError(f"Identity {resource_id} not found.") from error
        raise
    found: dict[str, Any] = answer.json()
    return found


def ensure_operator(cli_ctx: Any, principal: str, identity_id: str) -> None:
    """Make *principal* Managed Identity Operator of the identity, unless it is, and wait until that counts.

    The wait is the setting `propagation_seconds` of the section `aks_pod_identity`. Raises CLIError.
    """
    scope = f"{identity_id}/providers/Microsoft.Authorization/roleAssignments"
    condition = urllib.parse.quote(f"atScope() and assignedTo('{principal}')")
    url = f"{scope}?api-version={ROLES_VERSION}&$filter={condition}"
    found: list[dict[str, Any]] = []
    while url:
        page = send_raw_request(cli_ctx, "GET", url).json()
        found += page.get("value") or []
        url = page.get("nextLink") or ""
    if is_operator(found, principal, identity_id):
        return
    _assign(cli_ctx, f"{scope}/{uuid.uuid4()}?api-version={ROLES_VERSION}", assignment(principal, identity_id))
    seconds = cli_ctx.config.getint("aks_pod_identity", "propagation_seconds", PROPAGATION_SECONDS)
    if seconds > 0:
        # On stderr, unlike the original: what goes to stdout is a document that scripts read.
        logger.warning("Wait %d seconds for identity role assignment propagation.", seconds)
        time.sleep(seconds)


def _assign(cli_ctx: Any, url: str, body: dict[str, Any]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            send_raw_request(cli_ctx, "PUT", url, body=json.dumps(body))
        except HTTPError as error:
            status, said = _status(error), str(error)
            if status == 409 and "RoleAssignmentExists" in said:
                return
            if "PrincipalNotFound" not in said or attempt == ATTEMPTS:
                raise CLIError(f"Could not grant Managed Identity Operator permission for cluster: {said}") from error
            logger.info("The cluster's principal is not known everywhere yet; asking again.")
            time.sleep(SECONDS_BETWEEN)
        else:
            return


def _status(error: Any) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
