"""Images with a root of their own, run in the sandbox: what they see, what they may change, who they are."""

import asyncio
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from podpass.lab.node.container_environment import References
from podpass.lab.node.container_run import ContainerRun
from podpass.lab.node.execution import Finished, run_to_end
from podpass.lab.node.fields import Place
from podpass.lab.node.images import Catalogue, ResolvedImage
from podpass.lab.node.images.adding import add_archive
from podpass.lab.node.images.kept import Kept
from podpass.lab.node.logs import ContainerLog
from podpass.lab.node.pod_processes import Prepared, prepare
from podpass.lab.node.runtime import CannotStart, ContainerProcess
from tests.lab.node.image_archives import HERE, Made, layout, tar

PROGRAMS = ("sh", "cat", "ls", "id", "rm", "mkdir", "sleep", "stat", "env")


def programs() -> bytes:
    """A layer with a shell and a few tools: this machine's, with the libraries they load."""
    found: dict[str, Path] = {}
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path is not None
        found[f"bin/{name}"] = Path(path)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for word in listed.split():
            if word.startswith("/"):
                found[word.lstrip("/")] = Path(word)
    return tar(*((name, path.resolve().read_bytes()) for name, path in sorted(found.items())))


@pytest.fixture(scope="session")
def programs_layer() -> bytes:
    return programs()


@pytest.fixture
def own_image(tmp_path, programs_layer) -> ResolvedImage:
    """An image whose configuration and files are all its own."""
    files = tar(
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"),
        ("etc/motd", "welcome"),
        ("srv/data/one", "1"),
        ("srv/data/two", "2"),
        ("etc/ssl/certs/ca-certificates.crt", "other roots"),
        ("var/run", ("link", "/run")),
        ("etc/resolv.conf", ("link", "../run/resolve/stub.conf")),
    )
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin", "COLOUR=blue"], "WorkingDir": "/srv/data"}
    kept = Kept(tmp_path / "node" / "images")
    made = Made([programs_layer, files], config, ["own:1"])
    add_archive(kept, layout(tmp_path / "archive", made), platform=HERE, now="")
    found = Catalogue.of(tmp_path / "node").resolve("own:1")
    assert isinstance(found, ResolvedImage)
    return found


async def run(runtime, pod, image, output, script: str, **options) -> tuple[str, int]:
    process = ContainerProcess(
        container_id=options.pop("container_id", "c1"),
        pod=pod,
        image=image,
        argv=("sh", "-c", script),
        environment={"HOME": "/root", **image.environment, **options.pop("environment", {})},
        **options,
    )
    await runtime.create_pod(pod)
    async with asyncio.timeout(20):
        ended = await runtime.run(process, output.writing, output.writing)
        text = await output.text()
        return text, await ended


async def test_the_container_sees_the_images_files_and_nothing_of_this_machine(sandbox, pod, own_image, output) -> None:
    text, code = await run(sandbox, pod, own_image, output, "ls /; cat /etc/motd; ls; env", working_directory="")
    assert code == 0, text
    top = {"bin", "dev", "etc", "lib", "lib64", "proc", "srv", "var"}
    shown = set(text.partition("welcome")[0].split())
    assert top - {"lib", "lib64"} <= shown <= top | {"usr", "run"}
    assert "welcomeone\ntwo\n" in text
    assert "COLOUR=blue" in text


async def test_everything_can_be_written_and_nothing_reaches_the_image(sandbox, pod, own_image, output) -> None:
    script = (
        "echo new >/etc/motd; rm -r /srv/data; mkdir /srv/data; echo x >/srv/data/three; ls /srv/data; cat /etc/motd"
    )
    text, code = await run(sandbox, pod, own_image, output, script)
    assert (text, code) == ("three\nnew\n", 0)
    assert (own_image.root / "etc/motd").read_text() == "welcome"
    assert sorted(os.listdir(own_image.root / "srv/data")) == ["one", "two"]


async def test_the_next_run_starts_from_the_image_again(sandbox, pod, own_image, output) -> None:
    await run(sandbox, pod, own_image, output, "echo new >/etc/motd")
    second = type(output)()
    text, _ = await run(sandbox, pod, own_image, second, "cat /etc/motd", container_id="c2")
    assert text == "welcome"
    # What the first run wrote went with it, and so did its place.
    assert not (pod.directory / "roots" / "c1").exists()


async def test_volumes_and_the_pods_files_are_placed_through_the_images_links(
    sandbox, pod, own_image, output, volume
) -> None:
    mounts = (volume("/var/run/secrets/x"), volume("/srv/data/deep/er"), volume("/new/place", read_only=False))
    script = (
        "cat /run/secrets/x/greeting /srv/data/deep/er/greeting /new/place/greeting; echo; cat /etc/resolv.conf"
        " /etc/ssl/certs/ca-certificates.crt; cat /etc/hostname"
    )
    text, code = await run(sandbox, pod, own_image, output, script, mounts=mounts)
    assert code == 0, text
    assert text.startswith("hellohellohello\nsearch shop.svc.cluster.local")
    assert "# the lab's roots\norders\n" in text


async def test_a_read_only_root_refuses_writes_but_not_to_volumes(sandbox, pod, own_image, output, volume) -> None:
    mount = volume("/data", read_only=False)
    script = "echo x >/etc/motd; echo y >/data/y; cat /data/y"
    text, _ = await run(sandbox, pod, own_image, output, script, mounts=(mount,), read_only_root=True)
    assert "Read-only file system" in text
    assert text.endswith("y\n")


async def test_another_user_owns_what_the_image_has(sandbox, pod, own_image, output) -> None:
    script = "id -u; id -g; stat -c %u /etc/motd; echo x >/etc/motd && cat /etc/motd"
    text, _ = await run(sandbox, pod, own_image, output, script, user=1000, group=1001)
    assert text.split() == ["1000", "1001", "1000", "x"]


async def test_a_root_that_is_gone_is_told(sandbox, pod, own_image, output) -> None:
    process = ContainerProcess("c1", pod, own_image, ("sh",), {"PATH": "/bin"})
    await sandbox.create_pod(pod)
    moved = own_image.root.with_name("moved")
    # After the command was checked, before the root is shown.
    made = sandbox.fabric.run

    async def run_later(*arguments, **options):
        own_image.root.rename(moved)
        return await made(*arguments, **options)

    sandbox.fabric.run = run_later
    with pytest.raises(CannotStart, match=r"can't be shown: .*No such file"):
        await sandbox.run(process, output.writing, output.writing)
    await output.text()


async def test_plain_processes_say_that_they_can_not_have_a_root(plain, pod, own_image, output) -> None:
    process = ContainerProcess("c1", pod, own_image, ("sh",), {"PATH": "/bin"})
    with pytest.raises(CannotStart, match="needs the sandbox"):
        await plain.run(process, output.writing, output.writing)
    await output.text()


@pytest.mark.parametrize(
    ("image_user", "security", "expected"),
    [
        ("", {}, (0, 0, "/root")),
        ("app", {}, (1000, 1001, "/home/app")),
        ("app", {"runAsUser": 7}, (7, 0, "/")),
        ("app", {"runAsGroup": 5}, (1000, 5, "/home/app")),
        ("", {"runAsUser": 1000}, (1000, 1001, "/home/app")),
        ("1000", {"runAsNonRoot": True}, (1000, 1001, "/home/app")),
        ("app", {"runAsNonRoot": True}, "non-numeric user (app), cannot verify user is non-root"),
        ("", {"runAsNonRoot": True}, "image will run as root"),
        ("0", {"runAsNonRoot": True}, "image will run as root"),
        ("ghost", {}, "unable to find user ghost"),
    ],
)
def test_who_the_container_runs_as(tmp_path, pod, pod_object, container, image_user, security, expected) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
    image = Catalogue().resolve("busybox")
    assert isinstance(image, ResolvedImage)
    spec = container("true", securityContext=security)
    pod.directory.mkdir(parents=True)

    def prepared():
        return prepare(
            pod_object(spec),
            spec,
            image=replace(image, root=tmp_path, user=image_user),
            references=References(),
            place=Place("lab-node", "10.244.0.1", "10.244.0.7", {}),
            services={},
            shared=pod,
            volume_paths={},
        )

    if isinstance(expected, str) and expected.startswith("unable"):
        with pytest.raises(CannotStart, match=expected):
            prepared()
        return
    found = prepared()
    if isinstance(expected, str):
        assert expected in found.message
    else:
        assert isinstance(found, Prepared)
        assert (found.process.user, found.process.group, found.process.environment["HOME"]) == expected


async def test_a_command_joins_the_root_with_what_was_changed_in_it(sandbox, pod, own_image, output) -> None:
    process = ContainerProcess(
        container_id="c1",
        pod=pod,
        image=own_image,
        argv=("sh", "-c", "echo 3 >three; echo written >/written; exec sleep 60"),
        environment={"HOME": "/root", **own_image.environment},
    )
    await sandbox.create_pod(pod)
    await sandbox.run(process, output.writing, output.writing)
    wait = "until test -s /written; do sleep 0.01; done; cat /written three /etc/motd; echo $COLOUR >new"
    done = await run_to_end(sandbox, process, ["sh", "-c", wait], seconds=20)
    assert done == Finished(0, b"written\n3\nwelcome")
    assert (await run_to_end(sandbox, process, ["cat", "new"], seconds=20)).output == b"blue\n"


async def test_a_containers_own_terminal_needs_no_program_of_the_image(
    sandbox, pod, own_image, clock, tmp_path
) -> None:
    process = ContainerProcess(
        container_id="c1",
        pod=pod,
        image=own_image,
        argv=("sh", "-c", "read x; echo got $x; ls /dev/console"),
        environment=dict(own_image.environment),
        stdin=True,
        tty=True,
    )
    await sandbox.create_pod(pod)
    run = await ContainerRun.start("app", process, sandbox, ContainerLog(tmp_path / "log", clock))
    attached = run.attach(stdin=True)
    await attached.write(b"word\r")
    async with asyncio.timeout(20):
        await run.finished()
        assert await run.ended == 0
    assert "got word" in (tmp_path / "log").read_text()
