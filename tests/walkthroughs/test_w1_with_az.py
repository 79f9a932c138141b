"""Walkthrough 1, whole: the guide's commands with the stock az, on the host and in the pod, and what they show."""

import json
import re

import pytest

from tests.guides import HOW_TO, Followed, followed_once
from tests.stock_az import needs_az

pytestmark = [*needs_az, pytest.mark.shows_tokens]

GUIDE = HOW_TO / "walk-through-workload-identity-with-az.md"
GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return followed_once(GUIDE, tmp_path_factory)


def objects(text: str) -> list[dict[str, object]]:
    """Every JSON object that *text* holds at the beginning of a line."""
    decoder, found = json.JSONDecoder(), []
    for match in re.finditer(r"^\{$", text, re.MULTILINE):
        found.append(decoder.raw_decode(text, match.start())[0])
    return found


def test_step_1_the_environment_is_built(shown: Followed) -> None:
    group, cluster, identity, credential = objects(shown[1])
    assert group["name"] == "azcli"
    issuer = str(credential["issuer"])
    assert re.fullmatch(rf"https://westeurope\.oic\.prod-aks\.azure\.com/{GUID}/{GUID}/", issuer)
    assert cluster["oidcIssuerProfile"] == {"enabled": True, "issuerUrl": issuer}
    assert cluster["securityProfile"]["workloadIdentity"] == {"enabled": True}  # type: ignore[index]
    assert (identity["name"], credential["name"]) == ("azcli-umi", "azcli-umi-fi")
    assert credential["subject"] == "system:serviceaccount:azcli:azcli-sa"
    assert credential["audiences"] == ["api://AzureADTokenExchange"]
    assert 'deployment "azcli" successfully rolled out' in shown[1]


def test_step_2_the_identity_has_its_role(shown: Followed) -> None:
    (assignment,) = objects(shown[2])
    assert assignment["principalId"] == objects(shown[1])[2]["principalId"]
    assert str(assignment["scope"]).endswith("/resourceGroups/azcli")


def test_step_3_the_pod_has_the_four_variables(shown: Followed) -> None:
    identity = objects(shown[1])[2]
    assert shown[3].splitlines() == [
        "AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/",
        f"AZURE_CLIENT_ID={identity['clientId']}",
        "AZURE_FEDERATED_TOKEN_FILE=/var/run/secrets/azure/tokens/azure-identity-token",
        f"AZURE_TENANT_ID={identity['tenantId']}",
    ]


def test_step_4_az_in_the_pod_signs_in_and_sees_what_its_role_lets_it(shown: Followed) -> None:
    subscriptions, end = json.JSONDecoder().raw_decode(shown[4])
    assert [one["user"] for one in subscriptions] == [
        {"name": objects(shown[1])[2]["clientId"], "type": "servicePrincipal"}
    ]
    assert json.loads(shown[4][end:]) == ["azcli"]


def test_step_5_every_hop_behind_it_is_told(shown: Followed) -> None:
    issuer = re.escape(str(objects(shown[1])[3]["issuer"]))
    assert re.search(
        rf"entra → issuer: discovery document of {issuer}\n.*openid/v1/jwks\n.*entra → issuer: keys of {issuer}\n"
        r" *granted +system:serviceaccount:azcli:azcli-sa → entra: token for .*\n.*credential azcli-umi-fi",
        shown[5],
    )


def test_step_6_both_tokens_are_decoded(shown: Followed) -> None:
    azure, ordinary = shown[6].split("ordinary service-account token\n")
    for text in (azure, ordinary):
        assert f"iss: {objects(shown[1])[3]['issuer']} " in text
        assert "sub: system:serviceaccount:azcli:azcli-sa " in text
    assert "aud: ['api://AzureADTokenExchange']" in azure
    assert "warnafter marks the hour's end" in ordinary
    issued, expires = (int(re.search(rf"{name}: (\d+)", ordinary)[1]) for name in ("iat", "exp"))  # type: ignore[index]
    assert expires - issued == 31_536_000


def test_step_7_a_machine_needs_no_file(shown: Followed) -> None:
    assert '"assignedIdentityInfo": "MSI"' in shown[7]
    (answer,) = objects(shown[7])
    assert set(answer) == {
        "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource", "token_type"
    }  # fmt: skip


def test_step_8_a_label_is_all_there_is(shown: Followed) -> None:
    assert json.loads(shown[8]) == {"app": "azcli", "azure.workload.identity/use": "true"}
