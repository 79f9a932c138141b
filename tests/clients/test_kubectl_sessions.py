"""kubectl enters running pods, the current one over websockets and Debian's old one over SPDY."""

import os
from pathlib import Path

import pytest

from tests.clients.conftest import Kubectl
from tests.terminal import terminal

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    command: [sh, -c, 'while read line; do echo "got $line"; done; exec sleep 300']
    stdin: true
    stdinOnce: true
    env: [{name: COLOUR, value: blue}]
  - {name: other, image: busybox, command: [sleep, "300"]}
"""


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    kubectl("create -f -", stdin=POD)
    kubectl("wait --for=condition=Ready pod/web --timeout=30s")
    return kubectl


def test_exec_carries_outputs_input_and_the_exit_code(web: Kubectl) -> None:
    assert web("exec web -c c -- sh -c 'echo out; echo $COLOUR'") == "out\nblue\n"
    done = web.run("exec web -c c -- sh -c 'echo said >&2; exit 7'")
    assert (done.returncode, done.stdout) == (7, "")
    assert "said\n" in done.stderr
    assert web("exec -i web -c other -- wc -c", stdin="x" * 300_000).strip() == "300000"
    assert len(web("exec web -c c -- head -c 3000000 /dev/zero")) == 3_000_000
    assert "NotFound" in web.refused("exec none -- true")


def test_exec_on_a_terminal(web: Kubectl) -> None:
    command = [str(web.binary), "--namespace", web.namespace, "exec", "-it", "web", "-c", "c", "--", "sh"]
    with terminal(command, web.environment, rows=31, columns=99) as person:
        person.see("# ")
        person.type("stty size; exit 3\r")
        person.see("31 99")
        assert person.end()[0] == 3


def test_run_gives_input_to_a_pod_and_removes_it(kubectl: Kubectl) -> None:
    line = "run once -i --rm --image=busybox --restart=Never -- sh -c 'cat; exit 4'"
    done = kubectl.run(line, stdin="over\n")
    assert "over\n" in done.stdout
    assert 'pod "once" deleted' in done.stdout
    assert done.returncode == 4, done.stderr
    assert kubectl("get pods -o name") == ""


def test_files_are_copied_there_and_back(web: Kubectl, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "inner").mkdir(parents=True)
    (source / "a.txt").write_text("first\n")
    (source / "inner" / "b.bin").write_bytes(os.urandom(100_000))
    web(f"cp {source} web:/tmp/there -c c")
    assert web("exec web -c c -- cat /tmp/there/a.txt") == "first\n"
    web(f"cp web:/tmp/there {back} -c c")
    assert (back / "inner" / "b.bin").read_bytes() == (source / "inner" / "b.bin").read_bytes()


def test_attach_gives_input_to_the_first_process(web: Kubectl) -> None:
    attached = web.start("attach -i web -c c", stdin=True)
    assert attached.stdin is not None
    assert attached.stdout is not None
    attached.stdin.write("hello\n")
    attached.stdin.flush()
    while "got hello" not in (line := attached.stdout.readline()):
        assert line
    attached.kill()
    attached.communicate()
    assert "got hello\n" in web("logs web -c c")
