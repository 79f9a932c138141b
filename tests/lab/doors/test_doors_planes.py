"""The cloud at one address of this machine: which plane a path belongs to, and whom its names are for."""

import pytest

from podpass.lab.arm import metadata
from podpass.lab.arm.endpoint import PUBLIC
from podpass.lab.doors.names import Names, Nowhere, Route
from podpass.lab.doors.planes import plane_of

OWN = "https://localhost:8443"


@pytest.mark.parametrize(
    ("path", "plane"),
    [
        ("/metadata/endpoints", "arm"),
        ("//metadata/endpoints", "arm"),
        ("/subscriptions", "arm"),
        ("/Subscriptions/S/resourceGroups/g", "arm"),
        ("/tenants", "arm"),
        ("/providers/Microsoft.Authorization/roleDefinitions", "arm"),
        ("/", "arm"),
        ("/v1.0/me", "graph"),
        ("/beta/applications", "graph"),
        ("/common/discovery/instance", "entra"),
        ("/contoso.example.com/oauth2/v2.0/token", "entra"),
        ("/11111111-2222-4333-8444-555555555555/v2.0/.well-known/openid-configuration", "entra"),
    ],
)
def test_the_plane_of_a_path(path: str, plane: str) -> None:
    assert plane_of(path) == plane


@pytest.mark.parametrize(
    ("host", "service", "label"), [("localhost", "planes", ""), ("KV.vault.localhost:8443", "keyvault", "kv")]
)
def test_own_names_lead_somewhere_at_the_gateway_and_are_never_resolved(host: str, service: str, label: str) -> None:
    names = Names()
    route = names.route(host)
    assert isinstance(route, Route)
    assert (route.service, route.label) == (service, label)
    assert isinstance(names.resolve(host), Nowhere)


def test_under_its_own_names_resource_manager_is_a_part_of_the_public_cloud() -> None:
    assert PUBLIC.seen_from("https://management.azure.com") == PUBLIC
    described = metadata.cloud(api_version="2022-09-01", arm="https://management.azure.com", endpoint=PUBLIC)
    assert (described["name"], described["suffixes"]["keyVaultDns"]) == ("AzureCloud", "vault.azure.net")
    assert described["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com/"


def test_under_any_other_it_is_a_cloud_of_its_own() -> None:
    described = metadata.cloud(api_version="2022-09-01", arm=OWN, endpoint=PUBLIC.seen_from(OWN))
    # A cloud of the public one's name would have its login service replaced by az.
    assert described["name"] == "Podpass"
    assert described["authentication"]["loginEndpoint"] == f"{OWN}/"
    assert described["resourceManager"] == described["microsoftGraphResourceId"] == f"{OWN}/"
    assert described["suffixes"]["keyVaultDns"] == "vault.localhost:8443"
    assert {OWN, f"{OWN}/"} < set(PUBLIC.seen_from(OWN).audiences)
