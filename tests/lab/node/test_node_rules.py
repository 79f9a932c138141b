"""Status, next actions, images, the choice of a runtime: pure tables."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from podpass.lab.node.addresses import FIRST, NodeNetwork, node_of
from podpass.lab.node.images import Catalogue, Image, NoImage, ResolvedImage, matches
from podpass.lab.node.lifecycle import BackOffTimes, Start, Stop, Wait, after_restart, crash_loop, next_actions
from podpass.lab.node.rootfs import arguments, find_program, layout
from podpass.lab.node.runtime import CannotStart, Mount, Probe, choose_runtime
from podpass.lab.node.status import BackOff, Container, PodState, Running, Terminated, Waiting, phase, pod_status

POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 2}, "spec": {}}
UP = Running("c1", 100.0)
DONE = Terminated(0, "Completed", 110.0, 100.0, "c1")
FAILED = Terminated(1, "Error", 110.0, 100.0, "c1")
NEW = Waiting("ContainerCreating")


def state(*main: object, init: tuple = (), policy: str = "Always", sidecars: int = 0) -> PodState:
    def made(name: str, found: object, sidecar: bool = False) -> Container:
        return found if isinstance(found, Container) else Container(name, "i", state=found, sidecar=sidecar)

    return PodState(
        pod={**POD, "spec": {"restartPolicy": policy}},
        host_ip="10.244.0.1",
        pod_ip="10.244.0.7",
        network_ready=True,
        init=tuple(made(f"i{n}", found, n < sidecars) for n, found in enumerate(init)),
        main=tuple(made(f"m{n}", found) for n, found in enumerate(main)),
    )


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(state(NEW), "Pending", id="new"),
        pytest.param(state(UP), "Running", id="running"),
        pytest.param(state(UP, NEW), "Running", id="one-of-two"),
        pytest.param(state(DONE, policy="Never"), "Succeeded", id="done"),
        pytest.param(state(DONE), "Running", id="done-but-restarts"),
        pytest.param(state(FAILED, policy="Never"), "Failed", id="failed"),
        pytest.param(state(FAILED, DONE, policy="Never"), "Failed", id="one-failed"),
        pytest.param(state(FAILED, UP, policy="Never"), "Running", id="one-failed-one-runs"),
        pytest.param(state(FAILED, policy="OnFailure"), "Running", id="will-restart"),
        pytest.param(state(DONE, policy="OnFailure"), "Succeeded", id="on-failure-done"),
        pytest.param(state(NEW, init=(UP,)), "Pending", id="init-runs"),
        pytest.param(state(NEW, init=(FAILED,), policy="Never"), "Failed", id="init-failed"),
        pytest.param(state(NEW, init=(FAILED,)), "Pending", id="init-restarts"),
        pytest.param(state(UP, init=(UP,), sidecars=1), "Running", id="sidecar"),
        pytest.param(state(DONE, init=(UP,), sidecars=1, policy="Never"), "Succeeded", id="sidecar-does-not-hold"),
        pytest.param(replace(state(NEW), rejected=("No", "no")), "Failed", id="rejected"),
        pytest.param(replace(state(UP), overdue=("No", "no")), "Failed", id="overdue"),
        pytest.param(state(Container("m0", "i", state=UP, hooked=False)), "Pending", id="hook-after-start-runs"),
    ],
)
def test_phase(pod: PodState, expected: str) -> None:
    assert phase(pod) == expected


def waits(ended: Terminated, seconds: float) -> Container:
    return Container("m0", "i", state=ended, last=ended, back_off=BackOff(seconds, ended.finished_at))


@pytest.mark.parametrize(
    ("pod", "actions"),
    [
        pytest.param(state(NEW, NEW), [Start("m0"), Start("m1")], id="all-main-at-once"),
        pytest.param(state(NEW, init=(NEW, NEW)), [Start("i0")], id="first-init-only"),
        pytest.param(state(NEW, init=(UP, NEW)), [], id="init-runs"),
        pytest.param(state(NEW, init=(DONE, NEW)), [Start("i1")], id="next-init"),
        pytest.param(state(NEW, init=(DONE, DONE)), [Start("m0")], id="init-done"),
        pytest.param(state(NEW, init=(FAILED, NEW)), [Start("i0")], id="init-again"),
        pytest.param(state(NEW, init=(FAILED, NEW), policy="Never"), [], id="init-failed-for-good"),
        pytest.param(state(UP), [], id="runs"),
        pytest.param(state(FAILED), [Start("m0")], id="first-restart-is-immediate"),
        pytest.param(state(waits(FAILED, 10)), [Wait("m0", 120.0, 10)], id="second-waits"),
        pytest.param(state(waits(FAILED, 5)), [Start("m0")], id="wait-is-over"),
        pytest.param(state(DONE, policy="OnFailure"), [], id="no-restart-after-success"),
        pytest.param(state(FAILED, policy="Never"), [], id="never"),
        pytest.param(state(NEW, init=(NEW,), sidecars=1), [Start("i0")], id="sidecar-first"),
        pytest.param(state(NEW, init=(UP,), sidecars=1), [Start("m0")], id="main-beside-sidecar"),
        pytest.param(state(UP, init=(FAILED,), sidecars=1), [Start("i0")], id="sidecar-restarts-alone"),
        pytest.param(
            state(DONE, init=(UP, UP), sidecars=2, policy="Never"),
            [Stop("i1", "Stopping container i1", 30), Stop("i0", "Stopping container i0", 30, after=("i1",))],
            id="last-sidecar-stops-first",
        ),
        pytest.param(
            state(NEW, init=(Container("i0", "i", state=UP, sidecar=True, started=False),)),
            [],
            id="sidecar-not-started",
        ),
        pytest.param(state(Container("m0", "i", state=UP, hooked=False), NEW), [], id="hook-holds-the-next-container"),
        pytest.param(
            state(Container("m0", "i", state=UP, unhealthy="liveness", spec={"livenessProbe": {}})),
            [Stop("m0", "Container m0 failed liveness probe, will be restarted", 30)],
            id="liveness-failed",
        ),
        pytest.param(
            state(
                Container(
                    "m0",
                    "i",
                    state=UP,
                    unhealthy="startup",
                    spec={"startupProbe": {"terminationGracePeriodSeconds": 2}},
                ),
                policy="Never",
            ),
            [Stop("m0", "Container m0 failed startup probe", 2)],
            id="startup-failed-with-its-own-grace",
        ),
        pytest.param(
            state(Container("m0", "i", state=UP, unhealthy="liveness", stopping=True)), [], id="is-stopped-already"
        ),
        pytest.param(
            replace(state(UP, NEW), overdue=("DeadlineExceeded", "")),
            [Stop("m0", "Stopping container m0", 30)],
            id="overdue",
        ),
        pytest.param(
            replace(state(UP, init=(UP,), sidecars=1), pod={"metadata": {"deletionTimestamp": "x"}, "spec": {}}),
            [Stop("m0", "Stopping container m0", 30), Stop("i0", "Stopping container i0", 30, after=("m0",))],
            id="deleted",
        ),
        pytest.param(replace(state(NEW), rejected=("No", "no")), [], id="rejected"),
    ],
)
def test_next_actions(pod: PodState, actions: list) -> None:
    assert next_actions(pod, 115.0) == actions


@pytest.mark.parametrize(
    ("spec", "policy", "codes"),
    [
        ({}, "Never", set()),
        ({}, "OnFailure", {1, 42}),
        ({"restartPolicy": "Never"}, "Always", set()),
        ({"restartPolicy": "Always"}, "Never", {0, 1, 42}),
        (
            {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]},
            "Never",
            {42},
        ),
        (
            {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 42]}}]},
            "Never",
            {1},
        ),
    ],
)
def test_a_containers_own_rules_of_restarting_come_first(spec: dict, policy: str, codes: set) -> None:
    restarted = set()
    for code in (0, 1, 42):
        ended = Container("m0", "i", state=Terminated(code, "Error", 110.0, 100.0, "c1"), spec=spec)
        if next_actions(state(ended, policy=policy), 115.0):
            restarted.add(code)
    assert restarted == codes


def test_back_off_doubles_to_a_bound_and_is_forgotten() -> None:
    times = BackOffTimes()
    waited = None
    seconds = []
    for turn in range(7):
        ended = Terminated(1, "Error", 1000.0 + turn)
        waited = after_restart(waited, ended, times)
        seconds.append(waited.seconds)
    assert seconds == [10, 20, 40, 80, 160, 300, 300]
    assert after_restart(waited, Terminated(1, "Error", 3000.0), times).seconds == 10


def test_a_crash_loop_is_told_as_the_kubelet_does() -> None:
    assert crash_loop(Wait("app", 0, 80), POD) == Waiting(
        "CrashLoopBackOff", "back-off 1m20s restarting failed container=app pod=p_n(u)"
    )


def test_the_status_of_a_running_pod() -> None:
    status = pod_status(replace(state(UP), started_at=90.0), 100.0)
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": "10.244.0.7"}]
    assert status["observedGeneration"] == 2
    assert {found["type"]: found["status"] for found in status["conditions"]} == dict.fromkeys(
        ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"), "True"
    )
    assert status["containerStatuses"] == [
        {
            "name": "m0",
            "image": "i",
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "1970-01-01T00:01:40Z"}},
            "lastState": {},
            "containerID": "lab://c1",
        }
    ]


def test_conditions_keep_the_time_of_their_last_change() -> None:
    before = pod_status(state(NEW), 100.0)
    later = pod_status(replace(state(UP), pod={**POD, "status": before}), 200.0)
    times = {found["type"]: found["lastTransitionTime"] for found in later["conditions"]}
    assert times["PodScheduled"] == "1970-01-01T00:01:40Z"
    assert times["Ready"] == "1970-01-01T00:03:20Z"


def test_unready_containers_are_named() -> None:
    status = pod_status(state(UP, NEW), 100.0)
    ready = next(found for found in status["conditions"] if found["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [m1]")


def test_a_phase_that_means_the_end_is_shown_when_nothing_runs_any_more() -> None:
    ending = replace(state(UP), overdue=("DeadlineExceeded", "too long"))
    assert (pod_status(ending, 1.0)["phase"], pod_status(ending, 1.0)["reason"]) == ("Running", None)
    ended = replace(state(FAILED), overdue=("DeadlineExceeded", "too long"))
    assert (pod_status(ended, 1.0)["phase"], pod_status(ended, 1.0)["reason"]) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize(
    ("container", "shown"),
    [
        pytest.param(Container("m0", "i", state=UP, started=False), (False, False, "running"), id="not-started"),
        pytest.param(Container("m0", "i", state=UP, ready=False), (True, False, "running"), id="not-ready"),
        pytest.param(Container("m0", "i", state=UP, hooked=False), (False, False, "waiting"), id="hook-runs"),
        pytest.param(Container("m0", "i", state=DONE), (False, False, "terminated"), id="ended"),
    ],
)
def test_what_probes_and_hooks_do_to_a_status(container: Container, shown: tuple) -> None:
    status = pod_status(state(container), 1.0)["containerStatuses"][0]
    assert (status["started"], status["ready"], *status["state"]) == shown


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], 'corresponding condition of pod readiness gate "feature" does not exist.'),
        (
            [{"type": "feature", "status": "False"}],
            'the status of pod readiness gate "feature" is not "True", but False',
        ),
        ([{"type": "feature", "status": "True"}], None),
    ],
)
def test_readiness_gates_hold_a_pod_back(conditions: list, message: str | None) -> None:
    spec = {"readinessGates": [{"conditionType": "feature"}]}
    found = pod_status(replace(state(UP), pod={**POD, "spec": spec, "status": {"conditions": conditions}}), 1.0)
    conditions = {condition["type"]: condition for condition in found["conditions"]}
    assert conditions["ContainersReady"]["status"] == "True"
    assert conditions["Ready"].get("message") == message
    assert conditions["Ready"].get("reason") == ("ReadinessGatesNotReady" if message else None)


def test_a_sidecar_counts_for_readiness_and_its_start_for_initialization() -> None:
    sidecar = Container("i0", "i", state=UP, sidecar=True, started=False)
    conditions = {found["type"]: found for found in pod_status(state(NEW, init=(sidecar,)), 1.0)["conditions"]}
    assert conditions["Initialized"]["message"] == "containers with incomplete status: [i0]"
    assert conditions["Ready"]["message"] == "containers with unready status: [i0 m0]"
    unready = pod_status(state(UP, init=(replace(sidecar, started=True, ready=False),)), 1.0)
    conditions = {found["type"]: found for found in unready["conditions"]}
    assert conditions["Initialized"]["status"] == "True"
    assert conditions["Ready"]["message"] == "containers with unready status: [i0]"


def test_addresses_are_given_until_none_is_left() -> None:
    taken: set[str] = set()
    while (address := FIRST.free_address(taken)) is not None:
        taken.add(address)
    assert len(taken) == 253
    assert FIRST.gateway not in taken
    assert FIRST.free_address(taken - {"10.244.0.9"}) == "10.244.0.9"


@pytest.mark.parametrize("number", [0, 1, 249])
def test_an_address_tells_its_node(number: int) -> None:
    node = NodeNetwork(number)
    assert {node_of(address) for address in (*node.pods, node.address, node.gateway)} == {node}
    for address in ("172.18.0.1", "10.96.0.1", "127.0.0.1"):
        with pytest.raises(ValueError, match="belongs to no node"):
            node_of(address)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        pytest.param("10.244.0.9", "10.244.0.9", id="the-one-before"),
        pytest.param("10.244.0.5", "10.244.0.2", id="taken-meanwhile"),
        pytest.param("127.0.0.1", "10.244.0.2", id="of-another-network"),
        pytest.param("", "10.244.0.2", id="none-before"),
    ],
)
def test_a_pod_keeps_its_address_where_that_is_free(wanted: str, given: str) -> None:
    assert FIRST.free_address({"10.244.0.5"}, wanted) == given


@pytest.mark.parametrize(
    ("pattern", "reference", "expected"),
    [
        ("python", "python", True),
        ("python", "python:3.12-slim", True),
        ("python:3.*", "python:3.12", True),
        ("python:3.*", "python:2.7", False),
        ("python", "docker.io/library/python:3", True),
        ("python", "python@sha256:0123", True),
        ("python", "ghcr.io/acme/python", False),
        ("mcr.microsoft.com/azure-cli", "mcr.microsoft.com/azure-cli:2.60.0", True),
        ("localhost:5000/app", "localhost:5000/app:1", True),
        ("redis:latest", "redis", True),
        ("*/podpass/demo", "ghcr.io/podpass/demo:1", True),
    ],
)
def test_image_patterns(pattern: str, reference: str, expected: bool) -> None:
    assert matches(pattern, reference) is expected


def test_the_labs_python_is_first_on_the_path() -> None:
    found = Catalogue().resolve("python:3.12")
    assert isinstance(found, ResolvedImage)
    assert found.argv((), ()) == ("python3",)
    assert "Python" in found.description
    assert Path(found.environment["PATH"].split(":")[0], "python3").exists()


def test_command_replaces_entry_point_and_default_command() -> None:
    found = Catalogue([Image("x", entrypoint=("e",), command=("c",))]).resolve("x")
    assert isinstance(found, ResolvedImage)
    assert found.argv((), ()) == ("e", "c")
    assert found.argv((), ("a",)) == ("e", "a")
    assert found.argv(("k",), ()) == ("k",)
    assert found.argv(("k",), ("a",)) == ("k", "a")


def test_a_missing_program_says_what_to_do() -> None:
    found = Catalogue(which=lambda _: None).resolve("mcr.microsoft.com/azure-cli")
    assert isinstance(found, NoImage)
    assert "pip install azure-cli" in found.message


def test_a_users_own_entries_come_first_and_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    catalogue = Catalogue(file=file)
    missing = catalogue.resolve("ghcr.io/acme/shop:1")
    assert isinstance(missing, NoImage)
    assert "podpass lab image add" in missing.message
    file.write_text(
        "- {pattern: ghcr.io/acme/shop, command: [python, -m, shop], interpreter: true}\n"
        "- {pattern: busybox, command: [cat]}\n"
    )
    found = catalogue.resolve("ghcr.io/acme/shop:1")
    assert isinstance(found, ResolvedImage)
    assert found.argv((), ()) == ("python", "-m", "shop")
    assert catalogue.resolve("busybox").argv((), ()) == ("cat",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- {command: [x]}", "missing required field `pattern`"),
        ("- {pattern: x, comand: [x]}", "unknown field `comand`"),
        ("- {pattern: x, paths: [relative]}", "'relative' must be an absolute path"),
        ("- {pattern: x, root: /no/such/root}", "is not a directory"),
        ("- [", "while parsing"),
        ("x" * 1_100_000, "larger than"),
    ],
)
def test_a_fault_in_the_users_file_is_told_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "images.yaml").write_text(text)
    found = Catalogue(file=tmp_path / "images.yaml").resolve("busybox")
    assert isinstance(found, NoImage)
    assert fault in found.message
    assert "images.yaml" in found.message


@pytest.mark.parametrize(
    ("probe", "kind", "words"),
    [
        (Probe("linux", True, True, True), "sandbox", "no way out"),
        (Probe("darwin", False, False, False), "plain", "darwin"),
        (Probe("linux", False, True, False), "plain", "bwrap (package bubblewrap), ip (package iproute2)"),
        (Probe("linux", True, True, True, "user namespaces are off"), "plain", "user namespaces are off"),
    ],
)
def test_the_choice_of_a_runtime_says_why(probe: Probe, kind: str, words: str) -> None:
    choice = choose_runtime(probe)
    assert choice.kind == kind
    assert words in choice.why


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The system directories of a machine."""
    root = tmp_path / "root"
    for directory in ("usr/bin", "usr/share/app", "opt", "etc/ssl/certs", "lib"):
        (root / directory).mkdir(parents=True)
    (root / "usr/bin/tool").write_text("#!/bin/sh\n")
    (root / "usr/bin/tool").chmod(0o755)
    (root / "usr/bin/data").write_text("")
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/ssl/certs/ca-certificates.crt").write_text("roots")
    (root / "etc/shadow").write_text("secret")
    return root


def test_a_program_is_found_through_links(root: Path) -> None:
    made = layout(None, (), (), machine=root)
    assert find_program(made, "tool", "/sbin:/bin", "/") == "/bin/tool"
    assert find_program(made, "./tool", "", "/usr/bin") == "/usr/bin/./tool"
    assert find_program(made, "data", "/bin", "/") is None
    assert find_program(made, "none", "/bin", "/") is None


def test_only_listed_files_of_etc_show(root: Path, tmp_path: Path) -> None:
    made = arguments(layout(None, (), (), machine=root), {}, (), ca_bundle=tmp_path / "ca")
    assert not [argument for argument in made if "shadow" in argument]
    assert str(root / "etc/ssl/certs") in made


def test_the_images_bundle_is_replaced(root: Path, tmp_path: Path) -> None:
    made = arguments(layout(None, (), (), machine=root), {}, (), ca_bundle=tmp_path / "ca")
    assert ("--ro-bind", str(tmp_path / "ca"), "/etc/ssl/certs/ca-certificates.crt") in list(
        zip(made, made[1:], made[2:], strict=False)
    )


def test_a_read_only_directory_is_opened_for_a_mount_path_it_lacks(root: Path, tmp_path: Path) -> None:
    made = arguments(
        layout(None, (), (), machine=root), {}, (Mount("/usr/share/x/y", tmp_path, True),), ca_bundle=tmp_path / "ca"
    )
    triples = list(zip(made, made[1:], made[2:], strict=False))
    assert ("--tmpfs", "/usr/share") in itertools.pairwise(made)
    assert ("--ro-bind", str(root / "usr/share/app"), "/usr/share/app") in triples
    assert ("--ro-bind", str(tmp_path), "/usr/share/x/y") in triples
    assert ("--remount-ro", "/usr/share") in itertools.pairwise(made)


def test_hidden_directories_are_empty_even_inside_the_image(root: Path, tmp_path: Path) -> None:
    made = layout(None, (), (Path("/usr/share/app"),), machine=root)
    found = arguments(made, {}, (), ca_bundle=tmp_path / "ca")
    assert ("--tmpfs", "/usr/share/app") in itertools.pairwise(found)


@pytest.mark.parametrize("path", ["relative", "/", "/usr/bin/tool/x"])
def test_mount_paths_that_can_not_be(root: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(CannotStart):
        arguments(layout(None, (), (), machine=root), {}, (Mount(path, tmp_path, True),), ca_bundle=tmp_path / "ca")


@pytest.mark.parametrize("path", ["relative", "/", "/usr/bin/tool/x"])
def test_mount_paths_that_can_not_be_in_an_images_own_root(root: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(CannotStart):
        arguments(layout(root, (), ()), {}, (Mount(path, tmp_path, True),), ca_bundle=tmp_path / "ca", mounted=tmp_path)
