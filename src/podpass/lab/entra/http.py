"""The authority's routes: parse, decide, render.

The token endpoint is a hot path: it goes straight from the path to the decision. Contract: azure workload identity,
sections 5.1, 5.2, 5.4 and 5.5; azure HTTP surface, section 2.
"""

import functools
import os
import re
import uuid
from typing import Protocol

import msgspec

from podpass.lab.call_windows import CallWindows
from podpass.lab.clock import Clock
from podpass.lab.entra import documents, errors, findings, issuing, model
from podpass.lab.entra.directory import Directory
from podpass.lab.entra.propagation import MISSES, Delays, SeenCredentials
from podpass.lab.entra.signing import SigningKeys
from podpass.lab.journal import Hop, Journal, current_trace, tracing
from podpass.oauth import forms
from podpass.oauth.basic import client_of_header
from podpass.oauth.responses import NO_STORE
from podpass.serving.asgi import App, Request, Response, answering, json_response
from podpass.telemetry.redaction import fingerprint
from podpass.tokens import jwt
from podpass.tokens.client import DiscoveryFailed, Fetch, KeyFetcher
from podpass.tokens.discovery import discovery_url
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import JwkSet

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?")
_CACHED = (("Cache-Control", "max-age=86400, private"), errors.JSON_UTF8)
TOKEN_PATHS = {"/oauth2/v2.0/token": 2, "/oauth2/token": 1}
INSTANCE = "/discovery/instance"
"""Below `common` only."""
PAGES = (
    "/v2.0/.well-known/openid-configuration",
    "/.well-known/openid-configuration",
    "/discovery/v2.0/keys",
    "/discovery/keys",
)
_NOT_EMULATED = (
    "/oauth2/v2.0/authorize",
    "/oauth2/authorize",
    "/oauth2/v2.0/devicecode",
    "/oauth2/devicecode",
    "/oauth2/v2.0/logout",
    "/oauth2/logout",
    "/openid/userinfo",
    "/kerberos",
)


class Faults(Delays, Protocol):
    """What the lab can be told to get wrong; looked at for each request."""

    issuer_unreachable: bool
    authority_unavailable: bool
    tokens_per_10_seconds: float


class EntraHttp:
    """Requests in, answers out; every decision goes into the journal."""

    def __init__(
        self,
        *,
        clock: Clock,
        journal: Journal,
        directory: Directory,
        key_fetcher: KeyFetcher,
        signing: SigningKeys,
        rules: model.Rules,
        faults: Faults,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._directory = directory
        self._key_fetcher = key_fetcher
        self._signing = signing
        self._rules = rules
        self._faults = faults
        self._seen = SeenCredentials(directory, clock, faults)
        self._windows = CallWindows()
        # Bounded, because its keys hold the Host header. They hold the published keys too, which change.
        self._rendered = functools.lru_cache(maxsize=64)(self._render_document)
        self._own_host = rules.authority.removeprefix("https://").partition(":")[0]
        key_fetcher.on_fetch = lambda fetch: self._record(findings.fetch_hop(fetch))

    @property
    def app(self) -> App:
        return answering(self.handle, max_body=forms.MAX_FORM_BYTES, too_large=self._too_large)

    async def handle(self, request: Request) -> Response:
        if current_trace():
            return await self._route(request)
        with tracing():
            return await self._route(request)

    async def _route(self, request: Request) -> Response:
        first, _, rest = request.path.removeprefix("/").partition("/")
        rest = f"/{rest}".lower()
        if (version := TOKEN_PATHS.get(rest)) is not None:
            return await self._token(request, first, version)
        if request.method not in ("GET", "HEAD"):
            return self._unknown(request)
        if rest == INSTANCE and first.lower() == "common":
            return self._instance(request)
        if rest in PAGES:
            return self._document(request, first, rest)
        return self._unknown(request)

    async def _token(self, request: Request, tenant: str, version: int) -> Response:
        if request.method != "POST":
            return self._error(request, 900561, {"method": request.method})
        if self._faults.authority_unavailable:
            return self._error(request, 90033, {})
        limit, now = self._faults.tokens_per_10_seconds, self._clock.now()
        if wait := self._windows.refuse(tenant.lower(), limit, now=now):
            headers = (("Retry-After", str(wait)),)
            return self._error(request, 90055, {"seconds": str(wait)}, status=429, headers=headers)
        form = forms.parse_form(request.body) if request.media_type == forms.MEDIA_TYPE else {}
        if isinstance(form, forms.BadForm):
            if form.parameter:
                return self._error(request, 9000411, {"parameter": form.parameter})
            return self._error(request, 90013, {"reason": f"In the request body {form.reason}."})
        if "client_secret" not in form and (client := client_of_header(request.headers.get("authorization", ""))):
            form = {"client_id": client[0], **form, "client_secret": client[1]}
        candidate = model.consider(
            tenant,
            form,
            version=version,
            directory=self._directory,
            credentials=self._seen.of,
            now=self._clock.now(),
            rules=self._rules,
            base=self._base(request),
        )
        if isinstance(candidate, model.Refusal):
            return self._missed(request, candidate) if candidate.code in MISSES else self._refused(request, candidate)
        if isinstance(candidate, model.Proven):
            outcome = model.grant(candidate, directory=self._directory, rules=self._rules)
        else:
            outcome = model.conclude(
                candidate,
                await self._keys_of(candidate),
                directory=self._directory,
                now=self._clock.now(),
                rules=self._rules,
            )
        if isinstance(outcome, model.Refusal):
            return self._refused(request, outcome)
        return self._granted(request, outcome)

    async def _keys_of(self, candidate: model.Candidate) -> JwkSet | DiscoveryFailed:
        """The keys of the assertion's issuer, or why they could not be had."""
        if candidate.own:
            return self._signing.accepted
        issuer = candidate.issuer
        if self._faults.issuer_unreachable:
            # Keys known from before would hide the fault for an hour.
            fault = Fetch(issuer, "discovery", discovery_url(issuer), "nothing answers there")
            self._record(findings.fetch_hop(fault))
            return DiscoveryFailed(issuer, fault.step, fault.failure)
        try:
            return await self._key_fetcher.keys_for(issuer, candidate.token.kid)
        except DiscoveryFailed as error:
            return error

    def signed(self, grant: model.Grant, *, now: int) -> str:
        """The access token of a grant."""
        claims = issuing.access_claims(grant, authority=self._rules.authority, now=now, entropy=os.urandom(40))
        signing = self._signing.signing
        header = signing.header_v1 if grant.version == 1 else signing.header_v2
        return jwt.sign_with_header(header, claims, signing.key)

    def _granted(self, request: Request, grant: model.Grant) -> Response:
        now = int(self._clock.now())
        token = self.signed(grant, now=now)
        self._record(findings.hop(grant, issued=fingerprint(token)))
        trace_id = str(uuid.uuid4())
        headers = (errors.JSON_UTF8, *NO_STORE, ("x-ms-request-id", trace_id), *_echoed(request))
        if grant.asked.version == 1:
            return json_response(200, issuing.v1_body(grant, token, now=now), headers)
        return json_response(200, issuing.v2_body(grant, token), headers)

    def _missed(self, request: Request, refusal: model.Refusal) -> Response:
        asked = refusal.asked
        self._seen.missed(asked.tenant, asked.client_id)
        awaited = self._seen.awaited(asked.tenant, asked.client_id, asked.claims)
        return self._refused(request, refusal, awaited)

    def _refused(
        self, request: Request, refusal: model.Refusal, awaited: FederatedCredential | None = None
    ) -> Response:
        hop = findings.hop(refusal)
        self._record(hop if awaited is None else findings.not_seen_yet(hop, awaited))
        return self._render(request, refusal.code, dict(refusal.values))

    def _document(self, request: Request, name: str, page: str) -> Response:
        tenant = self._tenant_of(request, name)
        if isinstance(tenant, Response):
            return tenant
        return Response(200, self._rendered(page, self._base(request), tenant, self._signing.accepted.kids), _CACHED)

    def _render_document(self, page: str, base: str, tenant: str, kids: tuple[str, ...]) -> bytes:
        authority, published = self._rules.authority, self._signing.published
        assert kids == tuple(key.key.kid for key in published), "the published keys changed under way"
        match page:
            case "/v2.0/.well-known/openid-configuration":
                document = documents.metadata_v2(base, authority, tenant)
            case "/.well-known/openid-configuration":
                document = documents.metadata_v1(base, tenant)
            case "/discovery/v2.0/keys":
                document = documents.keys_v2(published, authority, tenant)
            case _:
                document = documents.keys_v1(published)
        return msgspec.json.encode(document)

    def _instance(self, request: Request) -> Response:
        endpoint = request.query.get("authorization_endpoint", "")
        own = (self._own_host, request.host.partition(":")[0].lower())
        version = request.query.get("api-version", "1.1")
        document = None
        if version in documents.API_VERSIONS:
            document = documents.instance(endpoint, version, own_hosts=own)
        if document is None:
            return self._error(request, 50049, {"host": endpoint})
        return json_response(200, document, _CACHED)

    def _tenant_of(self, request: Request, name: str) -> str | Response:
        """The tenant's GUID or the name that stands for any; a refusal where there is none."""
        if name.lower() in documents.COMMON:
            return name.lower()
        tenant = model.find_tenant(name, self._directory)
        if isinstance(tenant, int):
            # The discovery documents name this error in their own way.
            return self._error(request, tenant, {"tenant": name}, error="invalid_tenant")
        return tenant.tenant_id

    def _unknown(self, request: Request) -> Response:
        named = "/" + request.path.removeprefix("/").partition("/")[2]
        known = named.lower() in _NOT_EMULATED
        reason = f"The lab's authority does not {'emulate' if known else 'know'} {request.path}."
        return self._error(request, 9002313, {"reason": reason}, status=501 if known else 404)

    def _too_large(self, request: Request) -> Response:
        return self._error(request, 90013, {"reason": f"The body is larger than {forms.MAX_FORM_BYTES} bytes."})

    def _error(
        self,
        request: Request,
        code: int,
        values: dict[str, str],
        *,
        error: str = "",
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Refuse a request that never became a token request."""
        self._record(
            Hop(
                who=request.peer or "somebody",
                whom="entra",
                what=f"{request.method} {request.path}",
                outcome="refused",
                why=errors.error_text(code, values),
                decision=values,
                wire=errors.wire_code(code),
                problem=findings.PROBLEMS.get(code, ""),
            )
        )
        return self._render(request, code, values, error=error, status=status, headers=headers)

    def _render(
        self,
        request: Request,
        code: int,
        values: dict[str, str],
        *,
        error: str = "",
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        return errors.error_response(
            code,
            values,
            authority=self._rules.authority,
            now=self._clock.now(),
            correlation_id=_correlation_id(request),
            headers=(*_echoed(request), *headers),
            error=error,
            status=status,
        )

    def _base(self, request: Request) -> str:
        """The address by which the client came, so that what it is told to post to is reachable for it."""
        return f"https://{request.host}" if _HOST.fullmatch(request.host) else self._rules.authority

    def _record(self, hop: Hop) -> None:
        self._journal.record(hop)


def _correlation_id(request: Request) -> str:
    """The client's own id when it sent a GUID, else a new one."""
    try:
        return str(uuid.UUID(request.headers.get("client-request-id", "")))
    except ValueError:
        return str(uuid.uuid4())


def _echoed(request: Request) -> tuple[tuple[str, str], ...]:
    wanted = request.headers.get("return-client-request-id", "").lower() == "true"
    given = request.headers.get("client-request-id", "")
    return (("client-request-id", given[:64]),) if wanted and given else ()
