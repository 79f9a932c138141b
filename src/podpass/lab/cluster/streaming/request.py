"""What an exec or attach asks for: which container, which streams, and the refusals of what can't be.

Contract: Kubernetes API surface, section 1.6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.requests.options import is_true

MOST_ARGUMENTS = 4096
MOST_PORTS = 100
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The query of an exec or attach, for the container it is about."""

    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    """Never with a terminal, which has one output."""
    tty: bool
    command: tuple[str, ...] = ()

    def wants(self, number: int) -> bool:
        """Whether the client takes what is written to stdout (1) or stderr (2)."""
        return self.stdout if number == 1 else self.stderr

    def admitted(self, kind: str) -> Obj:
        """The object that admission sees."""
        members: Obj = {
            "stdin": self.stdin,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "tty": self.tty,
            "container": self.container,
            "command": list(self.command),
        }
        return {"kind": kind, "apiVersion": "v1", **{name: value for name, value in members.items() if value}}


def chosen_container(pod: Obj, asked: str) -> str:
    """The container that is meant: the one asked for, or the only one. Raises StatusError 400."""
    spec, name = objects.spec(pod), objects.name(pod)
    names = {member: [str(each.get("name")) for each in spec.get(member) or ()] for member in _CONTAINERS}
    if asked:
        if not any(asked in known for known in names.values()):
            raise StatusError.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    main, init = names["containers"], names["initContainers"]
    if len(main) == 1:
        return main[0]
    text = f"a container name must be specified for pod {name}"
    if main:
        text += f", choose one of: [{' '.join(main)}]"
    if main and init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise StatusError.bad_request(text)


def must_have_a_node(pod: Obj) -> None:
    """Raises StatusError 400 for a pod that is bound to none."""
    if not objects.spec(pod).get("nodeName"):
        raise StatusError.bad_request(f"pod {objects.name(pod)} does not have a host assigned")


def stream_options(pod: Obj, query: Mapping[str, str], command: Sequence[str] = ()) -> StreamOptions:
    """The options of a request about *pod*. Raises StatusError 400."""
    container = chosen_container(pod, query.get("container", ""))
    must_have_a_node(pod)
    tty = is_true(query.get("tty", ""))
    options = StreamOptions(
        container=container,
        stdin=is_true(query.get("stdin", "")),
        stdout=is_true(query.get("stdout", "")),
        stderr=is_true(query.get("stderr", "")) and not tty,
        tty=tty,
        command=tuple(command),
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise StatusError.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return options


def exec_options(pod: Obj, query: Mapping[str, str], members: Sequence[tuple[str, str]]) -> StreamOptions:
    """The options of an exec, with the command that *members* of the query spell. Raises StatusError 400."""
    command = [value for name, value in members if name == "command"]
    options = stream_options(pod, query, command)
    if not command or not command[0]:
        raise StatusError.bad_request("you must specify at least one command for the container")
    if len(command) > MOST_ARGUMENTS:
        raise StatusError.bad_request(f"the command has more than {MOST_ARGUMENTS} arguments")
    return options


class NoPort(Exception):
    """What should name a port does not."""


def port_of(text: str) -> int:
    """Raises NoPort."""
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65536:
        raise NoPort(f"unable to parse {text[:20]!r} as a port")
    return int(text)


def asked_ports(members: Sequence[tuple[str, str]]) -> list[int]:
    """The ports that a query names. Raises StatusError 400."""
    texts = [text for name, value in members if name == "ports" for text in value.split(",") if text]
    if len(texts) > MOST_PORTS:
        raise StatusError.bad_request(f"more than {MOST_PORTS} ports")
    try:
        return [port_of(text.strip()) for text in texts]
    except NoPort as error:
        raise StatusError.bad_request(str(error)) from error
