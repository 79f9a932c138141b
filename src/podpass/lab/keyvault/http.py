"""Key Vault's data plane over HTTP: the vault by its host name, the caller, the decision, the call.

Contract: secrets store, sections 3.1, 3.2 and 3.6.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from podpass.azure import clouds
from podpass.lab.arm import Allowed, Arm, Denied, Vault
from podpass.lab.arm.principals import described, facts
from podpass.lab.clock import Clock
from podpass.lab.doors import own
from podpass.lab.entra.access import AccessTokens, Caller
from podpass.lab.faults import Faults
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.calls import Call, Input, Result
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.model import Decision, DeniedByPolicy, decide_by_policy, network_refusal
from podpass.lab.keyvault.operations import KeyOperation, Operation
from podpass.lab.keyvault.refusals import forbidden, outside_network, token_refusal
from podpass.lab.keyvault.routes import Routed, call_of
from podpass.lab.keyvault.throttling import Throttle
from podpass.lab.store import NotStored
from podpass.serving.asgi import App, Request, Response, answering, json_response

MAX_BODY = 4 * 1024 * 1024
"""Large enough for the backup of a secret with many versions."""

APPLICATION_ID = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"
"""Key Vault's own client id, which v2 tokens carry as their audience."""

_API_VERSION = re.compile(
    r"2015-06-01|2016-10-01|7\.[0-6](?:[-.]preview(?:\.\d)?)?|202[5-9]-\d{2}-\d{2}(?:-preview(?:\.\d)?)?"
)
_SERVICE_VERSION = "1.9.2089.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where vaults and their login service are reached: under Azure's names, and on this machine under its own."""

    authority: str = clouds.PUBLIC.authority
    suffixes: tuple[str, ...] = (clouds.PUBLIC.key_vault_suffix, own.VAULTS)
    """What follows a vault's name in its host name."""

    def authority_for(self, host: str) -> str:
        """The login service of a client that reached a vault as *host*, which may have a port."""
        suffix, colon, port = host.lower().partition(".")[2].partition(":")
        return f"https://{own.HOST}{colon}{port}" if suffix == own.VAULTS else self.authority


PUBLIC = Endpoint()


class Service(Routed, Protocol):
    """What answers some of the calls on vaults, and does what falls due by itself."""

    async def settle(self, vault: Vault) -> None: ...

    async def run(self, call: Call, given: Input) -> Result: ...


class KeyVaultHttp:
    """Answers for every vault of the lab."""

    def __init__(
        self,
        services: Sequence[Service],
        arm: Arm,
        access_tokens: AccessTokens,
        journal: Journal,
        clock: Clock,
        endpoint: Endpoint = PUBLIC,
        *,
        faults: Faults | None = None,
    ) -> None:
        self._services = services
        self._clock, self._faults, self._throttle = clock, faults or Faults(), Throttle()
        self._arm = arm
        self._access_tokens = access_tokens
        self._journal = journal
        self._endpoint = endpoint
        self.app: App = answering(self._handle, max_body=MAX_BODY, too_large=self._too_large, broken=self._broken)

    def _broken(self, request: Request, error: Exception) -> Response | None:
        return _rendered(request, errors.not_stored(str(error))) if isinstance(error, NotStored) else None

    async def _handle(self, request: Request) -> Response:
        name = vault_name(request.host, self._endpoint.suffixes)
        vault = self._arm.vault(name) if name else None
        if vault is None:
            error = errors.vault_not_found(request.host)
            self._record("unknown caller", f"{request.method} {request.path}", "refused", error.message, error=error)
            return _rendered(request, error)
        caller = self._authenticate(request, vault)
        if isinstance(caller, KeyVaultError):
            return _rendered(request, caller, vault)
        try:
            return await self._answered(request, vault, caller)
        except KeyVaultError as error:
            return _rendered(request, error, vault)

    async def _answered(self, request: Request, vault: Vault, caller: Caller) -> Response:
        who = described(self._arm.directory, caller)
        known = {**facts(caller), "principal": who, "vault": vault.name}
        what = f"{request.method} {request.path}"
        try:
            if inner := network_refusal(vault, request.peer):
                raise outside_network(inner, vault, request.peer or "an unknown address")
            place, call = call_of(self._services, request.method, request.path)
            limit = self._faults.vault_calls_per_10_seconds
            if wait := self._throttle.refuse(vault.name, call.operation, limit=limit, now=self._clock.now()):
                raise errors.throttled(wait)
        except KeyVaultError as error:
            outcome: Outcome = "noted" if error.status == 501 else "refused"
            self._record(who, what, outcome, error.message, known, error)
            raise
        what = f"{call.operation.title} {call.name}".rstrip()
        known = {**known, call.operation.object_type.singular: call.name, "permission": call.operation.permission}
        decision = self._decide(vault, caller, call)
        if isinstance(decision, Denied | DeniedByPolicy):
            refusal = forbidden(decision, vault, caller)
            self._record(who, what, "refused", decision.why, {**known, **decision.to_dict()}, refusal)
            raise refusal
        try:
            version = _api_version(request)
            given = Input(
                vault=vault, origin=_origin(request), query=request.query, api_version=version, body=request.body
            )
            for one in self._services:
                await one.settle(vault)
            result = await self._services[place].run(call, given)
        except KeyVaultError as error:
            self._record(who, what, "refused", error.message, {**known, **decision.to_dict()}, error)
            raise
        if result.moved is not None:
            known |= {"version": result.moved.version, "value": result.moved.value.fingerprint}
        self._record(who, what, "granted", decision.why, {**known, **decision.to_dict()})
        headers = _headers(request, vault, decision.assignment.id if isinstance(decision, Allowed) else "")
        if result.document is None:
            return Response(204, b"", headers)
        return json_response(result.status, result.document, headers)

    def _authenticate(self, request: Request, vault: Vault) -> Caller | KeyVaultError:
        resource = _resource(request.host)
        audiences = (*(f"https://{suffix}" for suffix in self._endpoint.suffixes), resource, APPLICATION_ID)
        found = self._access_tokens.authenticate(
            request.headers.get("authorization"), audiences=audiences, tenant_id=vault.tenant_id
        )
        if isinstance(found, Caller):
            return found
        authority = self._endpoint.authority_for(request.host)
        challenge = f'Bearer authorization="{authority}/{vault.tenant_id}", resource="{resource}"'
        if found.claims:
            # Without a resource: the client knows it, and Node's would try the token it has once more.
            challenge = f'Bearer realm="", authorization_uri="{authority}/{vault.tenant_id}"{found.challenge}'
        error = errors.unauthorized(token_refusal(found, resource), challenge)
        what = f"{request.method} {request.path}"
        if found.code == "missing":
            why = f"no token yet: the client was told to fetch one for {resource}"
            self._record("client without a token", what, "noted", why, {"vault": vault.name}, error)
            return error
        error.problem = "PP217" if found.claims else "PP306"
        error.values = {
            **({} if found.caller is None else facts(found.caller)),
            "service": f"The vault {vault.name}",
            "why": found.message,
            "refusal": found.code,
            "expected": found.expected,
            "found": found.found,
            "tenant_id": vault.tenant_id,
            "token_scope": f"{resource}/.default",
        }
        who = "unknown caller" if found.caller is None else described(self._arm.directory, found.caller)
        outcome: Outcome = "noted" if found.claims else "refused"
        self._record(who, what, outcome, found.message, {"vault": vault.name}, error)
        return error

    def _decide(self, vault: Vault, caller: Caller, call: Call) -> Decision:
        if not vault.is_rbac:
            return decide_by_policy(
                vault, object_id=caller.object_id, client_id=caller.client_id, operation=call.operation
            )
        decision = self._decide_by_role(vault, caller, call, call.operation)
        if isinstance(decision, Denied) and call.operation.is_public:
            # Who may read a key has its public half, and could do this without the vault.
            reading = self._decide_by_role(vault, caller, call, KeyOperation.GET)
            return reading if isinstance(reading, Allowed) else decision
        return decision

    def _decide_by_role(self, vault: Vault, caller: Caller, call: Call, operation: Operation) -> Allowed | Denied:
        return self._arm.decide(
            principal_id=caller.object_id,
            action=operation.action,
            scope=_scope(vault, call),
            is_data_action=True,
        )

    def _record(
        self,
        who: str,
        what: str,
        outcome: Outcome,
        why: str,
        decision: Mapping[str, Any] | None = None,
        error: KeyVaultError | None = None,
    ) -> None:
        self._journal.record(
            Hop(
                who=who,
                whom="keyvault",
                what=what,
                outcome=outcome,
                why=why,
                decision={**(decision or {}), **(error.values if error else {})},
                wire=error.wire if error else "",
                problem=error.problem if error else "",
            )
        )

    def _too_large(self, request: Request) -> Response:
        return _rendered(request, errors.too_large(MAX_BODY))


def vault_name(host: str, suffixes: tuple[str, ...]) -> str:
    """The vault that a Host header names; empty when it names none."""
    label, _, rest = host.lower().partition(".")
    return label if label and rest.partition(":")[0] in suffixes else ""


def _resource(host: str) -> str:
    """What tokens for a vault are for: its host without the vault's name, port included, as clients verify."""
    return f"https://{host.lower().partition('.')[2].removesuffix(':443')}"


def _origin(request: Request) -> str:
    return f"https://{request.host.removesuffix(':443')}"


def _scope(vault: Vault, call: Call) -> str:
    return (
        f"{vault.id}/{call.operation.object_type.plural}/{call.name}"
        if call.name and call.operation.on_object
        else vault.id
    )


def _api_version(request: Request) -> str:
    version = next((value for name, value in request.query_list if name.lower() == "api-version"), "")
    if not version:
        raise errors.api_version_missing()
    if _API_VERSION.fullmatch(version) is None:
        raise errors.api_version_unknown(version)
    return version


def _rendered(request: Request, error: KeyVaultError, vault: Vault | None = None) -> Response:
    return json_response(error.status, error.to_dict(), (*_headers(request, vault), *error.headers))


def _headers(request: Request, vault: Vault | None, assignment: str = "") -> tuple[tuple[str, str], ...]:
    headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
        ("Expires", "-1"),
        ("x-ms-keyvault-region", vault.location if vault else ""),
        ("x-ms-request-id", str(uuid.uuid4())),
        ("x-ms-keyvault-service-version", _SERVICE_VERSION),
        (
            "x-ms-keyvault-network-info",
            f"conn_type=Ipv4;addr={request.peer or '127.0.0.1'};act_addr_fam=InterNetwork;",
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Strict-Transport-Security", "max-age=31536000;includeSubDomains"),
    ]
    client_id = request.headers.get("x-ms-client-request-id", "")
    if client_id and client_id.isascii() and client_id.isprintable():
        headers.append(("x-ms-client-request-id", client_id[:128]))
    if assignment:
        headers.append(("x-ms-keyvault-rbac-assignment-id", assignment.rpartition("/")[2].replace("-", "")))
        headers.append(("x-ms-keyvault-rbac-cache", "ra_age=0;da_age=0;rd_age=0;brd_age=0;ra_notif_age=0;dec_lev=0;"))
    return tuple(headers)


__all__ = ["PUBLIC", "Endpoint", "KeyVaultHttp", "vault_name"]
