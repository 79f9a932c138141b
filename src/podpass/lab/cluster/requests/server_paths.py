"""What the API server answers outside of its resources: discovery, health, OpenAPI and the issuer's documents.

Contract: Kubernetes API surface, sections 1.1 and 2.3.
"""

from collections.abc import Callable

import msgspec

from podpass.kube.status import StatusError
from podpass.lab.cluster import discovery
from podpass.lab.cluster.extension import OpenApi
from podpass.lab.cluster.registry import Registry
from podpass.lab.cluster.requests.bodies import ACCEPTED
from podpass.lab.cluster.requests.paths import GroupVersion, NoResource
from podpass.serving.asgi import Request, Response, json_response, text_response

_HEALTH = ("/healthz", "/livez", "/readyz")

_encode = msgspec.json.Encoder().encode


class ServerPaths:
    """Answers GET on these paths.

    *document* gives the issuer's documents by path, *fault* what is wrong with the cluster, empty when nothing is.
    """

    def __init__(
        self,
        registry: Registry,
        openapi: OpenApi | None,
        document: Callable[[str], Response | None],
        fault: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._openapi = openapi
        self._document = document
        self._fault = fault
        self._aggregated: dict[tuple[str, int], bytes] = {}

    async def answer(self, request: Request, target: GroupVersion | NoResource | None) -> Response:
        """Raises StatusError."""
        path = request.path
        if request.method not in ("GET", "HEAD"):
            raise StatusError.no_such_path() if target is not None else StatusError.method_not_allowed()
        if isinstance(target, NoResource):
            raise StatusError.no_such_path()
        if isinstance(target, GroupVersion):
            return self._group_version(target)
        match path.rstrip("/") or "/":
            case "/":
                return json_response(200, discovery.root_paths(self._registry))
            case "/version":
                return json_response(200, discovery.VERSION)
            case "/api" | "/apis" as place:
                return self._groups(request, core=place == "/api")
        root, _, check = path.strip("/").partition("/")
        if f"/{root}" in _HEALTH:
            return self._health(request, root, check)
        if path.startswith("/openapi/") and self._openapi is not None:
            return await self._openapi(request)
        return self._document(path) or text_response(404, "404 page not found\n")

    def _groups(self, request: Request, *, core: bool) -> Response:
        aggregated = discovery.wants_aggregated(request.headers.get("accept", ""))
        if aggregated is None:
            text = f"only the following media types are accepted: {', '.join(ACCEPTED)}"
            raise StatusError.not_acceptable(text)
        if aggregated:
            key = ("core" if core else "groups", self._registry.changes)
            body = self._aggregated.get(key)
            if body is None:
                self._aggregated = {each: kept for each, kept in self._aggregated.items() if each[1] == key[1]}
                body = self._aggregated[key] = _encode(discovery.aggregated(self._registry, core=core))
            return Response(200, body, (("Content-Type", discovery.AGGREGATED), ("Vary", "Accept")))
        found = discovery.api_versions(request.host) if core else discovery.group_list(self._registry)
        return json_response(200, found, (("Vary", "Accept"),))

    def _group_version(self, target: GroupVersion) -> Response:
        if target.version:
            found = discovery.resource_list(self._registry, target.group, target.version)
        else:
            found = discovery.group(self._registry, target.group)
        if found is None:
            return text_response(404, "404 page not found\n")
        return json_response(200, found)

    def _health(self, request: Request, root: str, check: str) -> Response:
        fault = self._fault()
        if check not in ("", "ping", "storage"):
            return text_response(404, "404 page not found\n")
        if fault:
            return text_response(500, f"[-]{fault}\n{root} check failed\n")
        if "verbose" in request.query:
            return text_response(200, f"[+]ping ok\n[+]storage ok\n[+]controllers ok\n{root} check passed\n")
        return text_response(200, "ok")
