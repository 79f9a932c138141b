"""One pod's volumes on disk: written when it starts, kept current while it runs."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from podpass.kube import objects
from podpass.kube.client import ApiError
from podpass.kube.objects import Obj
from podpass.lab.clock import Clock
from podpass.lab.node import atomic_writer
from podpass.lab.node.client import NodeClient
from podpass.lab.node.container_environment import NotYet, References
from podpass.lab.node.fields import Place
from podpass.lab.node.token_refresh import ProjectedToken, is_expired, refresh_at
from podpass.lab.node.volumes import EmptyDirectory, Files, HostPath, TokenKey, content, token_keys


class PodVolumes:
    """The objects and tokens that a pod's volumes are made of, and where each volume is.

    *on_problem* hears of each volume that can't be made, with the event's message; *on_token* of each token written,
    with whether it replaces one. *sync_seconds* is how old what was read of the objects may get.
    """

    def __init__(
        self,
        directory: Path,
        *,
        api: NodeClient,
        clock: Clock,
        jitter_seconds: Callable[[], float],
        host_roots: Sequence[Path],
        sync_seconds: float,
        retry_seconds: float,
        on_problem: Callable[[str], None],
        on_token: Callable[[TokenKey, ProjectedToken, bool], None],
    ) -> None:
        self.paths: dict[str, Path] = {}
        """Each volume's directory, by the volume's name."""
        self.references = References()
        self._directory = directory
        self._api = api
        self._clock = clock
        self._jitter_seconds = jitter_seconds
        self._host_roots = host_roots
        self._sync_seconds, self._retry_seconds = sync_seconds, retry_seconds
        self._on_problem, self._on_token = on_problem, on_token
        self._read_at: float | None = None
        self._tokens: dict[TokenKey, tuple[ProjectedToken, float]] = {}
        """Each with the time from which on it is to be replaced."""

    @property
    def next_refresh(self) -> float | None:
        """When a token is to be replaced next, seconds since the epoch; None without tokens."""
        return min((due_at for _, due_at in self._tokens.values()), default=None)

    def forget_references(self) -> None:
        """Read the pod's Secrets and ConfigMaps anew at the next turn."""
        self._read_at = None

    async def bring_up_to_date(self, pod: Obj, place: Place) -> NotYet | None:
        """Read, refresh and write what is due; the first problem, after everything else was done all the same."""
        now = asyncio.get_running_loop().time()
        if self._read_at is None or now - self._read_at >= self._sync_seconds:
            self.references = await self._api.references(pod)
            self._read_at = now
        problem = await self._refresh_tokens(pod)
        for volume in objects.spec(pod).get("volumes") or ():
            found = self._write(pod, volume, place)
            problem = problem or found
        return problem

    async def _refresh_tokens(self, pod: Obj) -> NotYet | None:
        problem: NotYet | None = None
        now = self._clock.now()
        for key in token_keys(pod):
            held, due_at = self._tokens.get(key, (None, 0.0))
            # A clock that went back says nothing about the token's age.
            if held is not None and held.issued_at <= now < due_at:
                continue
            try:
                token = await self._api.request_token(key, now)
            except ApiError as error:
                if held is not None:
                    # The old one stays until it has expired, and a new one is asked for soon.
                    self._tokens[key] = (held, now + self._retry_seconds)
                if held is None or is_expired(held, now):
                    problem = problem or NotYet(error.message)
                    self._report(volume_of(pod, key), f"failed to fetch token: {error.message}")
                continue
            self._tokens[key] = (token, refresh_at(token, jitter_seconds=self._jitter_seconds()))
            self._on_token(key, token, held is not None)
        return problem

    def _write(self, pod: Obj, volume: Obj, place: Place) -> NotYet | None:
        name = volume["name"]
        tokens = {key: held.token for key, (held, _) in self._tokens.items()}
        if any(key not in tokens for key in token_keys(_with_only(pod, volume))):
            return NotYet(f"volume {name} has no token yet")
        made = content(pod, volume, self.references, tokens, place, host_roots=self._host_roots)
        path = self._directory / name
        match made:
            case Files():
                atomic_writer.write(path, made.files, now=self._clock.now())
            case EmptyDirectory():
                if not path.exists():
                    path.mkdir(parents=True)
                    path.chmod(0o777)
            case HostPath():
                path = made.path
                if made.create:
                    path.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    made = NotYet(f"hostPath {path} does not exist")
        if isinstance(made, NotYet):
            self._report(name, made.message)
            return made
        self.paths[name] = path
        return None

    def _report(self, volume: str, message: str) -> None:
        self._on_problem(f'MountVolume.SetUp failed for volume "{volume}" : {message}')


def volume_of(pod: Obj, key: TokenKey) -> str:
    """The name of the first volume that needs the token of *key*."""
    for volume in objects.spec(pod).get("volumes") or ():
        if key in token_keys(_with_only(pod, volume)):
            return str(volume.get("name"))
    return ""


def _with_only(pod: Obj, volume: Obj) -> Obj:
    return {**pod, "spec": {**objects.spec(pod), "volumes": [volume]}}
