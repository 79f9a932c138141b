"""What a request to deploy says, once its body has been read. Contract: Microsoft.Resources/deployments, 2025-04-01."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.azure.resourceids import GROUP_TYPE, ResourceId
from podpass.lab.arm import errors as arm_errors
from podpass.lab.arm.deployments import errors
from podpass.lab.arm.deployments.jsonc import NotJson, loads
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.model import LOCATIONS, location_name

_NAME = re.compile(r"[-\w._()]{1,64}")
_MODES = {"incremental": "Incremental", "complete": "Complete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A deployment as it is asked for."""

    id: ResourceId
    template: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(repr=False)
    mode: str
    location: str
    tags: Mapping[str, str] | None
    debug: Any
    what_if: Mapping[str, Any] = field(default_factory=dict)
    """How the answer to what-if is wanted."""

    @property
    def scope(self) -> ResourceId:
        return self.id.parent


def read(wanted: ResourceId, body: bytes) -> Wanted:
    """What the request for the deployment *wanted* says. Raises ArmError."""
    name, scope = wanted.name, wanted.parent
    if not scope.parts or scope.key not in (scope.subscription_id.key, scope.group_id.key):
        raise arm_errors.not_emulated(
            f"deployments to the scope '{scope or '/'}'; a subscription or a group can be one"
        )
    if _NAME.fullmatch(name) is None:
        raise arm_errors.invalid_request(
            f"The deployment name '{name}' is not valid. It can have up to 64 letters, digits, hyphens, underscores, "
            "parentheses and periods.",
            "InvalidDeploymentName",
        )
    content = _object(_decoded(body), "the request")
    properties = _object(content.get("properties"), "properties")
    for member in ("templateLink", "parametersLink"):
        if properties.get(member) is not None:
            raise arm_errors.not_emulated(f"the member '{member}' of deployments; it takes a template in the request")
    if properties.get("onErrorDeployment") is not None:
        raise arm_errors.not_emulated("the rollback to an earlier deployment")
    mode = _MODES.get(str(properties.get("mode", "Incremental")).lower())
    if mode is None:
        raise arm_errors.invalid_content(f"'{properties.get('mode')}' is no deployment mode")
    template = properties.get("template")
    if isinstance(template, str):
        template = _decoded(template.encode())
    if template is None:
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid: a deployment needs a template.")
    return Wanted(
        id=wanted,
        template=template,
        parameters=_object(properties.get("parameters") or {}, "parameters"),
        mode=mode,
        location=_location(wanted, content.get("location"), mode),
        tags=content.get("tags"),
        debug=properties.get("debugSetting"),
        what_if=_object(properties.get("whatIfSettings") or {}, "whatIfSettings"),
    )


def _location(wanted: ResourceId, given: Any, mode: str) -> str:
    if wanted.parent.type.lower() == GROUP_TYPE.lower():
        if given:
            raise errors.location_refused(wanted.name)
        return ""
    if mode == "Complete":
        raise arm_errors.invalid_request(
            "The deployment mode 'Complete' is only supported at the scope of a resource group.",
            "InvalidDeploymentMode",
        )
    if not isinstance(given, str) or not given:
        raise errors.location_required(wanted.name)
    if location_name(given) not in LOCATIONS:
        raise arm_errors.location_not_available(given, "Microsoft.Resources/deployments", ",".join(LOCATIONS))
    return location_name(given)


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise arm_errors.invalid_content(f"{what} is not a JSON object")
    return value


def _decoded(body: bytes) -> Any:
    try:
        return loads(body)
    except NotJson as error:
        raise arm_errors.invalid_content(str(error)) from error
