"""Exec and attach at the API server: what is asked for, what is refused, and the channels of websocket clients."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.status import StatusError
from podpass.lab.cluster.streaming.channels import ChannelClient
from podpass.lab.cluster.streaming.outcome import SUCCESS, exited, not_executed
from podpass.lab.cluster.streaming.port_forward import StreamHead
from podpass.lab.cluster.streaming.request import NoPort, StreamOptions, chosen_container, exec_options
from podpass.lab.cluster.streaming.session import ClientLeft, Input, InputEnd, Resize, Stopped, carry
from podpass.serving.spdy import Opened
from podpass.serving.websocket import Piece
from tests.lab.cluster.core_api import Api, opened

PODS = "/api/v1/namespaces/default/pods"
_TWO = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n"}}


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    """A cluster without a node, with one pod that is bound to one and one that is not."""
    async with opened(cluster_keys) as found:
        container = {"name": "app", "image": "busybox"}
        await found.made(PODS, {"metadata": {"name": "bound"}, "spec": {"nodeName": "n", "containers": [container]}})
        await found.made(
            PODS, {"metadata": {"name": "new"}, "spec": {"containers": [container, {**container, "name": "b"}]}}
        )
        yield found


# --- what is asked for


@pytest.mark.parametrize(
    ("spec", "asked", "container"),
    [
        pytest.param({"containers": [{"name": "a"}]}, "", "a", id="the-only-one"),
        pytest.param({"containers": [{"name": "a"}, {"name": "b"}]}, "b", "b", id="named"),
        pytest.param({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}, "i", "i", id="init"),
        pytest.param({"containers": [{"name": "a"}], "ephemeralContainers": [{"name": "e"}]}, "e", "e", id="ephemeral"),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            "",
            "a container name must be specified for pod p, choose one of: [a b]",
            id="not-named",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]},
            "",
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
            id="not-named-with-init",
        ),
        pytest.param({"containers": [{"name": "a"}]}, "x", "container x is not valid for pod p", id="unknown"),
    ],
)
def test_the_container_is_named_or_the_only_one(spec: dict[str, Any], asked: str, container: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": spec}
    try:
        found = chosen_container(pod, asked)
    except StatusError as error:
        assert error.code == 400
        found = error.message
    assert found == container


def test_a_terminal_has_one_output() -> None:
    query = {"container": "a", "stdout": "1", "stderr": "true", "tty": "true", "stdin": "true"}
    options = exec_options(_TWO, query, [("command", "sh"), ("command", "-c"), ("x", "y"), ("command", "")])
    assert options == StreamOptions("a", stdin=True, stdout=True, stderr=False, tty=True, command=("sh", "-c", ""))


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        pytest.param("none/exec?command=ls&stdout=1", 404, 'pods "none" not found', id="no-pod"),
        pytest.param("new/exec?command=ls&stdout=1", 400, "a container name must be specified for pod new", id="which"),
        pytest.param("new/attach?container=b&stdout=1", 400, "pod new does not have a host assigned", id="no-node"),
        pytest.param(
            "bound/exec?command=ls", 400, "you must specify at least 1 of stdin, stdout, stderr", id="streams"
        ),
        pytest.param(
            "bound/exec?stdout=1", 400, "you must specify at least one command for the container", id="nothing"
        ),
        pytest.param("bound/exec?command=ls&stdout=1", 400, "Upgrade request required", id="no-upgrade"),
        pytest.param("bound/attach?stdout=1", 400, "Upgrade request required", id="no-upgrade-to-attach"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_can_not_be_is_refused(api: Api, method: str, path: str, status: int, words: str) -> None:
    answer = await api(method, f"{PODS}/{path}")
    assert answer.status == status
    assert answer.body["message"].startswith(words)


async def test_a_container_that_does_not_run_is_refused_as_the_kubelet_does(api: Api) -> None:
    offer = {"connection": "Upgrade", "upgrade": "websocket"}
    answer = await api("GET", f"{PODS}/bound/exec?command=ls&stdout=1", headers=offer)
    assert (answer.status, answer.raw) == (500, b"no node answers")


async def test_admission_sees_what_is_connected_to(api: Api) -> None:
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["pods/exec"]}
    asks = "request.kind.kind == 'PodExecOptions' && request.subResource == 'exec' && object.command[0] == 'rm'"
    policy = {
        "metadata": {"name": "no-rm"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": f"!({asks})", "message": "not this one"}],
        },
    }
    await api.made(f"{group}/validatingadmissionpolicies", policy)
    binding = {"metadata": {"name": "no-rm"}, "spec": {"policyName": "no-rm", "validationActions": ["Deny"]}}
    await api.made(f"{group}/validatingadmissionpolicybindings", binding)
    refused = await api("POST", f"{PODS}/bound/exec?command=rm&command=-rf&stdout=1")
    assert refused.status == 422
    assert "not this one" in refused.body["message"]
    assert (await api("POST", f"{PODS}/bound/exec?command=ls&stdout=1")).body["message"] == "Upgrade request required"


@pytest.mark.parametrize(
    ("headers", "head"),
    [
        pytest.param({"streamtype": "data", "port": "80", "requestid": "7"}, StreamHead("7", 80, False), id="data"),
        pytest.param({"streamtype": "error", "port": "80"}, StreamHead("5", 80, True), id="error-without-request"),
        pytest.param({"streamtype": "data", "port": "80"}, StreamHead("3", 80, False), id="data-without-request"),
        pytest.param({"streamtype": "data", "port": "0"}, None, id="port-zero"),
        pytest.param({"streamtype": "data", "port": "70000"}, None, id="port-too-large"),
        pytest.param({"streamtype": "data"}, None, id="no-port"),
        pytest.param({"streamtype": "more", "port": "80"}, None, id="another-kind"),
    ],
)
def test_a_forwarded_stream_names_its_port_and_its_kind(headers: dict[str, str], head: StreamHead | None) -> None:
    try:
        found = StreamHead.of(Opened(5, headers, False))
    except NoPort:
        found = None
    assert found == head


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("new/portforward", "pod new does not have a host assigned", id="no-node"),
        pytest.param("bound/portforward?ports=http", "unable to parse 'http' as a port", id="no-port"),
        pytest.param("bound/portforward?ports=80", "Upgrade request required", id="no-upgrade"),
    ],
)
async def test_forwarding_that_can_not_be_is_refused(api: Api, path: str, words: str) -> None:
    answer = await api("POST", f"{PODS}/{path}")
    assert (answer.status, answer.body["message"]) == (400, words)


class Deaf:
    """Streams of a program that neither reads nor writes nor ends."""

    async def write(self, data: bytes) -> None:
        await asyncio.Event().wait()

    async def copy_output(self, sink: object) -> None:
        await asyncio.Event().wait()


class Vanishing:
    """A client that sends something and is gone, which shows only when it is sent something."""

    def __init__(self, pings: int) -> None:
        self._pings = pings

    async def receive(self) -> Input:
        return Input(b"much")

    async def ping(self) -> None:
        self._pings -= 1
        if self._pings < 0:
            raise ConnectionResetError


async def test_a_client_that_is_gone_is_noticed_even_while_nobody_reads_it() -> None:
    options = StreamOptions("a", stdin=True, stdout=True, stderr=True, tty=False)
    async with asyncio.timeout(20):
        with pytest.raises(ClientLeft):
            await carry(Vanishing(2), Deaf(), options, asyncio.Event(), heartbeat_seconds=0.01)  # type: ignore[arg-type]


async def test_a_session_ends_when_it_is_told_to() -> None:
    options = StreamOptions("a", stdin=True, stdout=True, stderr=True, tty=False)
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(Stopped):
        await carry(Vanishing(2), Deaf(), options, stop)  # type: ignore[arg-type]


# --- channels


class Scripted:
    """A websocket that gives the pieces it was made with, and keeps what is sent."""

    def __init__(self, subprotocol: str, *messages: Sequence[bytes]) -> None:
        self.subprotocol = subprotocol
        self._pieces = [
            Piece(data, number == 0, number == len(message) - 1)
            for message in messages
            for number, data in enumerate(message)
        ]
        self.sent: list[bytes] = []
        self.closed = False

    async def receive(self) -> Piece | None:
        return self._pieces.pop(0) if self._pieces else None

    async def send(self, data: bytes, *, text: bool = False) -> None:
        assert text == ("base64" in self.subprotocol)
        self.sent.append(data)

    async def close(self, code: int = 1000) -> None:
        self.closed = True


async def events(websocket: Scripted) -> list[Any]:
    client = ChannelClient(websocket)  # type: ignore[arg-type]
    found = []
    while (event := await client.receive()) is not None:
        found.append(event)
    return found


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6), st.booleans())
async def test_input_is_the_same_however_its_message_arrives(data: bytes, cuts: list[int], text: bool) -> None:
    message = (b"0" + base64.b64encode(data)) if text else b"\0" + data
    places = sorted({0, *(cut for cut in cuts if cut < len(message)), len(message)})
    pieces = [message[start:end] for start, end in itertools.pairwise(places)]
    websocket = Scripted("v4.base64.channel.k8s.io" if text else "v4.channel.k8s.io", pieces)
    assert b"".join(event.data for event in await events(websocket)) == data


@pytest.mark.parametrize(
    ("subprotocol", "message", "event"),
    [
        pytest.param("v4.channel.k8s.io", b'\4{"Width":80,"Height":24}', Resize(80, 24), id="size"),
        pytest.param("v4.base64.channel.k8s.io", b'4{"Width":80,"Height":24}', Resize(80, 24), id="size-as-text"),
        pytest.param("v5.channel.k8s.io", b"\xff\0", InputEnd(), id="close-stdin"),
        pytest.param("v4.channel.k8s.io", b"\xff\0", None, id="close-is-of-v5"),
        pytest.param("v5.channel.k8s.io", b"\xff\1", None, id="close-stdout"),
        pytest.param("v5.channel.k8s.io", b"\4{", None, id="no-size"),
        pytest.param("v5.channel.k8s.io", b'\4{"Width":-1,"Height":"x"}', None, id="size-that-is-none"),
        pytest.param("v5.channel.k8s.io", b'\4{"Width":70000,"Height":1}', None, id="size-beyond-all"),
        pytest.param("v5.channel.k8s.io", b"\4[]", None, id="size-of-another-shape"),
        pytest.param("v5.channel.k8s.io", b"\1out", None, id="output-from-a-client"),
        pytest.param("v5.channel.k8s.io", b"\x09", None, id="no-such-channel"),
        pytest.param("v5.channel.k8s.io", b"", None, id="empty"),
        pytest.param("base64.channel.k8s.io", b"0!!!!", None, id="not-base64"),
    ],
)
async def test_a_message_is_what_its_channel_says(subprotocol: str, message: bytes, event: Any) -> None:
    after = b"0" + base64.b64encode(b"on") if "base64" in subprotocol else b"\0on"
    found = await events(Scripted(subprotocol, [message], [after]))
    assert found == [*([event] if event else []), Input(b"on")]


async def test_a_message_without_end_on_a_channel_for_small_ones_ends_the_conversation() -> None:
    assert await events(Scripted("v5.channel.k8s.io", [b"\4", *[bytes(1000)] * 3], [b"\0on"])) == []


@pytest.mark.parametrize(
    ("subprotocol", "code", "told"),
    [
        pytest.param("v5.channel.k8s.io", 0, b'\3{"metadata":{},"status":"Success"}', id="v5"),
        pytest.param(
            "v4.base64.channel.k8s.io", 0, b"3" + base64.b64encode(b'{"metadata":{},"status":"Success"}'), id="v4"
        ),
        pytest.param("channel.k8s.io", 0, None, id="older-success-says-nothing"),
        pytest.param(
            "",
            2,
            b"\3command terminated with non-zero exit code: error executing command [x y], exit code 2",
            id="older",
        ),
    ],
)
async def test_each_protocol_tells_the_end_in_its_own_way(subprotocol: str, code: int, told: bytes | None) -> None:
    websocket = Scripted(subprotocol)
    client = ChannelClient(websocket)  # type: ignore[arg-type]
    await client.finish(exited(code, ["x", "y"]))
    assert websocket.sent == ([] if told is None else [told])
    assert websocket.closed


def test_the_exit_code_is_a_cause_of_the_status() -> None:
    status = exited(3, ["false"])
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert exited(0) == exited(None) == SUCCESS


def test_a_program_that_is_not_there_is_an_internal_error() -> None:
    status = json.loads(json.dumps(not_executed('exec: "x": executable file not found in $PATH', program=True)))
    assert (status["code"], status["reason"]) == (500, "InternalError")
    assert 'unable to start container process: exec: "x": executable file not found' in status["message"]
