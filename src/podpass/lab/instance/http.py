"""The metadata service over HTTP: the rules, the identity, its token.

Contract: pod identity, section 4.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from podpass.imds import documents, errors
from podpass.imds.errors import ImdsError
from podpass.imds.requests import INFO_PATH, TOKEN_PATH, TokenRequest, refusal, token_request
from podpass.imds.responses import IssuedToken, token_response
from podpass.lab.arm.model import Resource
from podpass.lab.clock import Clock
from podpass.lab.instance import model
from podpass.lab.instance.model import Chosen
from podpass.lab.journal import Hop, Journal
from podpass.serving.asgi import App, Request, Response, answering, json_response, text_response
from podpass.telemetry.redaction import fingerprint

REUSED_UNTIL_SECONDS = 300
"""A token is given again until it has no more than this left, as the platform keeps tokens for each resource."""
MAX_KEPT = 1_024
TOKENS_A_SECOND, OTHERS_A_SECOND = 20, 5
_MAX_BODY = 4_096
_SERVER = ("Server", "IMDS/150.870.65.1854")

Issue = Callable[[str, str, str], IssuedToken | ImdsError]
"""From tenant, principal and resource to a token, or the directory's refusal."""


class Instance:
    """The metadata service of one machine. *machine* gives its resource and tenant as they are now, None for none.

    *limited* says whether the limits on requests are kept.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        *,
        who: str,
        machine: Callable[[], tuple[Resource, str] | None],
        issue: Issue,
        limited: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock, self._journal = clock, journal
        self._who, self._machine, self._issue, self._limited = who, machine, issue, limited
        self._kept: dict[tuple[str, str], IssuedToken] = {}
        self._lately: dict[bool, deque[float]] = {
            True: deque(maxlen=TOKENS_A_SECOND),
            False: deque(maxlen=OTHERS_A_SECOND),
        }
        self.app: App = answering(
            self._handle, max_body=_MAX_BODY, too_large=lambda _: _refused(ImdsError(413, "bad_request", "Too large"))
        )

    async def _handle(self, request: Request) -> Response:
        # The real service takes backslashes for slashes, and the first word in any letter case.
        path = request.path.replace("\\", "/")
        head, _, rest = path.removeprefix("/").partition("/")
        path = f"/{head.lower()}/{rest}"
        if path == "/metadata/versions":
            return json_response(200, {"apiVersions": documents.VERSIONS}, (_SERVER,))
        found = self._answer(request, path.rstrip("/"))
        if isinstance(found, ImdsError):
            return _refused(found)
        if isinstance(found, str):
            return text_response(200, found)
        return json_response(200, found, (_SERVER,))

    def _answer(self, request: Request, path: str) -> Any | ImdsError:
        wrong = refusal(request.method, request.headers, [name for name, _ in request.query_list])
        if wrong is not None:
            return self._note(request, path, wrong)
        if self._limited() and self._too_many(is_token=path.startswith("/metadata/identity")):
            return self._note(request, path, errors.TOO_MANY_REQUESTS)
        if path == TOKEN_PATH:
            asked = token_request(request.query)
            if isinstance(asked, ImdsError):
                return self._note(request, path, asked)
            return self._token(asked)
        machine = self._machine()
        if path == INFO_PATH and machine is not None:
            return {"tenantId": machine[1]}
        if (path == "/metadata/instance" or path.startswith("/metadata/instance/")) and machine is not None:
            return documents.read(model.document(machine[0]), path.removeprefix("/metadata/instance"), request.query)
        return self._note(request, path, errors.not_found(request.path))

    def _token(self, asked: TokenRequest) -> dict[str, str] | ImdsError:
        machine = self._machine()
        if machine is None:
            why = "this machine has no managed identity; tokens come by federation or from a service principal"
            return self._record(asked, errors.IDENTITY_NOT_FOUND, why)
        chosen = model.choose(machine[0], asked)
        if isinstance(chosen, ImdsError):
            return self._record(asked, chosen, f"{chosen.description} on {machine[0].name}")
        now = int(self._clock.now())
        token = self._token_of(chosen, machine[1], asked, now)
        if isinstance(token, ImdsError):
            return self._record(asked, token, token.description)
        why = f"{machine[0].name} has this identity"
        values = {"client_id": token.client_id, "issued": fingerprint(token.access_token), "machine": machine[0].id}
        self._journal.record(
            Hop(
                who=self._who,
                whom="imds",
                what=f"token for {asked.resource[:200]}",
                outcome="granted",
                why=why,
                decision={**_named(asked), **values},
            )
        )
        return token_response(token, asked, now=now)

    def _token_of(self, chosen: Chosen, tenant_id: str, asked: TokenRequest, now: int) -> IssuedToken | ImdsError:
        key = (chosen.principal_id, asked.resource)
        kept = self._kept.get(key)
        if kept is not None and not asked.bypass_cache and kept.expires_on - now > REUSED_UNTIL_SECONDS:
            return kept
        found = self._issue(tenant_id, chosen.principal_id, asked.resource)
        if isinstance(found, IssuedToken):
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def _too_many(self, *, is_token: bool) -> bool:
        lately, now = self._lately[is_token], self._clock.now()
        if len(lately) == lately.maxlen and now - lately[0] < 1.0:
            return True
        lately.append(now)
        return False

    def _note(self, request: Request, path: str, error: ImdsError) -> ImdsError:
        self._journal.record(
            Hop(
                who=self._who,
                whom="imds",
                what=f"{request.method} {path[:100]}",
                outcome="refused",
                why=error.description,
                wire=str(error.status),
            )
        )
        return error

    def _record(self, asked: TokenRequest, error: ImdsError, why: str) -> ImdsError:
        self._journal.record(
            Hop(
                who=self._who,
                whom="imds",
                what=f"token for {asked.resource[:200]}",
                outcome="refused",
                why=why,
                decision=_named(asked),
                wire=str(error.status),
            )
        )
        return error


def _named(asked: TokenRequest) -> dict[str, str]:
    values = {"resource": asked.resource[:200], "client_id": asked.client_id[:64], "object_id": asked.object_id[:64]}
    return {**values, "resource_id": asked.resource_id[:300]}


def _refused(error: ImdsError) -> Response:
    headers = [("Content-Type", "application/json; charset=utf-8"), _SERVER]
    if error.retry_after_seconds is not None:
        headers.append(("Retry-After", str(error.retry_after_seconds)))
    return json_response(error.status, error.to_dict(), headers)
