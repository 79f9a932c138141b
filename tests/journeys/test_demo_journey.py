"""The product's main job, as a user starts it: with no fault, and with each fault, its code and its remedy."""

import json

import pytest

from podpass.lab.demo.plan import Break

EXPECTED = {
    Break.ISSUER_SLASH: ("AADSTS700211", "PP201"),
    Break.WRONG_SUBJECT: ("AADSTS700213", ""),
    Break.WRONG_AUDIENCE: ("AADSTS700212", ""),
    Break.EXPIRED: ("AADSTS700024", ""),
    Break.ISSUER_DOWN: ("AADSTS50166", ""),
    Break.NO_ROLE: ("ForbiddenByRbac", ""),
    Break.NO_LABEL: ("", ""),
}
# What the stock client itself says, beside the code.
CLIENT_SAYS = {
    Break.NO_LABEL: "WorkloadIdentityCredential authentication unavailable",
    Break.NO_ROLE: "Caller is not authorized to perform action on resource",
}


def test_every_break_is_tested() -> None:
    assert set(EXPECTED) == set(Break)


def test_a_pod_reads_its_secret_and_every_hop_is_shown(podpass) -> None:  # type: ignore[no-untyped-def]
    done = podpass("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DefaultAzureCredential()" in done.stdout
    for hop in ("cluster", "webhook", "node", "issuer", "entra", "keyvault"):
        assert f" → {hop}: " in done.stdout, f"no hop of {hop} in\n{done.stdout}"
    assert "read secret 'payments-connection' from https://kv-shop-" in done.stdout


@pytest.mark.parametrize("broken", Break)
def test_a_fault_shows_its_own_code_and_its_remedy_mends_it(podpass, broken: Break) -> None:  # type: ignore[no-untyped-def]
    done = podpass("demo", "--break", broken.value, "--mend", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    failed, mended = json.loads(done.stdout)
    wire, problem = EXPECTED[broken]
    assert not failed["succeeded"]
    assert failed["wire"] == wire
    assert failed["problem"].startswith(problem or "PP")
    assert (CLIENT_SAYS.get(broken) or wire) in failed["output"]
    assert failed["reason"]
    assert failed["remedy"]
    assert "{" not in failed["reason"] + failed["remedy"], "a value is missing"
    assert mended["succeeded"], mended


def test_the_plain_runtime_does_the_same_job(podpass) -> None:  # type: ignore[no-untyped-def]
    done = podpass("demo", "--runtime", "plain", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(done.stdout)
    assert result["succeeded"]
