"""Which calls clients have made lately, by the programs they name themselves: what a coverage page is proved by.

Kept in memory and bounded. No query but the API's version is kept, no header but the client's name, and no body.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from podpass.serving.asgi import App, Message, Receive, Scope, Send

KEPT = 20_000
_MAX_TEXT = 300
_API_VERSION = b"api-version="


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that was answered."""

    number: int
    service: str
    method: str
    path: str
    api_version: str
    client: str
    """Its User-Agent."""
    status: int


class Traffic:
    """The newest requests."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=KEPT)
        self.newest = 0

    def after(self, number: int) -> Sequence[Seen]:
        """Requests of greater numbers, the oldest first."""
        return [one for one in self._seen if one.number > number]

    def watched(self, service: str, app: App) -> App:
        """*app*, whose answers are remembered as those of *service*."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._keep(service, scope, message["status"])
                await send(message)

            await app(scope, receive, sending)

        return watched

    def _keep(self, service: str, scope: Scope, status: int) -> None:
        client = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        # Every request comes by here, so the query is not parsed for one member.
        _, _, version = scope["query_string"].lower().partition(_API_VERSION)
        self.newest += 1
        self._seen.append(
            Seen(
                self.newest,
                service,
                scope["method"],
                scope["path"][:_MAX_TEXT],
                version.partition(b"&")[0].decode("latin-1")[:_MAX_TEXT],
                client.decode("latin-1")[:_MAX_TEXT],
                status,
            )
        )
