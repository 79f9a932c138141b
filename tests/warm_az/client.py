"""Hand a command line of az, with everything around it, to the server at the socket in the first argument."""

import json
import os
import socket
import sys

command = {"arguments": sys.argv[2:], "environment": dict(os.environ), "directory": os.getcwd()}
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    socket.send_fds(server, [json.dumps(command).encode()], [0, 1, 2])
    code = server.recv(16)
# No code: az was ended by a signal.
sys.exit(int(code) if code else 70)
