"""ARM over HTTP: who calls, whether they may, what comes of it.

Contract: Azure HTTP surface, sections 1, 1.1, 1.3 and 4.
"""

import re
import uuid
from datetime import date
from typing import Any

from podpass.lab.arm import errors, metadata
from podpass.lab.arm.authorization import Allowed, Denied
from podpass.lab.arm.endpoint import PUBLIC, Endpoint, refused
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.locks import ScopeLocked
from podpass.lab.arm.model import Answer, Call
from podpass.lab.arm.paging import page
from podpass.lab.arm.paths import Address, NotAPath, parse
from podpass.lab.arm.principals import actor, described, facts
from podpass.lab.arm.routing import Route, route
from podpass.lab.arm.turns import Turn, Turns
from podpass.lab.clock import rfc3339
from podpass.lab.entra.access import AccessTokens, Caller
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.store import NotStored
from podpass.serving.asgi import App, Request, Response, answering, json_response

MAX_BODY = 4 * 1024 * 1024
OLDEST_API_VERSION = "2014-01-01"

_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(?:-[A-Za-z0-9.-]{1,30})?")
_FIXED_HEADERS = (
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("Pragma", "no-cache"),
    ("Expires", "-1"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
)


class ArmHttp:
    """Answers ARM requests from an estate."""

    def __init__(
        self, estate: Estate, access_tokens: AccessTokens, journal: Journal, endpoint: Endpoint = PUBLIC
    ) -> None:
        self._estate = estate
        self._access_tokens = access_tokens
        self._journal = journal
        self._endpoint = endpoint
        self._turns = Turns(estate)
        versions = {one for kind in estate.types.values() for one in kind.api_versions}
        self._api_versions = tuple(sorted(versions, reverse=True))
        self.app: App = answering(self._handle, max_body=MAX_BODY, too_large=self._too_large, broken=self._broken)

    def _broken(self, request: Request, error: Exception) -> Response | None:
        return _rendered(request, errors.not_stored(str(error))) if isinstance(error, NotStored) else None

    async def _handle(self, request: Request) -> Response:
        segments = [segment.lower() for segment in request.path.split("/") if segment]
        if segments == ["metadata", "endpoints"] and request.method == "GET":
            return self._metadata(request)
        try:
            address = parse(request.path)
        except NotAPath as error:
            return _rendered(request, ArmError(400, "InvalidRequestUri", f"The request URI is invalid: {error}."))
        caller = self._authenticate(request, address)
        if isinstance(caller, ArmError):
            return _rendered(request, caller)
        turn = self._turns.of(request.method, address)
        try:
            answer = self._answered(request, address, caller, turn)
            await turn.last()
            return answer
        except ArmError as error:
            self._record_error(request, address, caller, error)
            return _rendered(request, error)
        finally:
            turn.end()

    def _answered(self, request: Request, address: Address, caller: Caller, turn: Turn) -> Response:
        version = self._api_version(request)
        self._estate.settle()
        subscription = None
        if address.id.subscription:
            subscription = self._estate.subscription(address.id.subscription)
            if subscription is None:
                raise errors.subscription_not_found(address.id.subscription)
        found = route(address, request.method, version)
        action, scope = found.action, str(address.id) or "/"
        call = Call(
            method=request.method,
            address=address,
            query=request.query,
            body=request.body,
            api_version=version,
            actor=actor(caller),
            subscription=subscription,
            tenant_id=caller.tenant_id,
            principal_id=caller.object_id,
            client_id=caller.client_id,
            if_match=request.headers.get("if-match", ""),
            if_none_match=request.headers.get("if-none-match", ""),
        )
        decision = None
        if action:
            decision = self._estate.decide(principal_id=caller.object_id, action=action, scope=scope)
        if isinstance(decision, Denied):
            answer = _listed_anyway(self._estate, call, found)
            if answer is None:
                self._record_denied(request, address, caller, decision)
                error = errors.authorization_failed(caller.client_id, caller.object_id, action, scope)
                return _rendered(request, error)
        else:
            self._estate.locks.check(action, scope)
            turn.take()
            answer = found.run(self._estate, call)
        if request.method not in ("GET", "HEAD"):
            allowed = decision if isinstance(decision, Allowed) else None
            self._record(request, caller, action, str(address), "done", allowed)
        return _answer_response(request, answer)

    # Who

    def _authenticate(self, request: Request, address: Address) -> Caller | ArmError:
        subscription = self._estate.subscription(address.id.subscription) if address.id.subscription else None
        tenant_id = subscription.tenant_id if subscription else None
        endpoint = self._endpoint.seen_from(_origin(request))
        found = self._access_tokens.authenticate(
            request.headers.get("authorization"), audiences=endpoint.audiences, tenant_id=tenant_id
        )
        if isinstance(found, Caller):
            return found
        now = rfc3339(self._estate.clock.now())
        error = refused(found, endpoint, tenant_id=tenant_id, now=now)
        self._journal.record(
            Hop(
                who="unknown caller" if found.caller is None else described(self._estate.directory, found.caller),
                whom="arm",
                what=f"{request.method} {address}",
                outcome="noted" if found.claims else "refused",
                why=found.message,
                decision={
                    **({} if found.caller is None else facts(found.caller)),
                    "refusal": found.code,
                    "expected": found.expected,
                    "found": found.found,
                    "service": "Azure Resource Manager",
                    "why": found.message,
                    "tenant_id": tenant_id or "",
                    "token_scope": "https://management.azure.com/.default",
                },
                wire=error.code,
                problem="PP217" if found.claims else "PP306",
            )
        )
        return error

    # What the journal is told

    def _record(
        self, request: Request, caller: Caller, action: str, scope: str, outcome: Outcome, allowed: Allowed | None
    ) -> None:
        self._journal.record(
            Hop(
                who=described(self._estate.directory, caller),
                whom="arm",
                what=f"{request.method} {scope}",
                outcome=outcome,
                why=allowed.why if allowed else "",
                decision={"action": action, **facts(caller), **(allowed.to_dict() if allowed else {})},
            )
        )

    def _record_denied(self, request: Request, address: Address, caller: Caller, denied: Denied) -> None:
        values: dict[str, Any] = {
            **facts(caller),
            **denied.to_dict(),
            "resource": denied.scope,
            "scope": self._nearest(address),
            "principal": described(self._estate.directory, caller),
            "why": denied.why,
            "role": denied.granting_roles[0] if denied.granting_roles else "Owner",
        }
        self._journal.record(
            Hop(
                who=described(self._estate.directory, caller),
                whom="arm",
                what=f"{request.method} {denied.scope}: {denied.action}",
                outcome="refused",
                why=denied.why,
                decision=values,
                wire="AuthorizationFailed",
                problem="PP305",
            )
        )

    def _nearest(self, address: Address) -> str:
        """Where a role could be assigned to help: the address, or the closest thing above it that exists."""
        wanted = address.id
        while wanted.parts and self._estate.get(wanted) is None and wanted.key != wanted.subscription_id.key:
            wanted = wanted.parent
        return str(wanted) or "/"

    def _record_error(self, request: Request, address: Address, caller: Caller, error: ArmError) -> None:
        if request.method in ("GET", "HEAD") and error.status == 404 and "Type" not in error.code:
            return
        locked = error.values if isinstance(error, ScopeLocked) else {}
        self._journal.record(
            Hop(
                who=described(self._estate.directory, caller),
                whom="arm",
                what=f"{request.method} {address}",
                outcome="noted" if error.status == 501 else "refused",
                why=error.message,
                decision={**facts(caller), **locked},
                wire=error.code,
                problem="PP311" if locked else "",
            )
        )

    # Answers

    def _metadata(self, request: Request) -> Response:
        document = metadata.cloud(
            api_version=request.query.get("api-version", "2019-05-01"),
            arm=_origin(request),
            endpoint=self._endpoint.seen_from(_origin(request)),
        )
        return json_response(200, document, _headers(request))

    def _api_version(self, request: Request) -> str:
        """The version asked for: any that Resource Manager can have had, or may have one day. Raises ArmError."""
        version = next((value for name, value in request.query_list if name.lower() == "api-version"), "")
        if not version:
            raise errors.missing_api_version()
        if _API_VERSION.fullmatch(version) is None or version < OLDEST_API_VERSION or not _is_date(version[:10]):
            raise errors.invalid_api_version(version, self._api_versions)
        return version

    def _too_large(self, request: Request) -> Response:
        return _rendered(request, errors.too_large(MAX_BODY))


def _listed_anyway(estate: Estate, call: Call, found: Route) -> Answer | None:
    """What a list still shows to a caller who may not read the whole scope; None when it is to be refused."""
    if found.lists is None:
        return None
    try:
        answer = found.run(estate, call)
    except ArmError:
        # What is absent is nobody's business who may not read here.
        return None
    return answer if answer.items or found.lists.hides_unreadable else None


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _origin(request: Request) -> str:
    return f"{request.scheme}://{request.host}"


def _answer_response(request: Request, answer: Answer) -> Response:
    headers = (*_headers(request), *(_absolute(request, name, value) for name, value in answer.headers))
    if answer.items is not None:
        return json_response(answer.status, page(request, answer.items, _origin(request)), headers)
    if answer.body is None:
        return Response(answer.status, b"", headers)
    return json_response(answer.status, answer.body, headers)


def _absolute(request: Request, name: str, value: str) -> tuple[str, str]:
    """A path in a header as the address by which this client reaches it."""
    return name, f"{_origin(request)}{value}" if value.startswith("/") else value


def _rendered(request: Request, error: ArmError) -> Response:
    return json_response(error.status, error.to_dict(), (*_headers(request), *error.headers))


def _headers(request: Request) -> tuple[tuple[str, str], ...]:
    request_id = str(uuid.uuid4())
    correlation = request.headers.get("x-ms-correlation-request-id", "")
    headers = [
        *_FIXED_HEADERS,
        ("x-ms-request-id", request_id),
        ("x-ms-correlation-request-id", correlation if _is_guid(correlation) else request_id),
        ("x-ms-routing-request-id", f"PODPASS:{request_id}"),
    ]
    client_id = request.headers.get("x-ms-client-request-id", "")
    if client_id.isprintable() and request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
        headers.append(("x-ms-client-request-id", client_id[:128]))
    return tuple(headers)


def _is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
