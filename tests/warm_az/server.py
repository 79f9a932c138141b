"""Stock az without its start: run by az's own Python, forks one process for each command line it is sent.

Most of the second that a command takes goes into importing the Azure CLI. This process imports it once; a child of it
then runs `azure.cli` as `python -m azure.cli` does, with the arguments, environment, directory and files of whoever
asked. Nothing of az is changed. What az reads while it is imported is AZURE_CONFIG_DIR, so one server serves one.

    server.py SOCKET     prints a line when it listens; ends with its standard input
"""

import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys

# What the commands of the walkthroughs load; a name that another version of az lacks is only slower.
IMPORTED = (
    "argcomplete",
    "azure.cli.core.aaz",
    "azure.cli.core.auth.identity",
    "azure.cli.core.commands.client_factory",
    "azure.cli.command_modules.acs.custom",
    "azure.cli.command_modules.identity",
    "azure.cli.command_modules.keyvault.custom",
    "azure.cli.command_modules.resource.custom",
    "azure.cli.command_modules.role.custom",
    "azure.cli.command_modules.vm.custom",
    "azure.mgmt.authorization.models",
    "azure.mgmt.containerservice.models",
    "azure.mgmt.keyvault.models",
    "azure.mgmt.resource.resources.models",
    "msal_extensions",
)


def main() -> None:
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    # Children are nobody's to wait for: each tells its exit code over its own connection.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("listening", flush=True)
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    ready.register(sys.stdin, selectors.EVENT_READ)
    while all(key.fileobj is listener for key, _ in ready.select()):
        asked, _ = listener.accept()
        message, files, _, _ = socket.recv_fds(asked, 1 << 20, 3)
        if os.fork() == 0:
            listener.close()
            ready.close()
            run(asked, json.loads(message), files)
        asked.close()
        for file in files:
            os.close(file)


def run(asked: socket.socket, command: dict, files: list[int]) -> None:
    """Be az for one command line, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # Modules of az that took the server's own streams when they were imported write to those; the files are the same.
    streams = [sys.stdout, sys.stderr]
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        setattr(sys, stream, open(("stdin", "stdout", "stderr").index(stream), mode, closefd=False))  # noqa: SIM115
    os.chdir(command["directory"])
    os.environ.clear()
    # As the `az` that pip installs does.
    os.environ.update({"AZ_INSTALLER": "PIP", **command["environment"]})
    sys.argv = ["az", *command["arguments"]]
    code: object = 1
    try:
        runpy.run_module("azure.cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = 0 if ended.code is None else ended.code
    finally:
        for stream in (*streams, sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        asked.sendall(str(code if isinstance(code, int) else 1).encode())
        os._exit(0)


main()
