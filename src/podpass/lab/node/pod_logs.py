"""The logs of one pod: a file for each run of each container, of which the newest two are kept."""

from pathlib import Path

from podpass.lab.clock import Clock
from podpass.lab.node.logs import ContainerLog


class PodLogs:
    """*directory* is the pod's own."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory = directory
        self._clock = clock
        self._writers: dict[tuple[str, int], ContainerLog] = {}

    def find(self, container: str, run: int) -> tuple[Path, ContainerLog | None]:
        """The file of a container's run, and its writer while the node that started it lives."""
        return self._path(container, run), self._writers.get((container, run))

    def begin(self, container: str, run: int) -> ContainerLog:
        """The log of a new run; only the run before keeps its own."""
        log = ContainerLog(self._path(container, run), self._clock)
        for name, old in list(self._writers):
            if name == container and old < run - 1:
                del self._writers[name, old]
        for path in (self.directory / container).glob("*.log*"):
            number = path.name.partition(".")[0]
            if number.isdigit() and int(number) < run - 1:
                path.unlink(missing_ok=True)
        self._writers[container, run] = log
        return log

    def _path(self, container: str, run: int) -> Path:
        return self.directory / container / f"{run}.log"
