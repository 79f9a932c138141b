"""Stock kubectl's exec, attach, run -i, cp: with and without a terminal. W5.5, and the contract's section 1.6."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.running_lab import RunningLab
from tests.terminal import terminal

KUBECTL = str(Path(sys.executable).parent / "kubectl")
_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "box"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "initContainers": [
            {"name": "side", "image": "busybox", "restartPolicy": "Always", "command": ["sleep", "3600"]},
        ],
        "containers": [
            {
                "name": "app",
                "image": "busybox",
                "command": ["sleep", "3600"],
                "env": [{"name": "COLOUR", "value": "blue"}],
                "workingDir": "/srv",
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "securityContext": {"runAsUser": 1000},
            },
            {"name": "shell", "image": "busybox", "command": ["sh"], "stdin": True, "tty": True},
            {"name": "echo", "image": "busybox", "command": ["cat"], "stdin": True},
        ],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
}


def kubectl(lab: RunningLab, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [KUBECTL, *arguments], env=lab.environment, input=stdin, capture_output=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def box(running_lab: RunningLab) -> Iterator[Sequence[str]]:
    """A pod that runs, as kubectl's arguments for its namespace."""
    running_lab.kubectl("create", "namespace", "streams")
    made = kubectl(running_lab, "-n", "streams", "create", "-f", "-", stdin=json.dumps(_POD).encode())
    assert made.returncode == 0, made.stderr
    running_lab.kubectl("-n", "streams", "wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    yield ("-n", "streams")
    running_lab.kubectl("delete", "namespace", "streams", "--wait=false")


def run(
    lab: RunningLab, box: Sequence[str], *command: str, container: str = "app", stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    flags = ["-i"] if stdin is not None else []
    return kubectl(lab, *box, "exec", *flags, "box", "-c", container, "--", *command, stdin=stdin or b"")


def test_exec_keeps_both_outputs_apart_and_hands_the_exit_code_on(running_lab: RunningLab, box: Sequence[str]) -> None:
    done = run(running_lab, box, "sh", "-c", "echo to $COLOUR; echo problem >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, b"to blue\n")
    assert done.stderr == b"problem\ncommand terminated with exit code 3\n"


def test_a_kubectl_that_knows_no_websockets_is_served_as_well(running_lab: RunningLab, box: Sequence[str]) -> None:
    data = os.urandom(1_000_000)
    done = subprocess.run(
        [KUBECTL, *box, "exec", "-i", "box", "-c", "app", "--", "sh", "-c", "sha256sum; echo problem >&2; exit 3"],
        env={**running_lab.environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"},
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()[0].decode()) == (3, hashlib.sha256(data).hexdigest())
    assert done.stderr == b"problem\ncommand terminated with exit code 3\n"


def test_exec_is_the_containers_user_in_its_directory(running_lab: RunningLab, box: Sequence[str]) -> None:
    assert run(running_lab, box, "sh", "-c", "id -u; pwd").stdout == b"1000\n/srv\n"


def test_exec_reaches_a_sidecar(running_lab: RunningLab, box: Sequence[str]) -> None:
    assert run(running_lab, box, "hostname", container="side").stdout == b"box\n"


def test_exec_passes_input_to_its_end(running_lab: RunningLab, box: Sequence[str]) -> None:
    data = os.urandom(3_000_000)
    done = run(running_lab, box, "sha256sum", stdin=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_exec_carries_much_output_whole(running_lab: RunningLab, box: Sequence[str]) -> None:
    done = run(running_lab, box, "head", "-c", "50000000", "/dev/zero")
    assert (done.returncode, len(done.stdout)) == (0, 50_000_000)


@pytest.mark.parametrize(
    ("command", "container", "words"),
    [
        pytest.param("no-such", "app", 'exec: "no-such": executable file not found in $PATH', id="program"),
        pytest.param("true", "nobody", "container nobody is not valid for pod box", id="container"),
    ],
)
def test_exec_of_what_is_not_there_says_so(
    running_lab: RunningLab, box: Sequence[str], command: str, container: str, words: str
) -> None:
    done = run(running_lab, box, command, container=container)
    assert done.returncode == 1
    assert words in done.stderr.decode()


def test_exec_of_a_pod_that_is_not_there_says_so(running_lab: RunningLab, box: Sequence[str]) -> None:
    done = kubectl(running_lab, *box, "exec", "nobody", "--", "true")
    assert b'pods "nobody" not found' in done.stderr


def test_many_execs_at_once_do_not_disturb_each_other(running_lab: RunningLab, box: Sequence[str]) -> None:
    def one(number: int) -> bytes:
        return run(running_lab, box, "sh", "-c", f"sleep 0.2; cat; exit {number}", stdin=b"%d" % number).stdout

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(16))) == [b"%d" % number for number in range(16)]


def test_a_command_does_not_outlive_its_client(running_lab: RunningLab, box: Sequence[str]) -> None:
    process = subprocess.Popen(
        [KUBECTL, *box, "exec", "box", "-c", "app", "--", "sh", "-c", "echo here; exec sleep 1234"],
        env=running_lab.environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while run(running_lab, box, "pgrep", "-f", "sleep 123[4]").stdout:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_a_shell_on_a_terminal_has_its_size_and_its_signals(
    running_lab: RunningLab, box: Sequence[str], websockets: str
) -> None:
    command = [KUBECTL, *box, "exec", "-it", "box", "-c", "app", "--", "sh"]
    environment = {**running_lab.environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
    with terminal(command, environment, rows=33, columns=111) as person:
        person.see("$ ")
        person.type("tty; stty size\r")
        assert "/dev/pts/" in person.see("33 111")
        person.see("$ ")
        person.type("sleep 1000; echo it was $?\r")
        person.see("sleep 1000; echo it was $?")
        time.sleep(0.3)  # The shell has no way to say that it has started it.
        person.type("\x03")
        person.see("$ ")
        person.resize(44, 99)
        person.type("while [ \"$(stty size)\" != '44 99' ]; do sleep 0.1; done; echo re''sized\r")
        person.see("resized")
        person.see("$ ")
        person.type("exit 7\r")
        code, shown = person.end()
    assert code == 7
    assert "command terminated with exit code 7" in shown


def test_attach_joins_a_shell_that_has_a_terminal(running_lab: RunningLab, box: Sequence[str]) -> None:
    command = [KUBECTL, *box, "attach", "-it", "box", "-c", "shell"]
    with terminal(command, running_lab.environment, rows=20, columns=70) as person:
        person.type("\r")
        person.see("# ")
        # The size comes on a channel of its own, and may come after what was typed.
        person.type("until [ \"$(stty size)\" = '20 70' ]; do sleep 0.1; done; echo pid $$\r")
        person.see("pid 1")
        person.see("# ")
        # Process 1 is at its prompt: it is asked to begin a new line, and nothing else ends.
        person.type("\x03")
        person.see("# ")
        person.type("echo st''ill\r")
        person.see("still")


def test_what_an_attached_client_says_is_answered_and_logged(running_lab: RunningLab, box: Sequence[str]) -> None:
    process = subprocess.Popen(
        [KUBECTL, *box, "attach", "-i", "-q", "box", "-c", "echo"],
        env=running_lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"said aloud\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"said aloud\n"
    process.kill()
    process.communicate()
    assert "said aloud\n" in running_lab.kubectl(*box, "logs", "box", "-c", "echo")


_FROM_INSIDE = """
import base64, socket, ssl, sys
place = "/var/run/secrets/kubernetes.io/serviceaccount"
token, tls = open(f"{place}/token").read(), ssl.create_default_context(cafile=f"{place}/ca.crt")
raw = socket.create_connection(("kubernetes.default.svc", 443))
with tls.wrap_socket(raw, server_hostname="kubernetes.default.svc") as api:
    path = "/api/v1/namespaces/streams/pods/box/exec?container=side&stdout=true&command=echo&command=inside"
    api.sendall(
        f"GET {path} HTTP/1.1\\r\\nHost: kubernetes.default.svc\\r\\nAuthorization: Bearer {token}\\r\\n"
        "Connection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n"
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\\r\\n"
        "Sec-WebSocket-Protocol: v4.channel.k8s.io\\r\\n\\r\\n".encode()
    )
    said = b""
    while b"Success" not in said and (more := api.recv(4096)):
        said += more
print(said.split()[1].decode(), b"inside" in said)
"""


def test_a_pod_execs_in_another_over_its_own_way_to_the_api(running_lab: RunningLab, box: Sequence[str]) -> None:
    running_lab.kubectl(*box, "create", "role", "inside", "--verb=create,get", "--resource=pods,pods/exec")
    running_lab.kubectl(*box, "create", "rolebinding", "inside", "--role=inside", "--serviceaccount=streams:default")
    arguments = [
        *box,
        "run",
        "asks",
        "-i",
        "--rm",
        "-q",
        "--restart=Never",
        "--image=python:3.12",
        "--",
        "python3",
        "-",
    ]
    assert kubectl(running_lab, *arguments, stdin=_FROM_INSIDE.encode()).stdout.splitlines()[:1] == [b"101 True"]


def test_files_are_copied_both_ways(running_lab: RunningLab, box: Sequence[str], tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "inner").mkdir(parents=True)
    data = os.urandom(1_000_000)
    (there / "inner" / "random").write_bytes(data)
    running_lab.kubectl(*box, "cp", str(there), "box:/data", "-c", "app")
    running_lab.kubectl(*box, "cp", "box:/data/there", str(tmp_path / "back"), "-c", "app")
    assert (tmp_path / "back" / "inner" / "random").read_bytes() == data


def test_run_gives_input_to_a_pod_and_removes_it(running_lab: RunningLab, box: Sequence[str]) -> None:
    arguments = (*box, "run", "once", "-i", "--rm", "-q", "--restart=Never", "--image=busybox")
    done = kubectl(running_lab, *arguments, "--", "sh", "-c", "cat; exit 4", stdin=b"over\n")
    assert (done.returncode, done.stdout.splitlines()[0]) == (4, b"over")
    assert b"not found" in kubectl(running_lab, *box, "get", "pod", "once").stderr


def test_run_opens_a_shell_on_a_terminal_and_removes_it(running_lab: RunningLab, box: Sequence[str]) -> None:
    overrides = json.dumps({"spec": {"terminationGracePeriodSeconds": 0}})
    command = [KUBECTL, *box, "run", "az-cli", "-l", "azure.workload.identity/use=true", "--image=busybox", "-i"]
    command += ["--tty", "--rm", "--restart=Never", "--command", "/usr/bin/env", f"--overrides={overrides}"]
    with terminal([*command, "--", "COLOUR=green", "sh"], running_lab.environment) as person:
        person.type("\r")
        person.see("# ")
        person.type("echo $COLOUR; exit\r")
        person.see("green")
        code, shown = person.end()
    assert code == 0
    assert 'pod "az-cli" deleted' in shown


def test_debug_puts_a_container_beside_another_and_sees_its_processes(
    running_lab: RunningLab, box: Sequence[str]
) -> None:
    command = [KUBECTL, *box, "debug", "-it", "box", "--image=busybox", "--target=app", "-c", "look", "--", "sh"]
    with terminal(command, running_lab.environment) as person:
        person.type("\r")
        person.see("# ")
        person.type("tr '\\0' ' ' </proc/1/cmdline; exit 3\r")
        person.see("sleep 3600")
        person.end()
    show = "{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}"
    assert running_lab.kubectl(*box, "get", "pod", "box", "-o", f"jsonpath={show}") == "3"


def test_exec_needs_create_even_by_a_get(running_lab: RunningLab, box: Sequence[str]) -> None:
    running_lab.kubectl(*box, "create", "role", "reader", "--verb=get", "--resource=pods,pods/exec")
    running_lab.kubectl(*box, "create", "rolebinding", "reader", "--role=reader", "--user=ann")
    done = kubectl(running_lab, *box, "exec", "box", "-c", "app", "--as=ann", "--", "true")
    assert done.returncode == 1
    assert b'User "ann" cannot create resource "pods/exec" in API group "" in the namespace "streams"' in done.stderr
    running_lab.kubectl(*box, "create", "role", "runner", "--verb=create", "--resource=pods/exec")
    running_lab.kubectl(*box, "create", "rolebinding", "runner", "--role=runner", "--user=ann")
    assert kubectl(running_lab, *box, "exec", "box", "-c", "app", "--as=ann", "--", "true").returncode == 0


def test_the_journal_tells_who_ran_what_and_nothing_of_what_was_said(
    running_lab: RunningLab, box: Sequence[str]
) -> None:
    before = running_lab.control.journal(limit=100_000)[-1]["number"]
    run(running_lab, box, "sh", "-c", "read x; echo over$x; exit 6", stdin=b"heard\n")
    after: list[dict[str, Any]] = running_lab.control.journal(after=before)
    (told,) = [event for event in after if event["what"] == "exec streams/box"]
    assert (told["who"], told["whom"], told["outcome"]) == ("kubernetes-admin", "node", "failed")
    assert told["decision"] == {
        "pod": "box",
        "namespace": "streams",
        "container": "app",
        "stdin": True,
        "tty": False,
        "program": "sh",
        "exit_code": 6,
    }
    assert "heard" not in json.dumps(after)
