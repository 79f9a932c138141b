"""The operator of the demonstration: does at the cloud's and the cluster's APIs what a person would type.

It signs in as a person's automation would, without a secret: the lab's operator is an application that trusts the
service account podpass-system/operator.
"""

import os
import secrets
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from podpass.azure.clouds import PUBLIC
from podpass.kube import config
from podpass.kube.client import ApiError, Client
from podpass.kube.resources import NAMESPACES, PODS, SERVICEACCOUNTS
from podpass.lab.demo.plan import AUDIENCE, READER_ROLE, Plan, namespace_object, pod_object, service_account_object
from podpass.lab.environment import Endpoints, LabPaths
from podpass.lab.operator import OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT
from podpass.oauth.grants import CLIENT_ASSERTION_JWT
from podpass.problems import PodpassError
from podpass.telemetry.redaction import fingerprint
from podpass.tokens.jwt import decode

ARM = "https://management.azure.com"
VAULT_RESOURCE = "https://vault.azure.net"
OFFICER_ROLE = "Key Vault Secrets Officer"


@dataclass(frozen=True, slots=True)
class Identity:
    client_id: str
    principal_id: str
    id: str


@dataclass(slots=True)
class Operator:
    """Calls the clouds through the lab's forward proxy and the cluster through its kubeconfig."""

    endpoints: Endpoints
    kube: Client
    session: aiohttp.ClientSession
    tls: ssl.SSLContext
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)

    async def set_up_cloud(self, plan: Plan) -> tuple[Identity, str]:
        """Group, identity, federated credential, vault, secret, roles. Returns the identity and the secret's
        fingerprint. May be repeated: everything is a PUT of the wanted state."""
        group = f"/subscriptions/{self.endpoints.subscription_id}/resourceGroups/{plan.group}"
        await self.arm("PUT", group, "2024-11-01", {"location": plan.location})
        path = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{plan.identity}"
        made = await self.arm("PUT", path, "2024-11-30", {"location": plan.location})
        identity = Identity(made["properties"]["clientId"], made["properties"]["principalId"], made["id"])
        await self.trust(plan, identity)
        vault = f"{group}/providers/Microsoft.KeyVault/vaults/{plan.vault}"
        sku = {"family": "A", "name": "standard"}
        properties = {"tenantId": self.endpoints.tenant_id, "sku": sku, "enableRbacAuthorization": True}
        await self.arm("PUT", vault, "2026-02-01", {"location": plan.location, "properties": properties})
        operator_id = await self._operator_object_id()
        await self.assign(vault, OFFICER_ROLE, operator_id)
        value = secrets.token_urlsafe(24)
        await self.vault("PUT", f"{plan.vault_url}/secrets/{plan.secret}", {"value": value})
        if plan.may_read:
            await self.assign(vault, READER_ROLE, identity.principal_id)
        return identity, fingerprint(value)

    async def trust(self, plan: Plan, identity: Identity) -> None:
        """Write the plan's federated credential onto the identity."""
        properties = {"issuer": plan.issuer, "subject": plan.subject, "audiences": [plan.audience]}
        path = f"{identity.id}/federatedIdentityCredentials/{plan.credential}"
        await self.arm("PUT", path, "2024-11-30", {"properties": properties})

    async def assign(self, scope: str, role: str, principal_id: str) -> None:
        """Give the principal a role at the scope; that it has it already is success."""
        # The same assignment gets the same name, so that repeating a set-up changes nothing.
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{role}|{principal_id}".lower())
        properties = {
            "roleDefinitionId": await self._role_definition(role),
            "principalId": principal_id,
            "principalType": "ServicePrincipal",
        }
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        await self.arm("PUT", path, "2022-04-01", {"properties": properties})

    async def _role_definition(self, role: str) -> str:
        path = f"/subscriptions/{self.endpoints.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
        listed = await self._call("GET", f"{ARM}{path}?$filter=roleName eq '{role}'&api-version=2022-04-01", ARM, None)
        return str(listed["value"][0]["id"])

    async def set_up_cluster(self, plan: Plan, identity: Identity) -> None:
        """Namespace and annotated service account."""
        await self._create_or_keep(NAMESPACES, namespace_object(plan), None)
        await self._create_or_keep(SERVICEACCOUNTS, service_account_object(plan, identity.client_id), plan.namespace)

    async def start_pod(self, plan: Plan, program: str) -> None:
        await self.kube.create(PODS, pod_object(plan, program), plan.namespace)

    async def log(self, plan: Plan) -> str:
        answer = await self.kube.read(f"{PODS.path(plan.namespace, plan.pod)}/log", {"container": "app"})
        return answer.body.decode(errors="replace")

    async def delete_pod(self, plan: Plan) -> None:
        """Delete the pod and return when it is gone."""
        await self.kube.delete(PODS, plan.pod, plan.namespace, grace_period_seconds=0)
        await self._pod_until(plan, lambda pod: pod is None)

    async def finished(self, plan: Plan) -> dict[str, Any]:
        """The pod once it has ended, well or badly."""
        pod = await self._pod_until(plan, lambda pod: pod is not None and _ended(pod))
        assert pod is not None
        return pod

    async def _pod_until(self, plan: Plan, accept: Callable[[dict[str, Any] | None], bool]) -> dict[str, Any] | None:
        """The pod's state, None for absent, as soon as *accept* takes it. A watch that ends is begun anew."""
        only = f"metadata.name={plan.pod}"
        while True:
            listing = await self.kube.list(PODS, plan.namespace, field_selector=only)
            state: dict[str, Any] | None = listing.items[0] if listing.items else None
            if accept(state):
                return state
            changes = self.kube.watch(
                PODS, plan.namespace, resource_version=listing.resource_version, field_selector=only
            )
            async with aclosing(changes):
                async for change in changes:
                    if change.type == "BOOKMARK":
                        continue
                    state = None if change.type == "DELETED" else change.object
                    if accept(state):
                        return state

    async def _create_or_keep(self, resource: Any, wanted: dict[str, Any], namespace: str | None) -> None:
        try:
            await self.kube.create(resource, wanted, namespace)
        except ApiError as error:
            if not error.already_exists:
                raise

    async def _operator_object_id(self) -> str:
        return str(decode(await self._token(ARM)).claims["oid"])

    async def arm(self, method: str, path: str, version: str, body: object = None) -> dict[str, Any]:
        return await self._call(method, f"{ARM}{path}?api-version={version}", ARM, body)

    async def vault(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        return await self._call(method, f"{url}?api-version=7.4", VAULT_RESOURCE, body)

    async def _call(self, method: str, url: str, resource: str, body: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {await self._token(resource)}"}
        async with self.session.request(
            method, url, json=body, headers=headers, proxy=self.endpoints.proxy, ssl=self.tls
        ) as answer:
            content: dict[str, Any] = await answer.json(content_type=None) if answer.status != 204 else {}
            if answer.status >= 400:
                error = content.get("error", {})
                reason = f"{method} {url}: {answer.status} {error.get('code')}: {error.get('message')}"
                raise PodpassError("PP110", "the lab refused the set-up", reason=reason, name="")
            return content

    async def _token(self, resource: str) -> str:
        """An access token for *resource*, by the operator's service-account token: no secret anywhere."""
        if kept := self._tokens.get(resource):
            return kept
        requested = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": 3600},
        }
        review = await self.kube.create_subresource(
            SERVICEACCOUNTS, OPERATOR_SERVICE_ACCOUNT, "token", requested, OPERATOR_NAMESPACE
        )
        form = {
            "grant_type": "client_credentials",
            "client_id": self.endpoints.operator_client_id,
            "client_assertion_type": CLIENT_ASSERTION_JWT,
            "client_assertion": review["status"]["token"],
            "scope": f"{resource}/.default",
        }
        url = f"{PUBLIC.authority}/{self.endpoints.tenant_id}/oauth2/v2.0/token"
        async with self.session.post(url, data=form, proxy=self.endpoints.proxy, ssl=self.tls) as answer:
            content = await answer.json(content_type=None)
            if answer.status != 200:
                reason = content.get("error_description", str(answer.status))
                raise PodpassError("PP110", "the operator could not sign in", reason=reason, name="")
        self._tokens[resource] = content["access_token"]
        return self._tokens[resource]


def _ended(pod: dict[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


@asynccontextmanager
async def operating(endpoints: Endpoints, paths: LabPaths) -> AsyncIterator[Operator]:
    """The operator of the lab that answers at *endpoints*."""
    tls = ssl.create_default_context(cafile=str(paths.ca_certificate))
    access = config.from_kubeconfig([Path(path) for path in endpoints.kubeconfig.split(os.pathsep)])
    async with Client(access) as kube, aiohttp.ClientSession(trust_env=False) as session:
        yield Operator(endpoints, kube, session, tls)
