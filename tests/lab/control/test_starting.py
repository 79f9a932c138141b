"""Stopping a lab: done when its process has ended, whoever was to wait for it."""

import subprocess
import sys
from pathlib import Path

from podpass.lab.control.starting import stop
from podpass.lab.environment import LabPaths

_ENDS_WHEN_ASKED = """
import http.server, json, os, socketserver, sys, threading

class Answers(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer({"pid": os.getpid()})

    def do_POST(self):
        self.answer(None)
        threading.Thread(target=self.server.shutdown).start()

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

server = Server(sys.argv[1], Answers)
print("ready", flush=True)
server.serve_forever()
"""


def test_a_lab_has_stopped_although_nobody_has_asked_for_its_exit_code(tmp_path: Path) -> None:
    paths = LabPaths.of("unattended", home=tmp_path)
    paths.make()
    command = [sys.executable, "-c", _ENDS_WHEN_ASKED, str(paths.control)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        stop(paths)

        assert process.returncode is None
        assert process.wait(timeout=0) == 0
