"""Runs commands in a pod with kr8s."""

import sys

from kr8s.objects import Pod

pod = Pod.get("box", namespace=sys.argv[1])
done = pod.exec(["sh", "-c", "echo $0 $1; echo err >&2", "a", "b"])
print("whole", done.stdout, done.stderr, done.returncode)
print("code", pod.exec(["sh", "-c", "exit 4"], check=False).returncode)
