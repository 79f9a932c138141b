"""Admission reviews over HTTP: the API server waits for these answers whenever a pod is created.

Contract: azure workload identity, sections 1.2 and 1.13.
"""

import time
from typing import Protocol

from podpass.kube.objects import Obj
from podpass.serving.asgi import (
    JSON_TYPE,
    BodyTooLarge,
    ClientGone,
    Receive,
    Response,
    Scope,
    Send,
    read_body,
    send_response,
    text_response,
)
from podpass.telemetry.logging import Logger
from podpass.webhook.accounts import MAX_NAME, Unreadable
from podpass.webhook.azure import Denial, Mutation, mutate
from podpass.webhook.metrics import PATH, WebhookMetrics
from podpass.webhook.review import MAX_BODY_BYTES, BadReview, PodReview, answer, parse
from podpass.webhook.settings import Settings

_JSON_HEADERS = (("Content-Type", JSON_TYPE),)


class Accounts(Protocol):
    """Where service accounts are looked up: first in a copy, then at the API server."""

    def cached(self, namespace: str, name: str) -> Obj | None: ...
    def knows(self, namespace: str) -> bool: ...
    async def read(self, namespace: str, name: str) -> Obj | Unreadable: ...


class Webhook:
    """The ASGI app of `POST /mutate-v1-pod`. Each review leaves one log line and one observation."""

    def __init__(self, settings: Settings, accounts: Accounts, metrics: WebhookMetrics, log: Logger) -> None:
        self._settings, self._accounts, self._metrics, self._log = settings, accounts, metrics, log

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the webhook does not speak {scope['type']}")
        if scope["path"] != PATH:
            await send_response(send, text_response(404, "404 page not found\n"))
            return
        started = time.perf_counter()
        with self._metrics.in_flight.track_inprogress():
            review: PodReview | BadReview
            try:
                body = await read_body(scope, receive, limit=MAX_BODY_BYTES)
            except ClientGone:
                return
            except BodyTooLarge as error:
                review = BadReview(f"request entity is too large; limit is {error.limit} bytes", 413)
                headers: tuple[tuple[str, str], ...] = (*_JSON_HEADERS, ("Connection", "close"))
            else:
                review = parse(body, _media_type(scope))
                headers = _JSON_HEADERS
            outcome = await self._decide(review)
            await send_response(send, Response(200, answer(review, outcome), headers))
        self._record(review, outcome, time.perf_counter() - started)

    async def _decide(self, review: PodReview | BadReview) -> Mutation | Denial:
        if isinstance(review, BadReview):
            return Denial(review.code, review.message)
        if not review.concerns:
            # Somebody widened the rules. The members we would set can't change after creation.
            return Mutation()
        account = self._accounts.cached(review.namespace, review.service_account)
        if account is None:
            found = await self._accounts.read(review.namespace, review.service_account)
            if isinstance(found, Unreadable):
                return Denial(400, found.message)
            account = found
        return mutate(review.pod, account, self._settings, namespace=review.namespace)

    def _record(self, review: PodReview | BadReview, outcome: Mutation | Denial, seconds: float) -> None:
        milliseconds = round(seconds * 1000, 3)
        if isinstance(review, BadReview):
            self._metrics.answered("", seconds)
            self._log.warning("review.refused", uid=_cut(review.uid), code=review.code, reason=_cut(review.message))
            return
        self._metrics.answered(review.namespace if self._accounts.knows(review.namespace) else "", seconds)
        if isinstance(outcome, Denial):
            self._log.warning(
                "review.denied",
                uid=_cut(review.uid),
                namespace=_cut(review.namespace),
                pod=_name(review),
                service_account=_cut(review.service_account),
                code=outcome.code,
                reason=_cut(outcome.message),
                dry_run=review.dry_run,
                took_ms=milliseconds,
            )
            return
        self._log.info(
            "review.admitted",
            uid=_cut(review.uid),
            namespace=_cut(review.namespace),
            pod=_name(review),
            service_account=_cut(review.service_account),
            client_id=_cut(outcome.audit.get("client-id", "")),
            operations=len(outcome.operations),
            warnings=len(outcome.warnings),
            dry_run=review.dry_run,
            took_ms=milliseconds,
        )


def _media_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.decode("latin-1")).partition(";")[0].strip().lower()
    return ""


def _name(review: PodReview) -> str:
    metadata = review.pod.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    return _cut(str(metadata.get("name") or f"{metadata.get('generateName') or ''} (prefix)"))


def _cut(text: str) -> str:
    """What goes into a log is as long as a name may be: the request's own words are not to fill the disk."""
    return text[:MAX_NAME]
