"""The coverage page names every call there is, and only tests that exist: those check again whatever they prove."""

import ast
from pathlib import Path

import pytest

from docs.azure_coverage import graph_operations, key_of, page, rows
from docs.azure_proofs import PLAIN_CLIENT, proofs
from tests.azure_calls import check, client_of, proven

ROOT = Path(__file__).parents[2]


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_proves_something_exists() -> None:
    named = {proof["test"] for calls in proofs().values() for clients in calls.values() for proof in clients.values()}
    assert named
    faults = []
    for test in sorted(named):
        file, _, function = test.partition("[")[0].partition("::")
        if not (ROOT / file).exists() or function.rpartition("::")[2] not in functions_of(ROOT / file):
            faults.append(test)
    assert not faults, f"gone: {faults}; run pytest --record-azure on the tests in their place, then make docs"


def test_every_call_that_is_proven_exists() -> None:
    known = {(row.service, row.key) for row in rows()}
    gone = [(service, key) for service, calls in proofs().items() for key in calls if (service, key) not in known]
    assert not gone, f"no such calls: {gone}; take them out of tests/azure_proofs.json, then make docs"


def test_every_call_is_on_the_page() -> None:
    text = page()
    assert all(f"| `{row.method}` {row.path} |" in text for row in rows())


@pytest.mark.parametrize(
    ("service", "method", "path", "key"),
    [
        ("arm", "PUT", "/subscriptions/s/resourcegroups/g", "PUT Microsoft.Resources/subscriptions/resourceGroups"),
        (
            "arm",
            "GET",
            "/subscriptions/s/providers/microsoft.keyvault/vaults",
            "GET Microsoft.KeyVault/vaults (list)",
        ),
        ("arm", "POST", "/subscriptions/s/providers/Microsoft.Compute/register", "POST providers/{}/register"),
        ("graph", "GET", "/v1.0/applications/1234", "GET applications/{}"),
        ("keyvault", "POST", "/keys/a/1/SIGN", "POST keys/{}/{}/sign"),
        ("entra", "POST", "/contoso/oauth2/v2.0/token", "POST /{tenant}/oauth2/v2.0/token"),
        ("arm", "GET", "/nowhere/at/all", ""),
    ],
)
def test_a_request_is_one_of_the_calls(service: str, method: str, path: str, key: str) -> None:
    assert key_of(service, method, path, graph_operations()) == key


@pytest.mark.parametrize(
    ("user_agent", "client"),
    [
        ("python/3.12.3 (Linux-6.8-x86_64) AZURECLI/2.88.0 (PIP)", "az"),
        ("AZURECLI/2.88.0 (PIP) azsdk-python-core/1.38.0 Python/3.12", "az"),
        ("azsdk-python-mgmt-msi/7.1.0 Python/3.11.7 (Linux)", "azure-mgmt-msi"),
        ("azsdk-js-keyvault-secrets/4.9.0 core-rest-pipeline/1.17", "@azure/keyvault-secrets"),
        ("Python/3.11 aiohttp/3.12", PLAIN_CLIENT),
        ("", PLAIN_CLIENT),
    ],
)
def test_a_client_is_who_its_user_agent_says(user_agent: str, client: str) -> None:
    assert client_of(user_agent) == client


def test_what_failed_proves_nothing() -> None:
    request = {
        "service": "keyvault",
        "method": "GET",
        "path": "/secrets",
        "api_version": "7.4",
        "client": "azsdk-python-keyvault-secrets/4.12.0",
    }
    assert proven([{**request, "status": 401}]) == {}
    assert proven([{**request, "status": 200}]) == {
        ("keyvault", "GET secrets", "azure-keyvault-secrets"): {"7.4"},
    }


def test_a_test_that_no_longer_proves_what_is_put_down_fails() -> None:
    service, calls = next(iter(proofs().items()))
    key, clients = next(iter(calls.items()))
    client, proof = next(iter(clients.items()))
    with pytest.raises(AssertionError, match="no longer proven"):
        check(proof["test"], [])
    with pytest.raises(AssertionError, match=client):
        check(proof["test"], [(service, key, "another client")])
