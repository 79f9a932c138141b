"""How a token request of a client by itself is decided.

Three steps, each a function of values: `consider` reads the request and matches the assertion against federated
credentials, the caller then fetches the issuer's keys (the one step that waits), `conclude` checks the signature, the
time and the resource. A client with a secret or a certificate of its own needs the first step and `grant`. What comes
back is a Grant, or a Refusal that knows the code, the values compared and the credential that came closest.
Contract: azure workload identity, sections 5.1 to 5.7.
"""

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from podpass.azure import clouds
from podpass.lab.entra.access import v1_issuer, v2_issuer
from podpass.lab.entra.claims_requests import capabilities
from podpass.lab.entra.client_credentials import (
    ClientCertificate,
    ClientSecret,
    NotProven,
    Platform,
    check_certificate,
    check_secret,
)
from podpass.lab.entra.directory import Application, Tenant
from podpass.lab.entra.documents import COMMON
from podpass.lab.entra.identity_assertions import NotTrusted, trusted
from podpass.lab.entra.resources import is_known, known_resources, resource_of_scope, v2_audience
from podpass.oauth import grants
from podpass.tokens import claims as read
from podpass.tokens import federation, jwt
from podpass.tokens.client import DiscoveryFailed
from podpass.tokens.discovery import unfederatable
from podpass.tokens.federation import FederatedCredential, Match, NearMiss
from podpass.tokens.keys import JwkSet

APPLICATION_SECONDS = 3599
MANAGED_IDENTITY_SECONDS = 86399

_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+"
)
_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ZERO_GUID = str(uuid.UUID(int=0))


class Lookup(Protocol):
    """What deciding needs to know of the directory."""

    def tenant(self, name_or_guid: str) -> Tenant | None: ...
    def application(self, tenant_id: str, client_id: str) -> Application | None: ...
    def application_by_object_id(self, tenant_id: str, object_id: str) -> Application | None: ...
    def application_for_resource(self, tenant_id: str, resource: str) -> Application | None: ...
    def secrets(self, tenant_id: str, client_id: str) -> tuple[ClientSecret, ...]: ...
    def certificates(self, tenant_id: str, client_id: str) -> tuple[ClientCertificate, ...]: ...
    def revoked(self, tenant_id: str, object_id: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What an authority accepts."""

    authority: str = clouds.PUBLIC.authority
    """Without a slash at the end."""
    algorithms: frozenset[str] = jwt.RS256
    """Of client assertions. The vendor supports RS256; the ES algorithms are an option."""
    resources: frozenset[str] = field(default_factory=known_resources)
    leeway_seconds: float = jwt.LEEWAY_SECONDS
    longest_assertion_seconds: float | None = None
    """The lifetime above which assertions are refused; the vendor's own figure is not published."""


class Asked(msgspec.Struct, frozen=True):
    """A token request, as far as it has been understood.

    A struct because each step of understanding replaces members, and a dataclass is slow at that.
    """

    tenant: str
    """As in the path; the GUID once the tenant is found."""
    version: int = 2
    client_id: str = ""
    scope: str = ""
    """As sent: the v2.0 scope, or the v1 resource."""
    resource: str = ""
    capabilities: tuple[str, ...] = ()
    """Of the client, as it says."""
    application: Application | None = None
    token: jwt.Token | None = None
    match: Match | NearMiss | None = None

    @property
    def claims(self) -> Mapping[str, Any]:
        return {} if self.token is None else self.token.claims

    @property
    def name(self) -> str:
        return "" if self.application is None else self.application.display_name

    def refused(self, code: int, **values: str) -> "Refusal":
        return Refusal(code, {"tenant": self.tenant, "client_id": self.client_id, "name": self.name, **values}, self)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no token is issued: the AADSTS code and the values its text quotes."""

    code: int
    values: Mapping[str, str]
    asked: Asked

    @property
    def near_miss(self) -> NearMiss | None:
        return self.asked.match if isinstance(self.asked.match, NearMiss) else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request whose assertion a federated credential trusts, if its issuer signed it."""

    asked: Asked
    application: Application
    token: jwt.Token
    credential: FederatedCredential
    own: bool = False
    """Whether this authority issued the assertion, so that the keys are its own."""

    @property
    def issuer(self) -> str:
        return read.issuer(self.token.claims)


Credential = FederatedCredential | ClientSecret | ClientCertificate | Platform


@dataclass(frozen=True, slots=True)
class Proven:
    """A request whose client has proven who it is, by *credential*."""

    asked: Asked
    application: Application
    credential: Credential


@dataclass(frozen=True, slots=True)
class Grant:
    """An access token to issue. *audience* and *version* are the resource's."""

    asked: Asked
    application: Application
    credential: Credential
    audience: str
    version: int
    expires_in: int
    not_before: int = 0
    """When the client's tokens were revoked, in seconds since the epoch: this one is none of those."""

    @property
    def refresh_in(self) -> int | None:
        """When clients should renew a long-lived token, in seconds."""
        return self.expires_in // 2 if self.expires_in >= 7200 else None


class Credentials(Protocol):
    """The federated credentials of an application as the token endpoint sees them now."""

    def __call__(self, tenant_id: str, client_id: str) -> tuple[FederatedCredential, ...]: ...


def consider(
    tenant_name: str,
    form: Mapping[str, str],
    *,
    version: int,
    directory: Lookup,
    credentials: Credentials,
    now: float,
    rules: Rules,
    base: str = "",
) -> Candidate | Proven | Refusal:
    """Everything that is checked before the issuer's keys are needed, in the real service's order.

    A client with a secret or a certificate of its own needs none, and is Proven. *base* is the address by which the
    client came, where that is not the authority's own.
    """
    asked = _tenant(Asked(tenant_name, version), form, directory)
    if isinstance(asked, Refusal):
        return asked
    asked = _resource(asked, form)
    if isinstance(asked, Refusal):
        return asked
    client_id = asked.client_id
    if client_id == _ZERO_GUID:
        return asked.refused(700038)
    application = directory.application(asked.tenant, client_id)
    if application is None:
        return asked.refused(700016)
    asked = replace(asked, application=application)
    if not application.enabled:
        return asked.refused(7000112)
    if not application.object_id:
        return asked.refused(7000229)
    if (refusal := _credential_of_client(asked, form)) is not None:
        return refusal
    if "client_assertion" not in form:
        secrets = directory.secrets(asked.tenant, client_id)
        return _proven(asked, application, check_secret(form["client_secret"], secrets, now=now))
    try:
        token = asked.token or jwt.decode(form["client_assertion"])
    except jwt.Malformed as error:
        return asked.refused(50027, reason=error.reason[:1].upper() + error.reason[1:])
    if read.issuer(token.claims).lower() == client_id:
        endpoints = _endpoints((rules.authority, base), (asked.tenant, tenant_name))
        return _by_certificate(asked, token, application, directory, endpoints, now, rules)
    return _trusted(asked, token, application, credentials, directory, rules)


def conclude(
    candidate: Candidate, keys: JwkSet | DiscoveryFailed, *, directory: Lookup, now: float, rules: Rules
) -> Grant | Refusal:
    """What is checked once the issuer's keys are there, or could not be had."""
    asked, claims, issuer = candidate.asked, candidate.token.claims, candidate.issuer
    if isinstance(keys, DiscoveryFailed):
        if keys.missing:
            return asked.refused(70024, field=keys.missing, issuer=issuer)
        return asked.refused(50166, step=keys.step, issuer=issuer, reason=keys.reason)
    try:
        jwt.verify_signature(candidate.token, keys, algorithms=rules.algorithms)
    except jwt.UnknownKey as error:
        return asked.refused(7000272, kid=error.kid or "(none)", issuer=issuer)
    except jwt.AlgorithmNotAllowed as error:
        return asked.refused(5002730, algorithm=error.algorithm)
    except jwt.BadSignature as error:
        reason = f"The key {error.kid} of the issuer {issuer} did not make this signature"
        return asked.refused(700027, reason=reason, kid=error.kid, issuer=issuer)
    if (refusal := _outside_its_time(asked, candidate.token, now, rules)) is not None:
        return refusal
    longest = rules.longest_assertion_seconds
    if longest is not None and (read.lifetime_seconds(claims) or 0.0) > longest:
        return asked.refused(70023, maximum=f"{longest:g} seconds")
    return grant(Proven(asked, candidate.application, candidate.credential), directory=directory, rules=rules)


def grant(proven: Proven, *, directory: Lookup, rules: Rules) -> Grant | Refusal:
    """What the client gets that has proven who it is, or why there is no such resource."""
    asked, application = proven.asked, proven.application
    lifetime = MANAGED_IDENTITY_SECONDS if application.kind == "managed-identity" else APPLICATION_SECONDS
    audience, version = asked.resource, 1
    if (service := v2_audience(asked.resource)) is not None:
        audience, version = service, 2
    elif not is_known(asked.resource, rules.resources):
        offered = directory.application_for_resource(asked.tenant, asked.resource)
        if offered is None or not offered.object_id:
            return asked.refused(500011, resource=asked.resource)
        if offered.token_version == 2:
            audience, version = offered.client_id, 2
    revoked = directory.revoked(application.tenant_id, application.object_id)
    return Grant(asked, application, proven.credential, audience, version, lifetime, revoked)


def of_identity(application: Application, resource: str) -> Proven:
    """The request of a managed identity that the platform vouches for, for a token for *resource*."""
    asked = Asked(application.tenant_id, 1, application.client_id, resource, resource, application=application)
    return Proven(asked, application, Platform())


def peek(form: Mapping[str, str]) -> jwt.Token | None:
    """The assertion, unverified, for telling whose request it is; None when it can't be read."""
    try:
        return jwt.decode(form.get("client_assertion", ""))
    except jwt.Malformed:
        return None


def find_tenant(name: str, directory: Lookup) -> Tenant | int:
    """The tenant of this GUID or domain, or the code that says why there is none."""
    if name == _ZERO_GUID:
        return 900021
    if not _GUID.fullmatch(name) and not _DOMAIN.fullmatch(name):
        return 900023
    return directory.tenant(name) or 90002


def _tenant(asked: Asked, form: Mapping[str, str], directory: Lookup) -> Asked | Refusal:
    # Told even to those who are refused: the journal names the client.
    asked = replace(asked, client_id=form.get("client_id", "").lower(), token=peek(form))
    if asked.tenant.lower() in COMMON:
        if form.get("grant_type") == grants.CLIENT_CREDENTIALS:
            return asked.refused(900191)
        return asked.refused(70003, grant=form.get("grant_type", ""))
    tenant = find_tenant(asked.tenant, directory)
    if isinstance(tenant, int):
        return asked.refused(tenant)
    asked = replace(asked, tenant=tenant.tenant_id)
    if "grant_type" not in form:
        return asked.refused(900144, parameter="grant_type")
    if form["grant_type"] != grants.CLIENT_CREDENTIALS:
        return asked.refused(70003, grant=form["grant_type"])
    if "client_id" not in form:
        return asked.refused(900144, parameter="client_id")
    return asked


def _resource(asked: Asked, form: Mapping[str, str]) -> Asked | Refusal:
    parameter = "scope" if asked.version == 2 else "resource"
    if asked.version == 2 and "resource" in form:
        return asked.refused(901002)
    if parameter not in form:
        return asked.refused(900144, parameter=parameter)
    scope = form[parameter]
    resource = resource_of_scope(scope) if asked.version == 2 else scope
    if isinstance(resource, tuple):
        code, reason = resource
        return replace(asked, scope=scope).refused(code, scope=scope, reason=reason)
    named: tuple[str, ...] | None = ()
    if "claims" in form and (named := capabilities(form["claims"])) is None:
        return asked.refused(9002313, reason="The claims parameter can't be read.")
    return replace(asked, scope=scope, resource=resource, capabilities=named)


def _credential_of_client(asked: Asked, form: Mapping[str, str]) -> Refusal | None:
    assertion, kind = "client_assertion" in form, form.get("client_assertion_type")
    if not assertion and kind is None:
        return None if "client_secret" in form else asked.refused(7000216)
    if not assertion or kind is None:
        return asked.refused(7000218)
    if kind != grants.CLIENT_ASSERTION_JWT:
        return asked.refused(90013, reason=f"The client_assertion_type '{kind}' is not known.")
    return None


def _proven(
    asked: Asked, application: Application, found: ClientSecret | ClientCertificate | NotProven
) -> Proven | Refusal:
    if isinstance(found, NotProven):
        return asked.refused(found.code, reason=found.reason, kid=found.kid)
    return Proven(asked, application, found)


def _by_certificate(
    asked: Asked,
    token: jwt.Token,
    application: Application,
    directory: Lookup,
    endpoints: Collection[str],
    now: float,
    rules: Rules,
) -> Proven | Refusal:
    """An assertion that the application made of itself."""
    certificates = directory.certificates(asked.tenant, asked.client_id)
    found = check_certificate(token, certificates, client_id=asked.client_id, audiences=endpoints, now=now)
    if isinstance(found, NotProven) and found.code == 5002730:
        return asked.refused(5002730, algorithm=token.algorithm)
    if isinstance(found, ClientCertificate) and (refusal := _outside_its_time(asked, token, now, rules)) is not None:
        return refusal
    return _proven(asked, application, found)


def _endpoints(bases: Collection[str], tenants: Collection[str]) -> frozenset[str]:
    """What an assertion may name as its audience: every spelling of the token endpoint, and the issuer."""
    pages = ("oauth2/v2.0/token", "oauth2/token", "v2.0")
    return frozenset(f"{base}/{tenant}/{page}" for base in bases if base for tenant in tenants for page in pages)


def _outside_its_time(asked: Asked, token: jwt.Token, now: float, rules: Rules) -> Refusal | None:
    problem = jwt.check_times(token.claims, now=now, leeway_seconds=rules.leeway_seconds)
    if problem is None:
        return None
    times = {"valid_from": _moment(problem.valid_from), "expires": _moment(problem.expires)}
    return asked.refused(700024, current_time=_moment(now), kind=problem.kind, **times)


def _trusted(
    asked: Asked,
    token: jwt.Token,
    application: Application,
    credentials: Credentials,
    directory: Lookup,
    rules: Rules,
) -> Candidate | Refusal:
    if token.algorithm not in rules.algorithms:
        return asked.refused(5002730, algorithm=token.algorithm)
    claims = token.claims
    issuer = read.issuer(claims)
    offered = credentials(application.tenant_id, application.client_id)
    if _is_own_token(claims, issuer, rules.authority):
        holder = directory.application_by_object_id(read.text(claims, "tid"), read.text(claims, "oid"))
        found = trusted(claims, holder, application, offered)
        if isinstance(found, NotTrusted):
            wanted = v2_issuer(rules.authority, read.text(claims, "tid"))
            asked = replace(asked, match=found.near)
            return asked.refused(found.code, subject=read.subject(claims), issuer=wanted)
        return Candidate(replace(asked, match=found), application, token, found.credential, own=True)
    match = federation.match(claims, offered)
    asked = replace(asked, match=match)
    if match is None:
        return asked.refused(70025)
    if isinstance(match, NearMiss):
        return _mismatch(asked, match)
    if reason := unfederatable(issuer):
        return asked.refused(70022, issuer=issuer, reason=reason)
    return Candidate(asked, application, token, match.credential)


def _mismatch(asked: Asked, near: NearMiss) -> Refusal:
    claims = asked.claims
    match near.deciding.claim:
        case "issuer":
            return asked.refused(700211, issuer=read.issuer(claims))
        case "audience":
            return asked.refused(700212, audience=" ".join(read.audiences(claims)))
        case "subject":
            only_case = near.deciding.kind == "letter-case"
            return asked.refused(7002138 if only_case else 700213, subject=read.subject(claims))
        case "expression":
            return asked.refused(7002131, subject=read.subject(claims))


def _is_own_token(claims: Mapping[str, Any], issuer: str, authority: str) -> bool:
    tenant_id = read.text(claims, "tid")
    return bool(tenant_id) and issuer in (v1_issuer(tenant_id), v2_issuer(authority, tenant_id))


def _moment(seconds: float | None) -> str:
    """A time with seven decimals, as these errors write it."""
    if seconds is None:
        return "(none)"
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
