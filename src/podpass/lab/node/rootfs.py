"""What a container's file system is made of: an allow-list of the image's root, generated files, volumes.

The root itself is an empty tmpfs, private to the container, as an image's writable layer is; system directories are
bound into it read-only. So nothing of the machine shows that is not named here: no home directory, no /var, no
state of the lab. A volume's mount path may be anywhere: where it lies inside a read-only directory and does not
exist, that directory is replaced by a tmpfs that holds its entries again.

An image that was added from disk has a root of its own instead, whole, below a private top that takes every write.
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from podpass.lab.node.runtime import CannotStart, Mount

CA_BUNDLE = "/etc/ssl/podpass-ca-bundle.crt"
"""Where the bundle always is; the system's own bundle is replaced as well, wherever the image has one."""

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/usr/lib/ssl/cert.pem",
)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "gai.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "pki/ca-trust",
    "pki/tls",
    "protocols",
    "redhat-release",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
_DIRECTORIES = (
    ("/etc", "0755"),
    ("/home", "0755"),
    ("/media", "0755"),
    ("/mnt", "0755"),
    ("/opt", "0755"),
    ("/root", "0700"),
    ("/run", "0755"),
    ("/srv", "0755"),
    ("/tmp", "1777"),  # noqa: S108 - the container's own
    ("/var", "0755"),
    ("/var/cache", "0755"),
    ("/var/lib", "0755"),
    ("/var/log", "0755"),
    ("/var/tmp", "1777"),  # noqa: S108 - the container's own
)
_LINKS = {"/var/run": "/run", "/var/lock": "/run/lock"}
# The container runtimes' own lists.
_READ_ONLY_PROC = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/pressure",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
_MASKED_PROC = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
)
_MOST_ENTRIES = 1_000
_MOST_LINKS = 40


@dataclass(slots=True)
class Layout:
    """Which path of a container comes from where; grows while volumes are placed."""

    root: Path | None = None
    """The image's own root, which shows as a whole and can be written to; None for this machine's."""
    bound: dict[str, Path] = field(default_factory=dict)
    """Read-only, from the image."""
    links: dict[str, str] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    """Directories of the image replaced by a tmpfs with the same entries."""
    hidden: set[str] = field(default_factory=set)
    volumes: dict[str, Path] = field(default_factory=dict)

    def source(self, path: str) -> Path | None:
        """The file of this machine that *path* shows, which need not exist; None when it is the container's own."""
        for parent in _upwards(path):
            if parent in self.volumes:
                return self.volumes[parent] / os.path.relpath(path, parent)
            if parent in self.hidden or parent in self.opened:
                return None
            if parent in self.bound:
                return self.bound[parent] / os.path.relpath(path, parent)
        return self.root / path.lstrip("/") if self.root is not None else None

    def resolve(self, path: str) -> str:
        """*path* with every symbolic link of the container followed."""
        path = os.path.normpath(path)
        for _ in range(_MOST_LINKS):
            followed = self._follow(path)
            if followed == path:
                return path
            path = followed
        raise CannotStart("CreateContainerError", f"too many symbolic links in {path}")

    def _follow(self, path: str) -> str:
        for parent in reversed(list(_upwards(path))):
            target = self.links.get(parent)
            if target is None:
                source = self.source(parent)
                if source is None or not source.is_symlink():
                    continue
                target = str(source.readlink())
            rest = os.path.relpath(path, parent)
            return os.path.normpath(os.path.join(os.path.dirname(parent), target, rest))
        return path


def layout(root: Path | None, paths: Iterable[Path], hidden: Iterable[Path], *, machine: Path = Path("/")) -> Layout:
    """The image's part: *root* is its directory (None: *machine*), *paths* are shown besides, *hidden* never."""
    if root is not None:
        return Layout(root=root, bound={os.path.normpath(path): path for path in paths if path.exists()})
    made = Layout(links=dict(_LINKS))
    for place in (*_SYSTEM, *(f"/etc/{name}" for name in _ETC)):
        _show(made, place, machine / place.lstrip("/"))
    for path in paths:
        place = os.path.normpath(str(path))
        if path.exists() and made.source(place) is None:
            made.bound[place] = path
    for path in hidden:
        # A bound directory below a hidden one stays: it was asked for by name.
        place = os.path.normpath(str(path))
        if made.source(place) is not None and place not in made.bound:
            made.hidden.add(place)
    return made


def _show(made: Layout, place: str, source: Path) -> None:
    if source.is_symlink():
        made.links[place] = str(source.readlink())
    elif source.exists():
        made.bound[place] = source


def arguments(
    made: Layout, files: Mapping[str, Path], mounts: Sequence[Mount], *, ca_bundle: Path, mounted: Path | None = None
) -> list[str]:
    """bubblewrap's arguments for the whole file system. Raises CannotStart for a mount path that can't be.

    *files* are generated ones such as /etc/hosts, by their place. *mounted* is where an image's own root is found.
    """
    placed = [Mount(CA_BUNDLE, ca_bundle, True)]
    placed += [Mount(place, source, True) for place, source in files.items()]
    for bundle in SYSTEM_BUNDLES:
        place = made.resolve(bundle)
        source = made.source(place)
        if source is not None and source.exists():
            placed.append(Mount(place, ca_bundle, True))
    placed = list({mount.path: mount for mount in placed}.values())
    # A volume below another one's mount path must come after it.
    placed += sorted(mounts, key=lambda mount: len(Path(mount.path).parts))

    volumes: list[str] = []
    for mount in placed:
        if not mount.path.startswith("/"):
            raise CannotStart("CreateContainerError", f"mount path {mount.path!r} must be absolute")
        place = made.resolve(mount.path)
        if place == "/":
            raise CannotStart("CreateContainerError", "a volume can't be mounted over the root directory")
        _open_for(made, place)
        made.volumes[place] = mount.source
        volumes += ["--ro-bind" if mount.read_only else "--bind", str(mount.source), place]

    result = _empty_root() if mounted is None else ["--bind", str(mounted), "/"]
    for place in sorted(made.bound.keys() | made.hidden | made.opened):
        if place in made.hidden or place in made.opened:
            result += ["--tmpfs", place]
        else:
            result += ["--ro-bind", str(made.bound[place]), place]
    for place, target in sorted(made.links.items()):
        if made.bound.get(place) is None:
            result += ["--symlink", target, place]
    result += ["--proc", "/proc", "--dev", "/dev"]
    # Where the lab runs as root, the container's root owns the kernel's settings. bubblewrap covers /proc/sys only
    # where the directory itself can be written, which is not what makes its files writable.
    for place in _READ_ONLY_PROC:
        result += ["--ro-bind-try", place, place]
    for place in _MASKED_PROC:
        if os.path.isfile(place):
            result += ["--ro-bind", "/dev/null", place]
        elif os.path.isdir(place):
            result += ["--tmpfs", place, "--remount-ro", place]
    result += volumes
    for place in sorted(made.opened):
        result += ["--remount-ro", place]
    return result


def _empty_root() -> list[str]:
    return [argument for place, mode in _DIRECTORIES for argument in ("--perms", mode, "--dir", place)]


def _open_for(made: Layout, place: str) -> None:
    """Make it possible to create *place* where it lies in a read-only directory that lacks it."""
    source = made.source(place)
    if source is None or os.path.lexists(source):
        return
    if any(parent in made.volumes for parent in _upwards(os.path.dirname(place))):
        # Inside another volume: created there if that is writable, as the kubelet's runtime would.
        return
    directory = os.path.dirname(place)
    while True:
        inner = made.source(directory)
        if inner is not None and inner.is_dir():
            break
        if inner is not None and os.path.lexists(inner):
            raise CannotStart("CreateContainerError", f"{directory} is not a directory, so {place} can't be mounted")
        directory = os.path.dirname(directory)
    if made.root is not None and not any(parent in made.bound for parent in _upwards(place)):
        # The private top takes it.
        return
    entries = list(inner.iterdir())
    if len(entries) > _MOST_ENTRIES:
        raise CannotStart(
            "CreateContainerError",
            f"nothing can be mounted at {place}: {directory} of the image is read-only and has {len(entries)} entries",
        )
    made.opened.add(directory)
    for entry in entries:
        inside = os.path.join(directory, entry.name)
        if inside in made.bound or inside in made.hidden:
            continue
        _show(made, inside, entry)


def find_program(made: Layout, name: str, path: str, working_directory: str) -> str | None:
    """The program that *name* starts inside the container, None when there is none that may be executed."""
    if "/" in name:
        candidates = [os.path.join(working_directory or "/", name)]
    else:
        candidates = [os.path.join(directory, name) for directory in path.split(":") if directory]
    for candidate in candidates:
        source = made.source(made.resolve(candidate))
        if source is not None and source.is_file() and source.stat().st_mode & stat.S_IXUSR:
            return candidate
    return None


def _upwards(path: str) -> Iterable[str]:
    """*path* and its parents, the root excluded, longest first."""
    while path not in ("/", ""):
        yield path
        path = os.path.dirname(path)
