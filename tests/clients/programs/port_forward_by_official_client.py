"""Asks a pod's port over the official client's port forwarding, and one where nothing listens."""

import sys

from kubernetes import client, config
from kubernetes.stream import portforward

config.load_kube_config()
forwarded = portforward(client.CoreV1Api().connect_get_namespaced_pod_portforward, "web", sys.argv[1], ports="8000,81")
connection = forwarded.socket(8000)
connection.setblocking(True)
connection.sendall(b"GET /greeting HTTP/1.0\r\n\r\n")
answer = b""
while b"hello" not in answer:
    answer += connection.recv(4096)
print(answer.partition(b"\r\n")[0].decode(), answer.rpartition(b"\r\n")[2].decode().strip())
connection.close()
print("error", "connection refused" in forwarded.error(81))
