"""reference() and list…(): the state of resources, read for whoever deploys, with their own rights."""

from collections.abc import Mapping
from typing import Any

from podpass.lab.arm.deployments.dependencies import Names
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.outputs import Outputs
from podpass.lab.arm.deployments.resources import Planned
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.paths import NotAPath
from podpass.lab.arm.paths import resource_id as parsed
from podpass.lab.arm.performing import Principal, perform

SECURE_OUTPUTS = "listOutputsWithSecureValues"
"""The function by which a deployment gets at the secure outputs of one within it."""
_HELP = "Please see https://aka.ms/arm-function-reference for usage details."


class State:
    """What the runtime functions of one deployment read. Every method raises ArmError as the read itself would."""

    def __init__(
        self, estate: Estate, principal: Principal, names: Names, tried: Mapping[str, Outputs] | None = None
    ) -> None:
        self._estate, self._principal, self._names = estate, principal, names
        self._tried = {} if tried is None else tried
        """What deployments would give back that are only tried out, by their keys."""

    def reference(self, resource: str, api_version: str, *, full: bool) -> Any:
        planned, wanted, version = self._found("reference", resource, api_version)
        return self._read(planned, wanted, version, full=full)

    def references(self, collection: str, *, full: bool) -> list[Any]:
        found = self._names.called(collection)
        if not found or not found[0].loop:
            raise ExpressionError(f"There is no loop with the symbolic name '{collection}' in the template.")
        return [self._read(one, one.id, one.api_version, full=full) for one in found if one.wanted]

    def listed(self, function: str, resource: str, api_version: str, body: Any) -> Any:
        _, wanted, version = self._found(function, resource, api_version)
        if function.lower() == SECURE_OUTPUTS.lower() and wanted.lower() in self._tried:
            return self._tried[wanted.lower()].values
        path = f"{wanted}/{function}"
        answer = perform(self._estate, "POST", path, body or {}, api_version=version, principal=self._principal)
        return answer.body

    def _found(self, function: str, resource: str, api_version: str) -> tuple[Planned | None, str, str]:
        called = self._names.called(resource)
        if len(called) > 1:
            raise ExpressionError(
                f"The resource reference '{resource}' is not valid: several resources of the template have this name. "
                f"{_HELP}"
            )
        if called:
            return called[0], called[0].id, api_version or called[0].api_version
        if not resource.startswith("/"):
            raise ExpressionError(
                f"The resource reference '{resource}' is not valid: could not find template resource or resource copy "
                f"with this name. {_HELP}"
            )
        if not api_version:
            raise ExpressionError(
                f"The template function '{function}' needs an API version for the resource '{resource}', which is not "
                f"defined in the template. {_HELP}"
            )
        return None, resource, api_version

    def _read(self, planned: Planned | None, wanted: str, version: str, *, full: bool) -> Any:
        if (tried := self._tried.get(wanted.lower())) is not None:
            document: dict[str, Any] = {"properties": {"provisioningState": "Succeeded", "outputs": tried.shown}}
        else:
            answer = perform(self._estate, "GET", wanted, api_version=version, principal=self._principal)
            document = answer.body if isinstance(answer.body, dict) else {}
        if not full:
            return document.get("properties", {})
        try:
            place = parsed(wanted)
        except NotAPath as error:
            raise ExpressionError(f"'{wanted}' is no resource id.") from error
        about = {
            "apiVersion": version,
            "subscriptionId": place.subscription,
            "resourceId": wanted.partition("/providers/")[2],
            "referenceApiVersion": version,
            "condition": planned is None or planned.wanted,
            "isConditionTrue": planned is None or planned.wanted,
            "isTemplateResource": planned is not None and not planned.existing,
            "isAction": False,
            "provisioningOperation": "Read" if planned is None or planned.existing else "Create",
        }
        if place.group:
            about["resourceGroupName"] = place.group
        return {**{key: value for key, value in document.items() if key not in ("id", "name", "type")}, **about}
