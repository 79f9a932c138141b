"""Runs commands in a pod with the official client's stream, whole and interactively."""

import sys

from kubernetes import client, config
from kubernetes.stream import stream

config.load_kube_config()
core, namespace = client.CoreV1Api(), sys.argv[1]
options = {"stderr": True, "stdin": False, "stdout": True, "tty": False}
command = ["sh", "-c", "echo out; echo err >&2"]
print(
    "whole", sorted(stream(core.connect_get_namespaced_pod_exec, "box", namespace, command=command, **options).split())
)
talk = stream(
    core.connect_get_namespaced_pod_exec,
    "box",
    namespace,
    command=["sh"],
    **{**options, "stdin": True},
    _preload_content=False,
)
talk.write_stdin("echo $((6*7))\n")
print("answer", talk.readline_stdout(timeout=20))
talk.write_stdin("exit 3\n")
talk.run_forever(timeout=20)
print("code", talk.returncode)
talk.close()
