"""Programs of our own that stand in for ones this machine lacks."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from podpass.lab.node.images import Catalogue, Image, ResolvedImage
from podpass.lab.node.images.builtin import BUILTIN

STEP = next(image.stand_in for image in BUILTIN if image.needs == "step")
DEMO = next(image.stand_in for image in BUILTIN if image.needs == "pod-identity-demo")
CLIENT = "11111111-1111-4111-8111-111111111111"
# {"alg":"none"} . {"aud":["test"]} . three bytes
TOKEN = "eyJhbGciOiJub25lIn0.eyJhdWQiOlsidGVzdCJdfQ.AAEC"


def step(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STEP), *arguments], input=stdin, capture_output=True, text=True, timeout=30, check=False
    )


def test_step_decodes_a_token_and_keeps_its_signature_back() -> None:
    done = step("crypto", "jwt", "inspect", "--insecure", stdin=f"{TOKEN}\n")
    assert json.loads(done.stdout) == {
        "header": {"alg": "none"},
        "payload": {"aud": ["test"]},
        "signature": "sha256:ae4b3280",
    }


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        pytest.param(["crypto", "jwt", "inspect"], TOKEN, "requires the '--insecure' flag", id="secure"),
        pytest.param(["crypto", "jwt", "inspect", "--insecure"], "nonsense", "error parsing token", id="no-token"),
        pytest.param(["crypto", "jwt", "inspect", "--insecure"], "a.b.c", "error parsing token", id="no-json"),
        pytest.param(["crypto", "jwt", "inspect", "--insecure"], "W1s=.e30=.AA", "error parsing token", id="cut-off"),
        pytest.param(
            ["crypto", "jwt", "inspect", "--insecure", "--jwks=x"], TOKEN, "not defined: --jwks", id="unknown-flag"
        ),
        pytest.param(["ca", "token"], "", "only `step crypto jwt inspect` is here", id="another-command"),
    ],
)
def test_step_refuses_what_it_cannot_do(arguments: list[str], stdin: str, said: str) -> None:
    done = step(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stand_in_gives_way_to_the_real_program(tmp_path: Path) -> None:
    real = tmp_path / "bin" / "step"
    images = (Image("smallstep/step-cli", needs="step", stand_in=STEP),)
    own = Catalogue(images, which=lambda _: None).resolve("smallstep/step-cli:0.28")
    assert isinstance(own, ResolvedImage)
    assert STEP in own.paths
    assert own.environment["PATH"].split(":")[1] == str(STEP.parent)
    found = Catalogue(images, which=lambda _: str(real)).resolve("smallstep/step-cli:0.28")
    assert isinstance(found, ResolvedImage)
    assert found.description == f"this machine's {real}"
    assert STEP not in found.paths


@dataclass
class MetadataService:
    """Answers as the metadata service of a machine: *answers* by path, then 200 with *token*."""

    token: str = "one"
    tokens: dict[str, str] = field(default_factory=dict)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    host: str = ""

    def answer(self, target: str) -> tuple[int, str]:
        self.asked.append(target)
        url = urllib.parse.urlsplit(target)
        if url.path == "/metadata/instance":
            return 200, '{"compute":{"name":"machine_0"}}'
        if self.refusals:
            return self.refusals.pop(0)
        client_id = dict(urllib.parse.parse_qsl(url.query)).get("client_id", "")
        return 200, json.dumps({"access_token": self.tokens.get(client_id, self.token)})


@pytest.fixture
def metadata() -> Iterator[MetadataService]:
    service = MetadataService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Metadata"] == "true"
            status, text = service.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.host = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        server.shutdown()


def demo(metadata: MetadataService, arguments: Sequence[str], *, until: str) -> list[str]:
    """What the demo program logged up to the line that says *until*, without klog's heads."""
    # Azure's manager is out of reach on purpose: nothing listens at the proxy.
    surroundings = {
        "PATH": os.environ["PATH"],
        "https_proxy": "http://127.0.0.1:9",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": metadata.host,
        "MY_POD_NAME": "demo",
        "MY_POD_NAMESPACE": "my-app",
        "MY_POD_IP": "10.244.0.7",
    }
    command = [sys.executable, str(DEMO), *arguments]
    lines: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=surroundings) as running:
        assert running.stderr is not None
        for line in running.stderr:
            head = re.match(r"[IE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ pod-identity-demo:\d+\] ", line)
            assert head, line
            lines.append(line[head.end() :].rstrip("\n"))
            if until in line:
                break
        running.kill()
    return lines


def test_the_first_generation_of_the_demo_makes_its_four_checks(metadata: MetadataService) -> None:
    flags = ["--subscriptionid=s", "--clientid", CLIENT, "--resourcegroup", "g", "--retry-wait-time=600"]
    lines = demo(metadata, ["v1.6", *flags], until="instance metadata")
    endpoint = f"{metadata.host}/metadata/identity/oauth2/token"
    assert lines[0] == "starting demo pod my-app/demo 10.244.0.7"
    assert lines[1].startswith("failed list all vm, error: https://management.azure.com/subscriptions/s/resource")
    assert lines[2:] == [
        f"successfully acquired a token using the MSI, msiEndpoint({endpoint})",
        f"successfully acquired a token, userAssignedID MSI, msiEndpoint({endpoint}) clientID({CLIENT})",
        'successfully made GET on instance metadata, {"compute":{"name":"machine_0"}}',
    ]
    resource = "resource=https%3A%2F%2Fmanagement.azure.com%2F"
    assert metadata.asked[-3:] == [
        f"/metadata/identity/oauth2/token?api-version=2018-02-01&{resource}",
        f"/metadata/identity/oauth2/token?api-version=2018-02-01&{resource}&client_id={CLIENT}",
        "/metadata/instance?api-version=2017-08-01",
    ]


def test_the_demo_says_that_two_tokens_differ_and_shows_neither(metadata: MetadataService) -> None:
    metadata.tokens[CLIENT] = "another"
    lines = demo(metadata, ["v1.6", f"--clientid={CLIENT}"], until="instance metadata")
    (said,) = [line for line in lines if "msi, emsi test failed" in line]
    assert re.fullmatch(r"msi, emsi test failed with t1\(sha256:\w{8}\) and t2\(sha256:\w{8}\)", said)


def test_the_demo_begins_anew_after_a_refusal(metadata: MetadataService) -> None:
    metadata.refusals += [(400, "listing the machines"), (403, "Request blocked")]
    lines = demo(metadata, ["v1.6", f"--clientid={CLIENT}"], until="instance metadata")
    assert "listing the machines" in lines[1]
    assert "403" in lines[2]
    assert "Request blocked" in lines[2]
    assert "failed list all vm" in lines[3]
    assert lines[4].startswith("successfully acquired a token using the MSI")


def test_the_second_generation_of_the_demo_shows_the_metadata_first(metadata: MetadataService) -> None:
    flags = ["-identity-client-id", CLIENT, "--subscription-id=s", "--period", "1m40s"]
    lines = demo(metadata, ["v1.8", *flags], until="Try decoding")
    assert lines[0].startswith(f'curl -H Metadata:true "{metadata.host}/metadata/instance?api-version=2017-08-01": {{')
    assert lines[1] == (
        f"successfully acquired a service principal token from IMDS using a user-assigned identity ({CLIENT})"
    )
    assert re.fullmatch(r"Try decoding your token sha256:\w{8} at https://jwt.io", lines[2])


@pytest.mark.parametrize(
    ("generation", "flag", "said"),
    [
        pytest.param("v1.6", "--identity-client-id=c", "unrecognized arguments: --identity-client-id=c", id="newer"),
        pytest.param("v1.8", "--clientid=c", "unrecognized arguments: --clientid=c", id="older"),
        pytest.param("v1.8", "--period=100", "invalid duration value: '100'", id="no-unit"),
    ],
)
def test_a_generation_of_the_demo_refuses_flags_that_it_has_not(generation: str, flag: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO), generation, flag], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("tag", "generation"), [("v1.6.3", "v1.6"), ("v1.7.1", "v1.6"), ("v1.8.17", "v1.8"), ("latest", "v1.8")]
)
def test_a_tag_decides_the_generation_of_the_demo(tag: str, generation: str) -> None:
    found = Catalogue(which=lambda _: None).resolve(f"mcr.microsoft.com/oss/azure/aad-pod-identity/demo:{tag}")
    assert isinstance(found, ResolvedImage)
    assert found.argv((), ("--x",)) == ("pod-identity-demo", generation, "--x")
