"""Which cluster a lab belongs to. It is decided at the lab's first start and stays."""

import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from podpass.kube.config import Access, ConfigError, context_name, from_kubeconfig
from podpass.lab.environment import LabPaths
from podpass.lab.private_files import replace_file
from podpass.problems import PodpassError
from podpass.tokens.discovery import is_loopback


@dataclass(frozen=True, slots=True)
class Chosen:
    """A context of a kubeconfig. *owner* marks what the lab puts into the cluster."""

    kubeconfig: str
    context: str
    owner: str

    def access(self) -> Access:
        """How to reach it. Raises ConfigError, and PodpassError PP131 when it is not on this machine."""
        access = from_kubeconfig([Path(self.kubeconfig)], context=self.context)
        host = urlsplit(access.server).hostname or ""
        if not is_loopback(host):
            raise PodpassError("PP131", server=access.server, context=self.context, host=host)
        return access


def kept(paths: LabPaths) -> Chosen | None:
    """What the lab was given before; None for a lab with an embedded cluster. Raises PodpassError PP107."""
    try:
        return msgspec.json.decode(paths.cluster.read_bytes(), type=Chosen)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise PodpassError("PP107", path=paths.cluster, reason=error, name=paths.name) from error


def keep(paths: LabPaths, chosen: Chosen) -> None:
    replace_file(paths.cluster, msgspec.json.encode(asdict(chosen)))


def choose(before: Chosen | None, kubeconfig: Path | None, context: str, *, name: str, embedded: bool) -> Chosen | None:
    """The cluster of the lab *name*; None for the embedded one. *embedded* says that it has that one already.

    Raises ConfigError, and PodpassError PP130 when the lab belongs to another cluster.
    """
    if kubeconfig is None:
        if context:
            raise ConfigError("--context names a context of the file that --kubeconfig names")
        return before
    path = str(kubeconfig.absolute())
    if before is None:
        if embedded:
            raise PodpassError("PP130", name=name, cluster="the embedded cluster")
        return Chosen(path, context_name([kubeconfig], context), str(uuid.uuid4()))
    if before.kubeconfig != path or context not in ("", before.context):
        raise PodpassError("PP130", name=name, cluster=f"the context {before.context} of {before.kubeconfig}")
    return before
