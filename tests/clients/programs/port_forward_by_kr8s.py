"""Asks a pod's port over kr8s' port forwarding, twice."""

import sys
from http.client import HTTPConnection

from kr8s.objects import Pod

pod = Pod.get("web", namespace=sys.argv[1])
with pod.portforward(remote_port=8000) as port:
    for _ in range(2):
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/greeting")
        print(connection.getresponse().read().decode().strip())
        connection.close()
