"""One pod's volumes on disk: written when it starts, kept current while it runs."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from podpass.kube import objects
from podpass.kube.client import ApiError
from podpass.kube.objects import Obj
from podpass.lab.clock import Clock
from podpass.lab.node import atomic_writer
from podpass.lab.node.client import NodeClient
from podpass.lab.node.container_environment import NotYet, References
from podpass.lab.node.csi_volumes import CsiDrivers, CsiFailed, CsiVolume
from podpass.lab.node.fields import Place
from podpass.lab.node.host_paths import host_path
from podpass.lab.node.security import fs_group
from podpass.lab.node.token_refresh import ProjectedToken, is_expired, refresh_at
from podpass.lab.node.volumes import Csi, EmptyDirectory, Files, HostPath, TokenKey, content, token_keys

_log = structlog.get_logger(__name__)


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
        node_root: Path,
        host_roots: Sequence[Path],
        csi: CsiDrivers,
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
        self._node_root, self._host_roots = node_root, host_roots
        self._csi = csi
        self._published: dict[str, CsiVolume] = {}
        self._made_of: object = None
        """What the files on disk were made of."""
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
        read_again = self._read_at is None or now - self._read_at >= self._sync_seconds
        if read_again:
            self.references = await self._api.references(pod)
            self._read_at = now
        problem = await self._refresh_tokens(pod)
        # The pod's own members may be in its files as well.
        made_of = (objects.labels(pod), objects.annotations(pod), [held for held, _ in self._tokens.values()])
        if not read_again and problem is None and made_of == self._made_of:
            return None
        self._made_of = None
        for volume in objects.spec(pod).get("volumes") or ():
            found = await self._make(pod, volume, place)
            problem = problem or found
        if problem is None:
            self._made_of = made_of
        return problem

    async def take_down(self) -> None:
        """Have the drivers take away what they show; what is only files goes with the pod's directory."""
        for volume in self._published.values():
            try:
                await self._csi.unpublish(volume)
            except CsiFailed as error:
                _log.warning("node.volume.stuck", driver=volume.driver, volume=volume.id, error=str(error))
        self._published.clear()

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

    async def _make(self, pod: Obj, volume: Obj, place: Place) -> NotYet | None:
        name = volume["name"]
        tokens = {key: held.token for key, (held, _) in self._tokens.items()}
        if any(key not in tokens for key in token_keys(_with_only(pod, volume))):
            return NotYet(f"volume {name} has no token yet")
        group = fs_group(pod) is not None
        path: Path | NotYet = self._directory / name
        assert isinstance(path, Path)
        match made := content(pod, volume, self.references, tokens, place):
            case Files():
                mode = 0o2775 if group else 0o755
                atomic_writer.write(path, made.files, now=self._clock.now(), directory_mode=mode)
            case EmptyDirectory():
                _make_empty(path, 0o2777 if group else 0o777)
            case HostPath():
                path = host_path(made.path, made.kind, node_root=self._node_root, host_roots=self._host_roots)
            case Csi():
                path = await self._publish(name, made, path)
            case NotYet():
                path = made
        if isinstance(path, NotYet):
            self._report(name, path.message)
            return path
        self.paths[name] = path
        return None

    async def _publish(self, name: str, made: Csi, directory: Path) -> Path | NotYet:
        before = self._published.get(name)
        if before is not None and not self._csi.republishes(made.driver):
            return before.target
        secret = self.references.secrets.get(made.secret)
        if made.secret and secret is None:
            return NotYet(f'fetching NodePublishSecretRef {made.secret} failed: secrets "{made.secret}" not found')
        data = (secret or {}).get("data") or {}
        volume = CsiVolume(
            driver=made.driver,
            id=made.id,
            target=directory / "mount",
            read_only=made.read_only,
            attributes=made.attributes,
            secrets={key: base64.b64decode(value) for key, value in data.items()},
        )
        try:
            await self._csi.publish(volume)
        except CsiFailed as error:
            # What it shows already stays; only the renewal has to wait.
            return before.target if before is not None else NotYet(str(error))
        self._published[name] = volume
        return volume.target

    def _report(self, volume: str, message: str) -> None:
        self._on_problem(f'MountVolume.SetUp failed for volume "{volume}" : {message}')


def _make_empty(path: Path, mode: int) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)


def volume_of(pod: Obj, key: TokenKey) -> str:
    """The name of the first volume that needs the token of *key*."""
    for volume in objects.spec(pod).get("volumes") or ():
        if key in token_keys(_with_only(pod, volume)):
            return str(volume.get("name"))
    return ""


def _with_only(pod: Obj, volume: Obj) -> Obj:
    return {**pod, "spec": {**objects.spec(pod), "volumes": [volume]}}
