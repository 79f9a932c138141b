"""A whole journey at debug level, then a search of everything it wrote and printed for the tokens and secrets in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from podpass.kube.resources import SERVICEACCOUNTS
from podpass.lab.demo.client import ARM, VAULT_RESOURCE, Operator
from podpass.lab.demo.plan import AUDIENCE
from podpass.lab.environment import LabPaths
from podpass.telemetry.redaction import redact_text
from tests.running_lab import RunningLab

JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
# Where secrets belong: the store, the private keys, the admin's kubeconfig, az's own caches, the pods' volumes.
KEPT_SECRET = ("lab.sqlite", "keys", "kubeconfig", "azure", "volumes")


def command(home: Path, *arguments: str) -> str:
    environ = {**os.environ, "PODPASS_HOME": str(home), "PODPASS_LOG_LEVEL": "debug", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "podpass", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, redact_text(done.stdout + done.stderr)
    return done.stdout + done.stderr


def written(paths: LabPaths) -> dict[Path, str]:
    """Every file of the lab that is not a place for secrets."""
    found = {}
    for path in paths.directory.rglob("*"):
        inside = path.relative_to(paths.directory).parts
        if path.is_file() and not any(part.startswith(KEPT_SECRET) for part in inside):
            found[path] = path.read_text(errors="replace")
    return found


async def issue(operator: Operator) -> list[str]:
    """Tokens of every kind, and the secret's value, as they travel."""
    plain = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    exchange = {**plain, "spec": {"audiences": [AUDIENCE]}}
    tokens = []
    for request in (plain, exchange):
        review = await operator.kube.create_subresource(SERVICEACCOUNTS, "orders", "token", request, "shop")
        tokens.append(review["status"]["token"])
    tokens += [await operator._token(ARM), await operator._token(VAULT_RESOURCE)]
    return tokens


@pytest.mark.shows_tokens
def test_no_log_journal_or_output_holds_a_token_or_a_secret(tmp_path: Path) -> None:
    outputs = [command(tmp_path, "demo", "--keep")]
    (name,) = re.findall(r"demo-[0-9a-f]{6}", outputs[0])[:1]
    paths = LabPaths.of(name, home=tmp_path)
    lab = RunningLab(paths, tmp_path)
    try:
        secrets = lab.operate(issue)
        vault = re.search(r"https://kv-shop-\w+\.vault\.azure\.net", outputs[0])
        assert vault is not None

        async def read(operator: Operator) -> str:
            return str((await operator.vault("GET", f"{vault.group()}/secrets/payments-connection"))["value"])

        secrets.append(lab.operate(read))
        for lookup in (("lab", "status"), ("lab", "journal", "--tail", "5000"), ("lab", "env")):
            outputs += [
                command(tmp_path, *lookup, "--name", name, "--output", form) for form in ("table", "json", "yaml")
            ]
        outputs.append(lab.kubectl("get", "pods,serviceaccounts,events", "-A", "-o", "yaml"))
        outputs.append(lab.kubectl("describe", "pod", "-n", "shop"))
        searched = {Path(f"output {number}"): text for number, text in enumerate(outputs)} | written(paths)
    finally:
        command(tmp_path, "lab", "reset", "--name", name, "--yes")
    assert any(path.name == "lab.log" for path in searched)
    needles = secrets + [token.rpartition(".")[2] for token in secrets if token.count(".") == 2]
    for path, text in searched.items():
        assert not any(needle in text for needle in needles), f"a secret is in {path.name}"
        assert JWT.search(text) is None, f"something shaped like a token is in {path.name}"


def test_the_search_would_find_a_token(tmp_path: Path) -> None:
    paths = LabPaths.of("x", home=tmp_path)
    paths.make()
    paths.log.write_text("bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.abc")
    (text,) = written(paths).values()
    assert JWT.search(text)
