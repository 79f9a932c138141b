"""Containers in real namespaces: what they see, what they don't, and that they end with the lab."""

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import podpass
from podpass.lab.node import driver
from podpass.lab.node.runtime import CannotStart, ContainerProcess, PodSandbox
from podpass.lab.node.sandbox import SandboxRuntime
from podpass.lab.node.security import DEFAULT_CAPABILITIES, GRANTED_CAPABILITIES


async def run(runtime: SandboxRuntime, pod: PodSandbox, image, output, script: str, **options) -> tuple[str, int]:
    process = ContainerProcess(
        container_id=options.pop("container_id", "c1"),
        pod=pod,
        image=image,
        argv=tuple(options.pop("argv", ("/bin/sh", "-c", script))),
        environment={**image.environment, **options.pop("environment", {})},
        **options,
    )
    await runtime.create_pod(pod)
    async with asyncio.timeout(20):
        ended = await runtime.run(process, output.writing, output.writing)
        text = await output.text()
        return text, await ended


async def test_a_container_has_the_pods_name_and_is_process_one(sandbox, pod, image, output) -> None:
    text, code = await run(sandbox, pod, image, output, "hostname; cat /etc/hostname; echo $$; id -u; exit 7")
    assert text.split() == ["orders", "orders", "1", "0"]
    assert code == 7


async def test_a_container_sees_only_its_own_environment(sandbox, pod, image, output, monkeypatch) -> None:
    monkeypatch.setenv("HOST_SECRET", "x")
    text, _ = await run(sandbox, pod, image, output, "env", environment={"GREETING": "a b\nc", "EMPTY": ""})
    names = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
    assert "GREETING=a b\nc\n" in text
    assert "HOST_SECRET" not in text
    assert names == {
        *("CURL_CA_BUNDLE", "EMPTY", "GREETING", "HOME", "HOSTNAME", "LANG", "NODE_EXTRA_CA_CERTS", "PATH", "PWD"),
        *("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
    }


@pytest.mark.parametrize("value", ["x\0--bind\0/\0/host", "\0"])
async def test_a_variable_can_not_smuggle_arguments_into_the_sandbox(sandbox, pod, image, output, value) -> None:
    with pytest.raises(CannotStart, match="NUL byte"):
        await run(sandbox, pod, image, output, "ls /host", environment={"X": value})
    await output.text()


async def test_a_variable_may_hold_bytes_that_are_no_text(sandbox, pod, image, output) -> None:
    value = b"\xff\xfe".decode("utf-8", "surrogateescape")
    text, _ = await run(sandbox, pod, image, output, 'printf %s "$X" | od -An -tx1', environment={"X": value})
    assert text.split() == ["ff", "fe"]


async def test_volumes_appear_at_their_exact_paths(sandbox, pod, image, output, volume) -> None:
    paths = [
        "/data",
        "/srv/a/b",
        "/etc/config",
        "/var/run/secrets/azure/tokens",
        "/usr/share/nginx/html",
        "/opt/app/config",
        "/usr/local/etc/deep/er",
        "/data/inner",
    ]
    mounts = [volume(path) for path in paths]
    (mounts[0].source / "inner").mkdir()
    reads = " ".join(f"{path}/greeting" for path in paths)
    text, code = await run(
        sandbox,
        pod,
        image,
        output,
        f"cat {reads}; ls -d /run/secrets/azure/tokens; ls /usr/bin/env; touch /data/x 2>&1",
        mounts=tuple(mounts),
    )
    assert text.startswith("hello" * len(paths) + "/run/secrets/azure/tokens\n/usr/bin/env\n")
    assert "Read-only file system" in text
    assert code == 1


async def test_a_writable_volume_is_shared_and_the_root_is_private(sandbox, pod, image, output, volume) -> None:
    mount = volume("/cache", read_only=False)
    text, code = await run(
        sandbox, pod, image, output, "echo new >/cache/out; echo x >/scratch; cat /scratch", mounts=(mount,)
    )
    assert (text, code) == ("x\n", 0)
    assert (mount.source / "out").read_text() == "new\n"
    assert "scratch" not in os.listdir("/")


async def test_a_single_file_can_be_mounted_over_a_file_of_the_image(sandbox, pod, image, output, volume) -> None:
    mount = volume("/etc/services")
    mount = type(mount)("/etc/services", mount.source / "greeting", True)
    text, _ = await run(sandbox, pod, image, output, "cat /etc/services", mounts=(mount,))
    assert text == "hello"


async def test_nothing_of_the_host_shows(sandbox, pod, image, output, tmp_path) -> None:
    (tmp_path / "state" / "key").write_text("secret")
    text, _ = await run(
        sandbox,
        pod,
        image,
        output,
        f"ls -A /home /var/lib /run /tmp; ls {tmp_path} /etc/shadow /etc/ssl/private 2>&1; ls -A $HOME",
    )
    assert "key" not in text
    assert text.count("No such file") == 3
    # Wherever the interpreter and podpass lie, the directories above them are there, with nothing else in them.
    needed = {part for place in (sys.prefix, sys.base_prefix, podpass.__file__) for part in Path(place).parts}
    shown = {line for line in text.splitlines() if line and ":" not in line}
    assert shown <= {"secrets", Path.home().name} | needed


async def test_the_metadata_address_has_no_route(sandbox, pod, image, output) -> None:
    script = textwrap.dedent(
        """
        import errno, socket, time
        started = time.monotonic()
        for address in ("169.254.169.254", "192.0.2.1", "127.0.0.2"):
            connection = socket.socket()
            connection.settimeout(3)
            try:
                connection.connect((address, 80))
                print("connected")
            except OSError as error:
                print(errno.errorcode.get(error.errno, error))
        print(time.monotonic() - started < 1)
        """
    )
    text, _ = await run(sandbox, pod, image, output, "", argv=("python", "-c", script))
    assert text.split() == ["ENETUNREACH", "ENETUNREACH", "ECONNREFUSED", "True"]


async def test_the_labs_python_runs_with_its_packages(sandbox, pod, image, output) -> None:
    text, code = await run(
        sandbox, pod, image, output, "", argv=("python", "-c", "import ssl, msgspec, podpass; print('fine')")
    )
    assert (text, code) == ("fine\n", 0)


async def test_the_bundle_stands_in_the_systems_place(sandbox, pod, image, output) -> None:
    text, _ = await run(
        sandbox,
        pod,
        image,
        output,
        "cat $SSL_CERT_FILE; test ! -e /etc/ssl/certs/ca-certificates.crt || cat /etc/ssl/certs/ca-certificates.crt",
    )
    assert set(text.splitlines()) == {"# the lab's roots"}


async def test_names_are_resolved_by_the_gateway(sandbox, pod, image, output) -> None:
    text, _ = await run(sandbox, pod, image, output, "cat /etc/resolv.conf; grep orders /etc/hosts")
    assert text == (
        "search shop.svc.cluster.local cluster.local\nnameserver 10.244.0.1\noptions ndots:5\n10.244.0.7\torders\n"
    )


async def test_a_container_runs_as_the_user_it_asks_for(sandbox, pod, image, output, volume) -> None:
    mount = volume("/cache", read_only=False)
    text, code = await run(
        sandbox, pod, image, output, "id -u; id -g; touch /cache/mine", mounts=(mount,), user=1000, group=2000
    )
    assert (text.split(), code) == (["1000", "2000"], 0)


async def test_a_read_only_root_refuses_writes(sandbox, pod, image, output) -> None:
    text, code = await run(sandbox, pod, image, output, "touch /x /tmp/y", read_only_root=True)
    assert text.count("Read-only file system") == 2
    assert code == 1


async def test_capabilities_are_those_of_an_ordinary_container(sandbox, pod, image, output) -> None:
    text, _ = await run(sandbox, pod, image, output, "grep CapEff /proc/self/status", capabilities=DEFAULT_CAPABILITIES)
    assert int(text.split()[1], 16) == 1 << 10 | 1 << 13


async def test_a_raw_socket_needs_its_capability_and_works_with_it(sandbox, pod, image, output) -> None:
    script = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); print('raw')"
    text, _ = await run(sandbox, pod, image, output, "", argv=("python", "-c", script), capabilities=("CAP_NET_RAW",))
    assert text == "raw\n"


async def test_without_the_capability_there_is_no_raw_socket(sandbox, pod, image, output) -> None:
    script = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)"
    text, code = await run(sandbox, pod, image, output, "", argv=("python", "-c", script))
    assert "Operation not permitted" in text
    assert code == 1


async def test_a_container_may_be_given_its_pods_network(sandbox, pod, image, output) -> None:
    text, code = await run(
        sandbox,
        pod,
        image,
        output,
        "ip addr add 10.99.0.1/32 dev lo && ip -brief addr show dev lo",
        capabilities=("CAP_NET_ADMIN",),
    )
    assert "10.99.0.1/32" in text
    assert code == 0


async def test_what_a_container_may_be_given_does_not_open_this_machine(sandbox, pod, image, output) -> None:
    """Even where the lab runs as root, and the container's root is the machine's."""
    text, _ = await run(
        sandbox,
        pod,
        image,
        output,
        "mount -o remount,rw /usr; touch /usr/x; mknod /tmp/sda b 8 0; echo x >/proc/sys/kernel/hostname",
        capabilities=GRANTED_CAPABILITIES,
    )
    assert "x" not in os.listdir("/usr")
    assert [line.rpartition(": ")[2].lower() for line in text.splitlines() if line[0] != " "] == [
        "permission denied.",
        "read-only file system",
        "operation not permitted",
        "read-only file system",
    ]


async def test_the_kernels_settings_can_not_be_written(sandbox, pod, image, output) -> None:
    """Even where the lab runs as root, and the container's root is the machine's."""
    places = "/proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /usr /usr/bin /etc/services"
    text, _ = await run(
        sandbox,
        pod,
        image,
        output,
        f"for place in {places}; do test -w $place && echo $place; done; grep NoNewPrivs /proc/self/status",
    )
    assert text.split() == ["NoNewPrivs:", "1"]


async def test_no_file_of_the_kernel_can_be_written(sandbox, pod, image, output) -> None:
    script = textwrap.dedent(
        """
        import os, stat
        for directory, names, files in os.walk("/proc"):
            # Its own process is its own business.
            names[:] = [name for name in names if not (directory == "/proc" and name.isdigit())]
            for path in (os.path.join(directory, name) for name in files):
                try:
                    mode = os.lstat(path).st_mode
                except OSError:
                    continue
                if stat.S_ISREG(mode) and os.access(path, os.W_OK):
                    print(path)
        print("walked")
        """
    )
    text, _ = await run(sandbox, pod, image, output, "", argv=("python", "-c", script))
    assert text.split() == ["walked"]


async def test_a_new_user_namespace_gains_nothing(sandbox, pod, image, output) -> None:
    text, _ = await run(
        sandbox,
        pod,
        image,
        output,
        "unshare --user --map-root-user --mount --pid --fork sh -c 'mount -t proc proc /mnt' 2>&1; ls /mnt;"
        " unshare --user --map-root-user --mount mount -o remount,rw,bind /usr 2>&1 && test -w /usr && echo writable",
    )
    assert "writable" not in text
    assert "cmdline" not in text


async def test_a_program_that_is_missing_is_named(sandbox, pod, image, output) -> None:
    with pytest.raises(CannotStart, match='exec: "no-such": executable file not found') as refused:
        await run(sandbox, pod, image, output, "", argv=("no-such",))
    assert refused.value.reason == "StartError"
    await output.text()


async def test_process_one_ignores_sigterm_without_a_handler_and_kill_ends_it(sandbox, pod, image, output) -> None:
    process = ContainerProcess("c1", pod, image, ("sleep", "300"), dict(image.environment))
    await sandbox.create_pod(pod)
    ended = await sandbox.run(process, output.writing, output.writing)
    assert await sandbox.signal("c1", signal.SIGTERM)
    assert not ended.done()
    assert await sandbox.signal("c1", signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await ended == 137
    assert not await sandbox.signal("c1", signal.SIGTERM)
    await output.text()


async def test_sigterm_reaches_a_handler(sandbox, pod, image, output) -> None:
    process = ContainerProcess(
        "c1",
        pod,
        image,
        ("/bin/sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"),
        dict(image.environment),
    )
    await sandbox.create_pod(pod)
    ended = await sandbox.run(process, output.writing, output.writing)
    assert await asyncio.to_thread(os.read, output._reading, 3) == b"up\n"
    await sandbox.signal("c1", signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await ended == 3
    assert await output.text() == "bye\n"


async def test_pods_reach_the_labs_sockets_and_the_lab_reaches_pods(sandboxed, tmp_path, pod, image, ca_bundle, output):
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.write(b"from the lab")
        writer.close()

    async def dns(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        query = await reader.readexactly(length)
        writer.write(length.to_bytes(2, "big") + query[::-1])
        writer.close()

    gateway = await asyncio.start_unix_server(echo, tmp_path / "gw")
    resolver = await asyncio.start_unix_server(dns, tmp_path / "dns")
    (tmp_path / "state").mkdir()
    runtime = SandboxRuntime(
        directory=tmp_path / "state",
        ca_bundle=ca_bundle,
        gateway_socket=tmp_path / "gw",
        api_socket=tmp_path / "gw",
        dns_socket=tmp_path / "dns",
    )
    script = textwrap.dedent(
        """
        import socket
        for address in ("172.18.0.1", "10.96.0.1"):
            with socket.create_connection((address, 443), 5) as connection:
                connection.sendall(b"from the pod")
                print(connection.recv(100).decode())
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.settimeout(5)
        asking.sendto(b"abc", ("10.96.0.10", 53))
        print(asking.recv(100).decode())
        listener = socket.create_server(("", 80))
        print("listening", flush=True)
        connection, peer = listener.accept()
        connection.sendall(b"from port 80")
        """
    )
    await runtime.start()
    try:
        await runtime.create_pod(pod)
        process = ContainerProcess("c1", pod, image, ("python", "-c", script), dict(image.environment))
        ended = await runtime.run(process, output.writing, output.writing)
        os.close(output.writing)
        reading = os.fdopen(output._reading, "rb")
        async with asyncio.timeout(20):
            lines = [await asyncio.to_thread(reading.readline) for _ in range(4)]
            assert lines == [b"from the lab\n", b"from the lab\n", b"cba\n", b"listening\n"]
            import socket

            connection = socket.socket(fileno=await runtime.connect(pod.address, 80))
            connection.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(connection, 100) == b"from port 80"
            connection.close()
            assert await ended == 0
        reading.close()
        assert heard == [b"from the pod"] * 2
    finally:
        await runtime.close()
        gateway.close()
        resolver.close()


async def test_losing_the_helper_is_noticed_and_mended(sandbox, pod, image, output) -> None:
    process = ContainerProcess("c1", pod, image, ("sleep", "300"), dict(image.environment))
    await sandbox.create_pod(pod)
    ended = await sandbox.run(process, output.writing, output.writing)
    assert sandbox.pid is not None
    os.kill(sandbox.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        await sandbox.lost.wait()
    assert isinstance(ended.exception(), Exception)
    await sandbox.start()
    assert not sandbox.lost.is_set()
    text, _ = await run(sandbox, pod, image, output, "hostname")
    assert text == "orders\n"


async def test_a_machine_without_bubblewrap_is_found_out_at_the_start(sandboxed, tmp_path, ca_bundle, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("unshare", "ip"):
        (tools / tool).symlink_to(shutil.which(tool))
    monkeypatch.setattr(driver, "tool_path", lambda: str(tools))
    monkeypatch.setenv("PATH", str(tools))
    runtime = SandboxRuntime(directory=tmp_path, ca_bundle=ca_bundle)
    with pytest.raises(driver.FabricFailed, match="bwrap is not installed"):
        await runtime.start()
    assert runtime.lost.is_set()


_LAB = """
import asyncio, os, sys
from pathlib import Path
from podpass.lab.node.images import Catalogue
from podpass.lab.node.plain import PlainRuntime
from podpass.lab.node.runtime import ContainerProcess, PodSandbox
from podpass.lab.node.sandbox import SandboxRuntime

async def main():
    base = Path(sys.argv[1])
    (base / "ca").write_text("")
    if sys.argv[2] == "sandbox":
        runtime = SandboxRuntime(directory=base / "state", ca_bundle=base / "ca")
    else:
        runtime = PlainRuntime(directory=base / "state", environment={})
    await runtime.start()
    pod = PodSandbox("u", "p", "default", "p", "10.244.0.9", base / "state" / "u")
    await runtime.create_pod(pod)
    image = Catalogue().resolve("busybox")
    argv = ("sh", "-c", "echo up; exec sleep " + sys.argv[3])
    await runtime.run(ContainerProcess("c", pod, image, argv, dict(image.environment)), 2, 2)
    print(runtime.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["sandbox", "plain"])
async def test_nothing_survives_a_killed_lab(sandboxed, tmp_path, kind) -> None:
    marker = f"{100000 + os.getpid()}.{7 if kind == 'plain' else 8}"
    lab = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LAB, str(tmp_path), kind, marker, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert lab.stdout is not None
    assert lab.stderr is not None
    try:
        async with asyncio.timeout(20):
            helper = int(await lab.stdout.readline())
            assert await lab.stderr.readline() == b"up\n"
    finally:
        lab.kill()
        await lab.wait()
    async with asyncio.timeout(20):
        # The container holds the other end of the lab's pipe: its end means that the container is gone.
        await lab.stderr.read()
        await asyncio.to_thread(_wait_for_the_end_of, helper)
    assert not _alive(marker)


def _wait_for_the_end_of(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([descriptor], [], [], 10)
    os.close(descriptor)


def _alive(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[:2] == [b"sleep", marker.encode()]:
                found.append(entry.name)
    return found
