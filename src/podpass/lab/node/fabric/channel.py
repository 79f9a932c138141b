"""Lines of JSON with descriptors beside them, over the socket that the helper process inherits."""

import array
import contextlib
import json
import os
import socket
from typing import Any

MAX_MESSAGE = 16 * 1024 * 1024
_CHUNK = 65536


class Refused(Exception):
    """The request can't be done; the text goes back to the lab."""


class Channel:
    """Lines of JSON with descriptors beside them, over the inherited socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.setblocking(True)
        self._buffer = b""
        self._descriptors: list[int] = []

    def send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        # Blocking on purpose: answers are small, and a lab that reads nothing is not waited on by anyone else.
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if descriptors:
                sent = socket.send_fds(self._connection, [data], descriptors)
                data = data[sent:]
            if data:
                self._connection.sendall(data)

    def receive(self) -> list[tuple[dict[str, Any], list[int]]] | None:
        """The messages that have arrived whole; None when the lab is gone. Call when the socket is readable."""
        try:
            data, ancillary, _, _ = self._connection.recvmsg(_CHUNK, socket.CMSG_SPACE(16 * 4))
        except ConnectionResetError:
            return None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                arrived = array.array("i")
                arrived.frombytes(content[: len(content) - len(content) % arrived.itemsize])
                for descriptor in arrived:
                    os.set_inheritable(descriptor, False)
                self._descriptors.extend(arrived)
        if not data:
            return None
        self._buffer += data
        if len(self._buffer) > MAX_MESSAGE:
            return None
        *lines, self._buffer = self._buffer.split(b"\n")
        messages = []
        for line in lines:
            message = json.loads(line)
            count = message.get("fds", 0)
            taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
            messages.append((message, taken))
        return messages
