"""Our end of a terminal that a program in a container has.

uvloop's transports are for pipes. They lose what was written last, because a short read together with a hang-up is
the end of a pipe, and a terminal hands out its lines in short reads; and they read from what they write to.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios

_CHUNK = 65536


def set_size(terminal: int, width: int, height: int) -> None:
    """Tell the program how many columns and rows its terminal has."""
    with contextlib.suppress(OSError, struct.error):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class TerminalWriting:
    """Writes to *descriptor*, which it takes over, as far as the program reads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._writable = asyncio.Event()
        os.set_blocking(descriptor, False)

    async def write(self, data: bytes) -> None:
        """Write all of *data*, waiting while the program does not read; nothing once the terminal is closed."""
        left = memoryview(data)
        while left and not self._closed:
            try:
                left = left[os.write(self._descriptor, left) :]
            except (BlockingIOError, InterruptedError):
                self._writable.clear()
                self._loop.add_writer(self._descriptor, self._may_write)
                await self._writable.wait()
            except OSError:
                return

    def _may_write(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self._writable.set()

    def end(self) -> None:
        """A terminal's input has no end of its own: what ends it is what the user types."""

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._writable.set()


class TerminalReading(asyncio.ReadTransport):
    """Reads *descriptor*, which it takes over, for *protocol*. The last user's leaving is the end."""

    def __init__(self, descriptor: int, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._reading = True
        os.set_blocking(descriptor, False)
        protocol.connection_made(self)
        self._loop.add_reader(descriptor, self._readable)

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        if self._reading and not self._closing:
            self._reading = False
            self._loop.remove_reader(self._descriptor)

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._descriptor, self._readable)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._loop.call_soon(self._protocol.connection_lost, None)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Nobody has the terminal open any more.
            data = b""
        if data:
            self._protocol.data_received(data)
        else:
            self.close()
