"""A request to deploy into a plan: parameters resolved, resources and their order known, nothing done."""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.azure import clouds
from podpass.lab.arm.deployments import dependencies, templates
from podpass.lab.arm.deployments.errors import invalid_template, unprocessable
from podpass.lab.arm.deployments.functions import Runtime
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.parsing import escaped
from podpass.lab.arm.deployments.parameters import Parameters
from podpass.lab.arm.deployments.places import Place
from podpass.lab.arm.deployments.program import Program
from podpass.lab.arm.deployments.requests import Wanted
from podpass.lab.arm.deployments.resources import Planned, expand
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.performing import Principal


@dataclass(frozen=True, slots=True)
class Plan:
    """A template at its place, with everything it asks for."""

    program: Program
    resources: tuple[Planned, ...]
    waits: dependencies.Graph
    names: dependencies.Names

    @property
    def deployed(self) -> list[Planned]:
        return [one for one in self.resources if one.deployed]

    def body(self, planned: Planned, runtime: Runtime | None) -> dict[str, Any]:
        """The request that makes the resource. Raises ArmError, and RuntimeNeeded without *runtime*."""
        program, loops = self.program, planned.loops
        written = planned.body
        properties = written.get("properties")
        template = properties.get("template") if planned.nested and isinstance(properties, Mapping) else None
        if template is not None and isinstance(properties, Mapping):
            written = {**written, "properties": {key: one for key, one in properties.items() if key != "template"}}
        try:
            body = program.value(written, loops, runtime)
            if template is not None:
                # A template that this deployment evaluates is all literal to the deployment that gets it.
                inner = template if planned.inner else _literal(program.value(template, loops, runtime))
                body["properties"]["template"] = inner
        except ExpressionError as error:
            if runtime is None:
                raise
            raise unprocessable(planned.id, str(error)) from error
        return {name: _without_nulls(value) for name, value in body.items()}

    def needs_state(self, planned: Planned) -> bool:
        """Whether its body can only be known while the deployment runs."""
        return dependencies.asks_for_state(planned.body, skip_template=planned.inner)


def plan(
    estate: Estate,
    wanted: Wanted,
    principal: Principal,
    *,
    given: Mapping[str, Any],
    resolved: Parameters | None = None,
    now: float | None = None,
) -> Plan:
    """The plan of a deployment. *given*: its parameters, those kept in vaults read. Raises ArmError.

    *resolved* and *now* are those of a deployment that began earlier.
    """
    template = templates.read(wanted.template)
    place = _place(estate, wanted, principal)
    level = "resourceGroup" if place.group else "subscription"
    if template.level != level:
        raise invalid_template(
            f"The template schema '{wanted.template.get('$schema')}' is not supported at the scope of a {level}. "
            "Please see https://aka.ms/deploy-cross-rg for usage details."
        )
    program = Program(template, place, given, now=estate.clock.now() if now is None else now, resolved=resolved)
    resources = expand(program)
    names = dependencies.Names(program, resources)
    return Plan(program, tuple(resources), dependencies.graph(names), names)


def shown_members(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """What a deployment shows of its plan: providers and dependencies."""
    providers: dict[str, dict[str, set[str]]] = {}
    dependent: list[dict[str, Any]] = []
    by_key = {one.key: one for one in plan.resources}
    for planned in plan.deployed:
        namespace, _, kind = planned.type.partition("/")
        places = providers.setdefault(namespace, {}).setdefault(kind, set())
        with contextlib.suppress(ExpressionError):
            location = plan.program.value(planned.body.get("location"), planned.loops)
            places |= {location} if isinstance(location, str) else set()
        before = [by_key[key] for key in sorted(plan.waits[planned.key])]
        if before:
            dependent.append({"dependsOn": [_named(one) for one in before], **_named(planned)})
    members: dict[str, Any] = {
        "providers": [
            {
                "namespace": namespace,
                "resourceTypes": [
                    {"resourceType": kind, "locations": sorted(places) or [None]} for kind, places in kinds.items()
                ],
            }
            for namespace, kinds in providers.items()
        ],
        "dependencies": dependent,
    }
    if wanted.debug is not None:
        members["debugSetting"] = wanted.debug
    return members


def template_hash(template: Mapping[str, Any]) -> str:
    """A number for the template, the same for the same template. Not the one that Azure computes."""
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).digest()
    return str(int.from_bytes(digest[:8], "big"))


def _named(planned: Planned) -> dict[str, str]:
    return {"id": planned.id, "resourceType": planned.type, "resourceName": planned.name}


def _place(estate: Estate, wanted: Wanted, principal: Principal) -> Place:
    scope = wanted.scope
    subscription = estate.subscription(scope.subscription)
    assert subscription is not None
    group = estate.require(scope) if scope.group else None
    tenant = estate.directory.tenant(subscription.tenant_id)
    return Place(
        deployment=wanted.id.name,
        subscription_id=subscription.id,
        group=group.name if group else "",
        location=wanted.location,
        mode=wanted.mode,
        subscription={
            "id": f"/subscriptions/{subscription.id}",
            "subscriptionId": subscription.id,
            "tenantId": subscription.tenant_id,
            "displayName": subscription.name,
        },
        resource_group=None
        if group is None
        else {
            "id": group.id,
            "name": group.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": group.location,
            "tags": dict(group.tags or {}),
            "properties": {"provisioningState": "Succeeded"},
        },
        tenant={
            "tenantId": subscription.tenant_id,
            "id": f"/tenants/{subscription.tenant_id}",
            "countryCode": "US",
            "displayName": tenant.display_name if tenant else "",
        },
        environment=_environment(),
        deployer={"objectId": principal.object_id, "tenantId": principal.tenant_id, "userPrincipalName": ""},
    )


def _environment() -> dict[str, Any]:
    cloud = clouds.PUBLIC
    return {
        "name": "AzureCloud",
        "gallery": "https://gallery.azure.com/",
        "graph": "https://graph.windows.net/",
        "portal": "https://portal.azure.com",
        "graphAudience": "https://graph.windows.net/",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "batch": "https://batch.core.windows.net/",
        "media": "https://rest.media.azure.net",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "resourceManager": cloud.resource_manager,
        "authentication": {
            "loginEndpoint": cloud.authority_host,
            "audiences": ["https://management.core.windows.net/", cloud.resource_manager],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {
            "acrLoginServer": ".azurecr.io",
            "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
            "keyvaultDns": f".{cloud.key_vault_suffix}",
            "sqlServerHostname": ".database.windows.net",
            "storage": "core.windows.net",
        },
    }


def _literal(value: Any) -> Any:
    """A JSON value in which every text is written so that it stands for itself."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return {_literal(name): _literal(one) for name, one in value.items()} if isinstance(value, dict) else value


def _without_nulls(value: Any) -> Any:
    """Members without a value are left out, which is what they mean to the services that get them."""
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
