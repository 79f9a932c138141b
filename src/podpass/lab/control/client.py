"""Ask a running lab. Plain blocking HTTP over its unix socket, so that a command starts without an event loop."""

import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError

_TIMEOUT_SECONDS = 10.0
_NODE_SECONDS = 60.0
"""A node is waited for: until it is ready, or until its containers have ended."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, *, timeout: float | None) -> None:
        super().__init__("lab")
        self._path = path
        self._timeout_seconds = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))
        self.sock.settimeout(self._timeout_seconds)


class Control:
    """The calls of one lab's control socket. All raise PodpassError when the lab does not run or does not answer."""

    def __init__(self, paths: LabPaths) -> None:
        self._paths = paths

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", "/status")
        return found

    def running(self) -> bool:
        try:
            self.status()
        except PodpassError:
            return False
        return True

    def stop(self) -> None:
        """Ask the lab to stop; returns once it has said that it will."""
        self._call("POST", "/stop")

    def advance(self, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = self._call("POST", "/advance", {"seconds": seconds})
        return found

    def set_faults(self, faults: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._call("PUT", "/faults", faults)
        return found

    def signing_keys(self) -> list[dict[str, Any]]:
        """The keys of the lab's Entra."""
        found: list[dict[str, Any]] = self._call("GET", "/signing-keys")
        return found

    def rotate_signing_keys(self, *, withdraw: bool = False) -> list[dict[str, Any]]:
        """Have Entra sign with its next key; the keys that there are now."""
        found: list[dict[str, Any]] = self._call("POST", "/signing-keys", {"withdraw": withdraw})
        return found

    def revoke_tokens(self, name: str) -> dict[str, Any]:
        """Revoke an identity's tokens: its name, its client id, and since when its tokens count again."""
        found: dict[str, Any] = self._call("POST", "/revocations", {"name": name})
        return found

    def forget_issuer_keys(self) -> None:
        """Make the clouds fetch the issuer's keys anew."""
        self._call("DELETE", "/issuer-keys")

    def images_in_use(self) -> list[dict[str, str]]:
        """Each running container: its image, the image's own root, its pod and name; none while no lab runs."""
        if not self.running():
            return []
        found: list[dict[str, str]] = self._call("GET", "/images-in-use")
        return found

    def traffic(self, *, after: int = 0) -> list[dict[str, Any]]:
        """The calls on the clouds numbered above *after*, as `lab/doors/traffic.py` keeps them."""
        found: list[dict[str, Any]] = self._call("GET", f"/traffic?after={after}")
        return found

    def export(self, *, with_secret_values: bool) -> str:
        """What is in the clouds, as the text of a scenario."""
        found: dict[str, str] = self._call("GET", f"/scenario?secret-values={str(with_secret_values).lower()}")
        return found["scenario"]

    def kubeconfig(self, cluster: str = "") -> dict[str, str]:
        """`kubeconfig`, an administrator's, and `authority`: where the CA lies that signs for people, or nothing."""
        found: dict[str, str] = self._call("GET", f"/kubeconfig{_of(cluster)}")
        return found

    def nodes(self, *, cluster: str = "") -> list[dict[str, Any]]:
        """The nodes, as NodeSet describes them; of the lab's own cluster by default."""
        found: list[dict[str, Any]] = self._call("GET", f"/nodes{_of(cluster)}")
        return found

    def add_node(self, node: str = "", *, cluster: str = "") -> dict[str, Any]:
        return self._change_nodes("POST", f"/nodes{_of(cluster)}", {"name": node})

    def start_node(self, node: str, *, cluster: str = "") -> dict[str, Any]:
        return self._change_nodes("POST", f"/nodes/{quote(node, safe='')}/start{_of(cluster)}")

    def stop_node(self, node: str, *, cluster: str = "") -> dict[str, Any]:
        return self._change_nodes("POST", f"/nodes/{quote(node, safe='')}/stop{_of(cluster)}")

    def remove_node(self, node: str, *, cluster: str = "") -> dict[str, Any]:
        return self._change_nodes("DELETE", f"/nodes/{quote(node, safe='')}{_of(cluster)}")

    def _change_nodes(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        found: dict[str, Any] = self._call(method, path, body, timeout=_NODE_SECONDS)
        return found

    def journal(self, *, after: int = 0, trace: str = "", limit: int = 1_000) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call(
            "GET", f"/journal?after={after}&trace={quote(trace, safe='')}&limit={limit}"
        )
        return found

    def follow(self, *, after: int = 0) -> Iterator[dict[str, Any]]:
        """Events as they happen, until the lab stops."""
        with self._connected(timeout=None) as connection:
            connection.request("GET", f"/journal?follow=true&after={after}")
            answer = connection.getresponse()
            while line := answer.readline():
                if line.strip():
                    yield json.loads(line)

    def _call(self, method: str, path: str, body: object = None, *, timeout: float = _TIMEOUT_SECONDS) -> Any:
        with self._connected(timeout=timeout) as connection:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"} if payload else {})
            answer = connection.getresponse()
            content = json.loads(answer.read() or b"null")
            if answer.status >= 400 and "code" in content:
                raise PodpassError(content["code"], content["error"], **content["values"])
            if answer.status >= 400:
                raise PodpassError("PP110", content["error"], reason=content["error"], name=self._paths.name)
            return content

    @contextlib.contextmanager
    def _connected(self, *, timeout: float | None) -> Iterator[_Connection]:
        connection = _Connection(self._paths.control, timeout=timeout)
        try:
            connection.connect()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise PodpassError("PP103", f"lab {self._paths.name} is not running", name=self._paths.name) from error
        except OSError as error:
            reason = f"{self._paths.control}: {error.strerror or error}."
            raise PodpassError("PP110", reason=reason, name=self._paths.name) from error
        try:
            yield connection
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PodpassError("PP110", reason=f"{type(error).__name__}: {error}", name=self._paths.name) from error
        finally:
            connection.close()


def _of(cluster: str) -> str:
    return f"?cluster={quote(cluster, safe='')}" if cluster else ""


async def follow_live(paths: LabPaths, *, after: int) -> AsyncIterator[dict[str, Any]]:
    """Events numbered above *after* as they happen, for a program that does other things meanwhile."""
    # Only who follows from an event loop pays for this import; the other calls are quick commands.
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(paths.control)), timeout=timeout) as session,
        session.get(f"http://lab/journal?follow=true&after={after}") as answer,
    ):
        async for line in answer.content:
            if line.strip():
                yield json.loads(line)
