"""Probes and hooks: what they ask, what answers mean, and what comes of it for a pod."""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.handlers import grpc_health, network
from podpass.lab.node.handlers.checks import Exec, GrpcHealth, HttpGet, Impossible, Sleep, TcpConnect, check
from podpass.lab.node.handlers.probing import AT_START, Answer, after, attempts, event, probes_of
from podpass.lab.node.logs import LogOptions, read

WEB = {"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ({"exec": {"command": ["a", "b"]}}, Exec(("a", "b"))),
        ({"httpGet": {"port": 80}}, HttpGet("http", "10.0.0.7", 80, "/", ())),
        (
            {
                "httpGet": {
                    "port": "web",
                    "path": "up?x=1",
                    "scheme": "HTTPS",
                    "host": "10.0.0.8",
                    "httpHeaders": [{"name": "X-A", "value": "b"}],
                }
            },
            HttpGet("https", "10.0.0.8", 8080, "/up?x=1", (("X-A", "b"),)),
        ),
        ({"httpGet": {"port": "8081"}}, HttpGet("http", "10.0.0.7", 8081, "/", ())),
        ({"httpGet": {"port": "none"}}, Impossible("couldn't find port: none")),
        ({"tcpSocket": {"port": "web"}}, TcpConnect("10.0.0.7", 8080)),
        ({"sleep": {"seconds": 3}}, Sleep(3)),
        ({"grpc": {"port": 1, "service": "db"}}, GrpcHealth("10.0.0.7", 1, "db")),
        ({"grpc": {"port": 1}}, GrpcHealth("10.0.0.7", 1, "")),
        ({}, Impossible("missing probe handler")),
    ],
)
def test_what_a_handler_asks_for(handler: dict, expected: object) -> None:
    assert check(handler, WEB, "10.0.0.7") == expected


def probe(kind: str, **settings: object):
    return probes_of({f"{kind}Probe": {"tcpSocket": {"port": 1}, **settings}})[kind]


@pytest.mark.parametrize(
    ("kind", "settings", "answers", "healthy"),
    [
        ("readiness", {}, "", False),
        ("readiness", {}, "+", True),
        ("readiness", {"successThreshold": 2}, "+", False),
        ("readiness", {"successThreshold": 2}, "+-+", False),
        ("readiness", {"successThreshold": 2}, "+-++", True),
        ("readiness", {}, "+--", True),
        ("readiness", {}, "+---", False),
        ("readiness", {}, "+--+--", True),
        ("liveness", {}, "", True),
        ("liveness", {"failureThreshold": 1}, "-", False),
        ("liveness", {}, "--", True),
        ("startup", {}, "", None),
        ("startup", {}, "--", None),
        ("startup", {}, "---", False),
        ("startup", {}, "-+", True),
    ],
)
def test_thresholds(kind: str, settings: dict, answers: str, healthy: bool | None) -> None:
    made = probe(kind, **settings)
    standing = AT_START[kind]
    for answer in answers:
        standing = after(made, standing, answer == "+")
    assert standing.healthy is healthy


def test_an_attempt_counts_at_the_end_of_each_period() -> None:
    found = list(itertools.islice(attempts(probe("liveness", periodSeconds=4)), 3))
    assert found == [(4, True), (8, True), (12, True)]


def test_what_shall_become_true_is_looked_for_within_the_first_period() -> None:
    found = list(itertools.islice(attempts(probe("readiness", periodSeconds=1)), 6))
    assert found == [(0.1, False), (0.2, False), (0.4, False), (0.8, False), (1, True), (2, True)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(True, "fine"), None),
        (Answer(False, "no"), ("Unhealthy", "Liveness probe failed: no")),
        (Answer(None, "no"), ("Unhealthy", "Liveness probe errored and resulted in unknown state: no")),
        (Answer(True, "well", warning=True), ("ProbeWarning", "Liveness probe warning: well")),
    ],
)
def test_events_are_worded_as_the_kubelets(answer: Answer, expected: object) -> None:
    assert event(probe("liveness"), answer) == expected


class Loopback:
    """Connects on this machine's loopback."""

    async def connect(self, address: str, port: int) -> int:
        connection = socket.socket()
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            return connection.detach()
        except OSError as error:
            raise FabricFailed(str(error)) from error
        finally:
            connection.close()


class Web:
    """Answers every request on a port of its own with *answer*, and remembers what was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.requests: list[str] = []
        self.asked = asyncio.Event()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async for found in _web(None):
        yield found


@pytest.fixture
async def secure_web() -> AsyncIterator[Web]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("elsewhere.example").configure_cert(context)
    async for found in _web(context):
        yield found


async def _web(context: ssl.SSLContext | None) -> AsyncIterator[Web]:
    listening = socket.create_server(("127.0.0.1", 0))
    found = Web(listening.getsockname()[1])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            found.asked.set()
            if found.answer is None:
                await reader.read()
                return
            writer.write(found.answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, sock=listening, ssl=context)
    yield found
    server.close()


def request(port: int, **members: object) -> HttpGet:
    found = check({"httpGet": {"port": port, **members}}, WEB, "127.0.0.1")
    assert isinstance(found, HttpGet)
    return found


async def test_a_request_is_the_kubelets(web: Web) -> None:
    answer = await network.get(
        request(web.port, path="/up?x=1", httpHeaders=[{"name": "X-A", "value": "b"}]), Loopback(), 5
    )
    assert answer == Answer(True, "ok")
    lines = web.requests[0].split("\r\n")
    assert lines[0] == "GET /up?x=1 HTTP/1.1"
    assert set(lines[1:-2]) == {
        f"Host: 127.0.0.1:{web.port}",
        "User-Agent: kube-probe/1.37",
        "Accept: */*",
        "X-A: b",
        "Connection: close",
    }


async def test_the_author_may_choose_the_host_header(web: Web) -> None:
    await network.get(request(web.port, httpHeaders=[{"name": "host", "value": "shop.example"}]), Loopback(), 5)
    assert web.requests[0].lower().count("host:") == 1
    assert "shop.example" in web.requests[0]


async def test_any_certificate_will_do(secure_web: Web) -> None:
    assert (await network.get(request(secure_web.port, scheme="HTTPS"), Loopback(), 5)).passed


@pytest.mark.parametrize(
    ("answer", "passed", "output"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, ""),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", True, ""),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", False, "HTTP probe failed with statuscode: 503"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", False, "HTTP probe failed with statuscode: 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken off", True, "broken off"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 2\r\n\r\nhi",
            True,
            "Probe terminated redirects, Response body: hi",
        ),
    ],
)
async def test_what_an_http_answer_means(web: Web, answer: bytes, passed: bool, output: str) -> None:
    web.answer = answer
    found = await network.get(request(web.port), Loopback(), 5)
    assert (found.passed, found.output) == (passed, output)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", ": EOF"),
        (b"no HTTP at all\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", ": stopped after 10 redirects"),
    ],
)
async def test_an_answer_that_is_none_fails(web: Web, answer: bytes, words: str) -> None:
    web.answer = answer
    found = await network.get(request(web.port, path="/x"), Loopback(), 5)
    assert found.passed is False
    assert found.output.startswith(f'Get "http://127.0.0.1:{web.port}/x": ')
    assert words in found.output


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.text(max_size=20), value=st.text(max_size=20), location=st.binary(max_size=20))
async def test_nothing_that_can_be_asked_or_answered_breaks_the_node(
    web: Web, path: str, value: str, location: bytes
) -> None:
    web.answer = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    asked = request(web.port, path=path, httpHeaders=[{"name": "X-A", "value": value}])
    assert isinstance((await network.get(asked, Loopback(), 5)).passed, bool)


async def test_a_path_and_a_header_may_hold_any_letters(web: Web) -> None:
    asked = request(web.port, path="/ü?x=%20 a", httpHeaders=[{"name": "X-A", "value": "ö"}])
    assert (await network.get(asked, Loopback(), 5)).passed
    assert web.requests[0].startswith("GET /%C3%BC?x=%20%20a HTTP/1.1\r\n")
    assert "X-A: ö\r\n" in web.requests[0]


async def test_a_body_is_read_to_a_bound(web: Web) -> None:
    web.answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000
    assert len((await network.get(request(web.port), Loopback(), 5)).output) == network.MOST_BODY


async def test_a_silent_server_times_out(web: Web) -> None:
    web.answer = None
    found = await network.get(request(web.port), Loopback(), 0.05)
    assert found.output == (
        f'Get "http://127.0.0.1:{web.port}/": context deadline exceeded'
        " (Client.Timeout exceeded while awaiting headers)"
    )


async def test_a_port_that_takes_connections(web: Web) -> None:
    assert await network.connects(TcpConnect("127.0.0.1", web.port), Loopback(), 5) == Answer(True)


async def test_a_closed_port_refuses() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        found = await network.connects(TcpConnect("127.0.0.1", port), Loopback(), 5)
        assert found == Answer(False, f"dial tcp 127.0.0.1:{port}: connect: connection refused")
        found = await network.get(request(port), Loopback(), 5)
        assert found.output == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'


async def test_a_name_is_not_looked_up_on_the_host() -> None:
    found = await network.connects(TcpConnect("localhost", 1), Loopback(), 5)
    assert found == Answer(False, "dial tcp: lookup localhost: no such host")


# The health check of gRPC

_BEFORE = (
    "000018040000000000000400400000000500400000000600004000fe0300000001000004080000000000003f0001000000040100"
    "00000000000408000000000000000005000008060000000000504f8985629667ba"
)
_ANSWERED = (
    "00004e01040000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f677270634014677270632d61636365"
    "70742d656e636f64696e67176964656e746974792c206465666c6174652c20677a6970"
)
_TRAILERS = "00001e010500000001400b677270632d7374617475730130000c677270632d6d65737361676500"
HEALTH = {
    "SERVING": f"{_BEFORE}{_ANSWERED}00000700000000000100000000020801{_TRAILERS}",
    "NOT_SERVING": f"{_BEFORE}{_ANSWERED}00000700000000000100000000020802{_TRAILERS}",
    "UNKNOWN": f"{_BEFORE}{_ANSWERED}0000050000000000010000000000{_TRAILERS}",
}
"""What the server of gRPC for Python sends, byte for byte."""
UNIMPLEMENTED = _BEFORE + (
    "00005001050000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f67727063400b677270632d73746174"
    "7573023132000c677270632d6d657373616765114d6574686f64206e6f7420666f756e6421"
)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("status", HEALTH)
def test_a_services_health_is_read_however_it_arrives(status: str, size: int) -> None:
    data, answer = bytes.fromhex(HEALTH[status]), grpc_health.Answer()
    sent = b"".join(answer.feed(data[place : place + size]) for place in range(0, len(data), size))
    assert answer.ended
    assert answer.status == status
    # The settings and the ping are acknowledged.
    assert sent == bytes.fromhex("000000040100000000000008060100000000504f8985629667ba")


def test_a_server_without_health_says_so() -> None:
    answer = grpc_health.Answer()
    answer.feed(bytes.fromhex(UNIMPLEMENTED))
    assert answer.ended
    with pytest.raises(grpc_health.NoHealth, match="does not implement the grpc health protocol"):
        _ = answer.status


@given(st.binary(max_size=200), st.sampled_from(["", *HEALTH.values()]))
def test_nothing_that_is_answered_breaks_the_reader(noise: bytes, before: str) -> None:
    answer = grpc_health.Answer()
    with contextlib.suppress(grpc_health.NoHealth):
        answer.feed(bytes.fromhex(before[: len(before) // 4 * 2]) + noise)
        _ = answer.status


def test_an_answer_is_bounded() -> None:
    answer = grpc_health.Answer()
    with pytest.raises(grpc_health.NoHealth, match="too long"):
        for _ in range(100):
            answer.feed(b"\x00\x04\x00\x00\x00\x00\x00\x00\x01" + bytes(1024))


def test_a_call_names_the_service() -> None:
    asked = grpc_health.call("10.0.0.7", 9, "db")
    assert asked.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"/grpc.health.v1.Health/Check" in asked
    assert asked.endswith(b"\x00\x00\x00\x00\x04\x0a\x02db")


# With a pod


def http(port: int, path: str = "/", **settings: object) -> dict:
    return {"httpGet": {"port": port, "host": "127.0.0.1", "path": path}, "periodSeconds": 0.05, **settings}


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BAD = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"


def ready(status: dict) -> bool:
    return {found["type"]: found["status"] for found in status["conditions"]}["Ready"] == "True"


def messages(api, reason: str) -> list[str]:
    return [event["message"] for event in api.events if event["reason"] == reason]


async def test_readiness_comes_and_goes_with_the_probe(pod_loop, pod_object, container, api, web: Web) -> None:
    web.answer = BAD
    pod_loop(
        pod_object(
            container("exec sleep 300", readinessProbe=http(web.port, failureThreshold=1)),
            terminationGracePeriodSeconds=0,
        )
    )
    await api.until(lambda: messages(api, "Unhealthy"))
    assert messages(api, "Unhealthy")[0] == "Readiness probe failed: HTTP probe failed with statuscode: 500"
    assert (api.statuses[-1]["phase"], ready(api.statuses[-1])) == ("Running", False)
    web.answer = OK
    await api.status(ready)
    web.answer = BAD
    await api.status(lambda status: not ready(status))
    assert api.statuses[-1]["containerStatuses"][0]["restartCount"] == 0


async def test_a_container_that_fails_its_liveness_probe_is_restarted(
    pod_loop, pod_object, container, api, web: Web
) -> None:
    web.answer = BAD
    probe = http(web.port, failureThreshold=2, terminationGracePeriodSeconds=0.2)
    pod_loop(
        pod_object(container("trap '' TERM; while :; do sleep 0.02; done", livenessProbe=probe), restartPolicy="Always")
    )
    status = await api.status(lambda status: status["containerStatuses"][0]["restartCount"])
    last = status["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "Error")
    assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in messages(api, "Unhealthy")
    assert messages(api, "Killing")[0] == "Container app failed liveness probe, will be restarted"


async def test_a_startup_probe_holds_the_others_back(pod_loop, pod_object, container, api, web: Web) -> None:
    web.answer = BAD
    pod_loop(
        pod_object(
            container(
                "exec sleep 300",
                startupProbe=http(web.port, "/startup", failureThreshold=1000),
                readinessProbe=http(web.port, "/readiness"),
            ),
            terminationGracePeriodSeconds=0,
        )
    )
    await api.until(lambda: messages(api, "Unhealthy"))
    assert api.statuses[-1]["containerStatuses"][0]["started"] is False
    assert not any("/readiness" in request for request in web.requests)
    web.answer = OK
    status = await api.status(ready)
    assert status["containerStatuses"][0]["started"] is True


async def test_a_container_that_does_not_start_in_time_is_killed(pod_loop, pod_object, container, api, web) -> None:
    web.answer = BAD
    pod_loop(
        pod_object(container("exec sleep 300", startupProbe=http(web.port, failureThreshold=1)), restartPolicy="Never")
    )
    status = await api.status(lambda status: status["phase"] == "Failed")
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert messages(api, "Killing") == ["Container app failed startup probe"]


async def test_a_sidecars_startup_probe_holds_the_main_container_back(
    pod_loop, pod_object, container, api, web: Web
) -> None:
    web.answer = BAD
    sidecar = container(
        "exec sleep 300",
        name="proxy",
        restartPolicy="Always",
        startupProbe=http(web.port, failureThreshold=1000),
    )
    pod_loop(
        pod_object(container("exec sleep 300"), initContainers=[sidecar], terminationGracePeriodSeconds=0),
    )
    await api.until(lambda: messages(api, "Unhealthy"))
    status = api.statuses[-1]
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    web.answer = OK
    await api.status(lambda status: status["phase"] == "Running" and ready(status))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo broken; exit 1", "Readiness probe failed: broken\n"),
        ("sleep 30", 'Readiness probe failed: command timed out: "sh -c sleep 30" timed out after 0.2s'),
    ],
)
async def test_a_command_that_fails_or_hangs(pod_loop, pod_object, container, api, command: str, words: str) -> None:
    probe = {"exec": {"command": ["sh", "-c", command]}, "periodSeconds": 0.05, "timeoutSeconds": 0.2}
    pod_loop(pod_object(container("exec sleep 300", readinessProbe=probe), terminationGracePeriodSeconds=0))
    await api.until(lambda: messages(api, "Unhealthy"))
    assert messages(api, "Unhealthy")[0] == words


async def test_a_command_shows_readiness(pod_loop, pod_object, container, api) -> None:
    probe = {"exec": {"command": ["sh", "-c", "test -e $LAB_ROOT/tmp/up"]}, "periodSeconds": 0.05, "timeoutSeconds": 5}
    script = "mkdir -p $LAB_ROOT/tmp; touch $LAB_ROOT/tmp/up; exec sleep 300"
    pod_loop(pod_object(container(script, readinessProbe=probe), terminationGracePeriodSeconds=0))
    await api.status(ready)


async def test_a_command_is_a_hook(pod_loop, pod_object, container, api, delete) -> None:
    say = ["sh", "-c", "mkdir -p $LAB_ROOT/tmp; echo bye >$LAB_ROOT/dev/termination-log"]
    loop = pod_loop(pod_object(container("exec sleep 300", lifecycle={"preStop": {"exec": {"command": say}}})))
    await api.status(lambda status: status["phase"] == "Running")
    delete(loop, 30)
    await api.until(lambda: api.deleted)
    assert api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["message"] == "bye\n"


async def test_a_service_says_that_it_serves(pod_loop, pod_object, container, api) -> None:
    reply = bytes.fromhex(HEALTH["SERVING"])
    listening = socket.create_server(("127.0.0.1", 0))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"Health/Check")
            writer.write(reply)
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, sock=listening)
    probe = {"grpc": {"port": listening.getsockname()[1]}, "periodSeconds": 0.05}
    loop = pod_loop(pod_object(container("exec sleep 300", readinessProbe=probe), terminationGracePeriodSeconds=0))
    loop.address = "127.0.0.1"
    await api.status(ready)
    server.close()


async def test_a_probe_that_can_not_be_made_says_so(pod_loop, pod_object, container, api) -> None:
    probe = {"tcpSocket": {"port": "none"}, "periodSeconds": 0.05}
    pod_loop(pod_object(container("exec sleep 300", readinessProbe=probe), terminationGracePeriodSeconds=0))
    await api.until(lambda: messages(api, "Unhealthy"))
    assert messages(api, "Unhealthy")[0] == (
        "Readiness probe errored and resulted in unknown state: couldn't find port: none"
    )


# Hooks


def hook(port: int, path: str) -> dict:
    return {"httpGet": {"port": port, "host": "127.0.0.1", "path": path}}


async def test_a_container_shows_as_running_after_its_hook(pod_loop, pod_object, container, api, web: Web) -> None:
    web.answer = None
    pod_loop(
        pod_object(
            container("exec sleep 300", lifecycle={"postStart": hook(web.port, "/hello")}),
            container("exec sleep 300", name="second"),
            terminationGracePeriodSeconds=0,
        )
    )
    await web.asked.wait()
    status = await api.status(lambda status: status["containerStatuses"][0].get("containerID"))
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "containerID" not in status["containerStatuses"][1]


async def test_the_containers_after_a_hook_start_when_it_is_through(
    pod_loop, pod_object, container, api, web: Web
) -> None:
    web.answer = BAD  # Of a hook's answer the status does not matter.
    pod_loop(
        pod_object(
            container("exec sleep 300", lifecycle={"postStart": hook(web.port, "/hello")}),
            container("exec sleep 300", name="second"),
            terminationGracePeriodSeconds=0,
        )
    )
    await api.status(ready)
    assert "FailedPostStartHook" not in api.reasons()


async def test_a_failed_hook_after_the_start_kills_the_container(pod_loop, pod_object, container, api) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        lifecycle = {"postStart": hook(unused.getsockname()[1], "/")}
        pod_loop(pod_object(container("exec sleep 300", lifecycle=lifecycle)))
        status = await api.status(lambda status: status["phase"] == "Failed")
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert messages(api, "FailedPostStartHook") == ["PostStartHook failed"]
    assert messages(api, "Killing") == ["FailedPostStartHook"]


async def up(loop, container: str) -> None:
    """Wait until a container has written its first line."""
    async with asyncio.timeout(20):
        while not loop.log(container, 0)[0].exists():  # noqa: ASYNC110 - the pod's loop says nothing before
            await asyncio.sleep(0.01)
        follow = aiter(read(*loop.log(container, 0), LogOptions(follow=True)))
        assert await anext(follow) == b"up\n"
        await follow.aclose()


@pytest.fixture
def delete() -> Callable[..., None]:
    def do(loop, seconds: float) -> None:
        metadata = {**loop.pod["metadata"], "deletionTimestamp": "x", "deletionGracePeriodSeconds": seconds}
        loop.update({**loop.pod, "metadata": metadata})

    return do


async def test_the_hook_before_the_end_comes_before_the_signal(
    pod_loop, pod_object, container, api, web: Web, delete
) -> None:
    web.answer = None
    loop = pod_loop(pod_object(container("exec sleep 300", lifecycle={"preStop": hook(web.port, "/bye")})))
    await api.status(lambda status: status["phase"] == "Running")
    delete(loop, 30)
    await web.asked.wait()
    assert not api.deleted
    delete(loop, 0)
    await api.until(lambda: api.deleted)
    assert api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_a_hook_counts_against_the_grace(pod_loop, pod_object, container, api, web: Web, delete) -> None:
    web.answer = None
    loop = pod_loop(pod_object(container("exec sleep 300", lifecycle={"preStop": hook(web.port, "/bye")})))
    await api.status(lambda status: status["phase"] == "Running")
    delete(loop, 0.1)
    await api.until(lambda: api.deleted)
    assert api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


async def test_a_failed_hook_before_the_end_changes_nothing(pod_loop, pod_object, container, api, delete) -> None:
    lifecycle = {"preStop": {"httpGet": {"port": "none"}}}
    loop = pod_loop(pod_object(container("exec sleep 300", lifecycle=lifecycle)))
    await api.status(lambda status: status["phase"] == "Running")
    delete(loop, 30)
    await api.until(lambda: api.deleted and messages(api, "FailedPreStopHook"))
    assert messages(api, "FailedPreStopHook") == ["PreStopHook failed"]
    assert api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


async def test_sidecars_end_last_and_in_reverse(pod_loop, pod_object, container, api, delete) -> None:
    script = "trap 'sleep 0.05; echo {} >>$LAB_ROOT/data/order; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    always = {"restartPolicy": "Always"}
    loop = pod_loop(
        pod_object(
            container(script.format("main"), **mount),
            initContainers=[
                container(script.format("one"), name="one", **always, **mount),
                container(script.format("two"), name="two", **always, **mount),
            ],
            volumes=[{"name": "data", "emptyDir": {}}],
        )
    )
    for name in ("one", "two", "app"):
        await up(loop, name)
    order = loop.directory / "volumes" / "data" / "order"
    kept = os.open(order, os.O_RDWR | os.O_CREAT)
    delete(loop, 10)
    await api.until(lambda: api.deleted)
    assert os.pread(kept, 100, 0) == b"main\ntwo\none\n"
    os.close(kept)


async def test_the_signal_may_be_another(pod_loop, pod_object, container, api, delete) -> None:
    script = "trap 'exit 7' USR1; trap '' TERM; echo up; while :; do sleep 0.02; done"
    loop = pod_loop(pod_object(container(script, lifecycle={"stopSignal": "SIGUSR1"})))
    await up(loop, "app")
    delete(loop, 10)
    await api.until(lambda: api.deleted)
    assert api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


async def test_a_pod_is_ended_at_its_deadline(pod_loop, pod_object, container, api, clock) -> None:
    loop = pod_loop(pod_object(container("exec sleep 300"), activeDeadlineSeconds=60, restartPolicy="Always"))
    await api.status(lambda status: status["phase"] == "Running")
    clock.advance(61)
    loop.wake()
    status = await api.status(lambda status: status["phase"] == "Failed")
    assert (status["reason"], status["message"]) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert status["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.parametrize(
    ("script", "policy", "message"),
    [
        ("printf farewell >$LAB_ROOT/dev/termination-log; exit 1", "File", "farewell"),
        ("echo trouble; exit 1", "File", None),
        ("echo trouble; exit 1", "FallbackToLogsOnError", "trouble\n"),
        ("echo trouble; exit 0", "FallbackToLogsOnError", None),
        ("printf own >$LAB_ROOT/dev/termination-log; echo trouble; exit 1", "FallbackToLogsOnError", "own"),
        ("printf %05000d 0 >$LAB_ROOT/dev/termination-log", "File", "0" * 4096),
    ],
)
async def test_last_words(pod_loop, pod_object, container, api, script: str, policy: str, message: str | None) -> None:
    pod_loop(pod_object(container(script, terminationMessagePolicy=policy)))
    status = await api.status(lambda status: status["phase"] in ("Failed", "Succeeded"))
    assert status["containerStatuses"][0]["state"]["terminated"].get("message") == message
