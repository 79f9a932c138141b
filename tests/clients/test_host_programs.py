"""The pod's program on the host: through `podpass lab env`, the forward proxy and a token from kubectl."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import podpass.lab.demo
from tests.running_lab import RunningLab

PROGRAM = Path(podpass.lab.demo.__file__).with_name("program.py")
NODE = Path(__file__).with_name("node")
AIO_PROGRAM = """
import asyncio, hashlib, os
from azure.identity.aio import WorkloadIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

async def main():
    async with WorkloadIdentityCredential() as credential, SecretClient(os.environ["VAULT_URL"], credential) as vault:
        secret = await vault.get_secret(os.environ["SECRET_NAME"])
        print("sha256:" + hashlib.sha256(secret.value.encode()).hexdigest()[:8])

asyncio.run(main())
"""


def test_the_same_program_reads_the_secret_from_the_host(running_lab, trusted, variables) -> None:  # type: ignore[no-untyped-def]
    done = running_lab.run(sys.executable, str(PROGRAM), **variables)
    assert trusted[2] in done.stdout


def test_the_asynchronous_client_does_the_same(running_lab, trusted, variables) -> None:  # type: ignore[no-untyped-def]
    done = running_lab.run(sys.executable, "-c", AIO_PROGRAM, **variables)
    assert trusted[2] in done.stdout


def test_another_accounts_token_is_refused_as_on_azure(running_lab, trusted, variables) -> None:  # type: ignore[no-untyped-def]
    wanted = trusted[0]
    token = running_lab.kubectl("create", "token", "default", "-n", wanted.namespace, "--audience", wanted.audience)
    Path(variables["AZURE_FEDERATED_TOKEN_FILE"]).write_text(token.strip())
    done = running_lab.run(sys.executable, str(PROGRAM), check=False, **variables)
    assert done.returncode != 0
    assert "AADSTS700213" in done.stderr


def test_curl_reads_the_issuers_documents_and_the_keys_fit(running_lab: RunningLab) -> None:
    issuer = running_lab.endpoints.issuer
    assert issuer.endswith("/")
    document = json.loads(running_lab.run("curl", "-sSf", f"{issuer}.well-known/openid-configuration").stdout)
    assert document["issuer"] == issuer
    answer = running_lab.run("curl", "-sSfi", document["jwks_uri"]).stdout.lower()
    assert "content-type: application/jwk-set+json" in answer
    keys = json.loads(running_lab.run("curl", "-sSf", document["jwks_uri"]).stdout)["keys"]
    assert all(key["alg"] == "RS256" and key["use"] == "sig" for key in keys)


def test_curl_alone_trades_a_token_for_a_secret(running_lab, trusted, variables) -> None:  # type: ignore[no-untyped-def]
    wanted, identity, _ = trusted
    authority = f"https://login.microsoftonline.com/{running_lab.endpoints.tenant_id}"
    form = (
        f"client_id={identity.client_id}",
        "grant_type=client_credentials",
        "scope=https://vault.azure.net/.default",
        "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        f"client_assertion@{variables['AZURE_FEDERATED_TOKEN_FILE']}",
    )
    fields = [text for member in form for text in ("--data-urlencode", member)]
    token = json.loads(running_lab.run("curl", "-sSf", f"{authority}/oauth2/v2.0/token", *fields).stdout)
    secret = f"{wanted.vault_url}/secrets/{wanted.secret}?api-version=7.4"
    answer = running_lab.run("curl", "-sSf", "-H", f"Authorization: Bearer {token['access_token']}", secret)
    assert json.loads(answer.stdout)["id"].startswith(f"{wanted.vault_url}/secrets/{wanted.secret}/")


def test_an_unreachable_issuer_answers_nobody(running_lab: RunningLab) -> None:
    address = f"{running_lab.endpoints.issuer}.well-known/openid-configuration"
    running_lab.control.set_faults({"issuer_unreachable": True})
    try:
        done = running_lab.run("curl", "-sSf", address, check=False)
    finally:
        running_lab.control.set_faults({"issuer_unreachable": False})
    assert done.returncode == 22, "what the printed remedy shows while the fault is there"
    running_lab.run("curl", "-sSf", address)


def test_curl_is_refused_every_other_host(running_lab: RunningLab) -> None:
    done = running_lab.run("curl", "-sS", "https://www.example.com/", check=False)
    assert done.returncode == 56
    assert "502" in done.stderr


def node_modules() -> str:
    """Why the Node test can't run, or an empty string once its packages are installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    if not (NODE / "node_modules" / "@azure" / "identity").is_dir():
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0:
            return f"npm ci failed: {done.stderr[-300:]}"
    return ""


@pytest.mark.xdist_group("npm")
def test_nodes_sdk_reads_the_secret_too(running_lab, trusted, variables) -> None:  # type: ignore[no-untyped-def]
    if reason := node_modules():
        pytest.skip(reason)
    done = running_lab.run("node", str(NODE / "read_secret.mjs"), **variables)
    assert trusted[2] in done.stdout


@pytest.mark.xdist_group("npm")
def test_nodes_credentials_get_tokens_refusals_and_challenges(running_lab: RunningLab, variables) -> None:  # type: ignore[no-untyped-def]
    if reason := node_modules():
        pytest.skip(reason)
    newest = running_lab.control.status()["journal"]["newest"]
    settings = {"PYTHON": sys.executable, "PODPASS_HOME": str(running_lab.home)}
    done = running_lab.run("node", str(NODE / "credentials.mjs"), **variables, **settings)
    name = variables["SECRET_NAME"]
    assert done.stdout.splitlines() == [
        f"workload identity: {name}",
        f"client assertion: {name}",
        "audience: https://vault.azure.net identity: true",
        "forged: AuthenticationRequiredError AADSTS700027",
        f"after a revocation: {name}",
    ]
    events = running_lab.control.journal(after=newest)
    assert [event["outcome"] for event in events if event["problem"] == "PP217"] == ["noted"]
