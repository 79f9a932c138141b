"""A managed cluster, read and written as the document that Resource Manager speaks of.

The CLI's own client sends it, but its models don't touch it: what they don't know would not survive them.
"""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from azure.cli.core.azclierror import CLIError, InvalidArgumentValueError
from azure.cli.core.util import sdk_no_wait

from aks_pod_identity.profile import Document, NotPossible

Change = Callable[[Document], Document]


def read(client: Any, resource_group: str, name: str) -> Document:
    def document(answer: Any, _model: object, _headers: object) -> Document:
        found: Document = json.loads(answer.http_response.text())
        return found

    found: Document = client.get(resource_group, name, cls=document)
    return found


def write(client: Any, resource_group: str, name: str, cluster: Document, *, no_wait: bool, headers: str | None) -> Any:
    """Put the cluster; the operation that then goes on, for the CLI to wait for. Raises CLIError."""
    body = io.BytesIO(json.dumps(cluster).encode())
    put = client.begin_create_or_update
    return sdk_no_wait(no_wait, put, resource_group, name, body, headers=custom_headers(headers))


def rewrite(client: Any, resource_group: str, name: str, change: Change, *, no_wait: bool, headers: str | None) -> Any:
    """Put the cluster as *change* makes it; the operation that then goes on. Raises CLIError."""
    cluster = read(client, resource_group, name)
    with refusals():
        cluster = change(cluster)
    return write(client, resource_group, name, cluster, no_wait=no_wait, headers=headers)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What is not possible ends the command with the reason."""
    try:
        yield
    except NotPossible as error:
        raise CLIError(str(error)) from error


def custom_headers(text: str | None) -> dict[str, str]:
    """`Key1=Value1,Key2=Value2` as headers. Raises CLIError."""
    headers = {}
    for part in (text or "").split(","):
        name, separator, value = part.partition("=")
        if separator:
            headers[name.strip()] = value.strip()
        elif part.strip():
            raise InvalidArgumentValueError("custom headers format is incorrect: expected Key1=Value1,Key2=Value2")
    return headers


class ChangingClient:
    """The CLI's client of managed clusters, which changes the document of each cluster that it puts."""

    def __init__(self, client: Any, change: Change) -> None:
        self._client, self._change = client, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def begin_create_or_update(self, *arguments: Any, **options: Any) -> Any:
        def on_request(request: Any) -> None:
            if request.http_request.method == "PUT":
                with refusals():
                    cluster = self._change(json.loads(request.http_request.body))
                request.http_request.set_bytes_body(json.dumps(cluster).encode())

        return self._client.begin_create_or_update(*arguments, raw_request_hook=on_request, **options)
