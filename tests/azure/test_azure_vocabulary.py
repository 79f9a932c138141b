"""Clouds, resource ids, resources and scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.azure.clouds import CLOUDS, PUBLIC, cloud_named
from podpass.azure.resourceids import (
    GROUP_TYPE,
    SUBSCRIPTION_TYPE,
    USER_ASSIGNED_IDENTITIES,
    NotAResourceId,
    Part,
    ResourceId,
    resource_group,
    same_resource_id,
    user_assigned_identity,
)
from podpass.azure.scopes import resource_for_scope, same_resource, scope_for_resource

IDENTITY = "/subscriptions/S1/resourceGroups/Shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Orders"


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("AzurePublicCloud", "https://login.microsoftonline.com/"),
        ("AzureUSGovernmentCloud", "https://login.microsoftonline.us/"),
        ("AzureChinaCloud", "https://login.chinacloudapi.cn/"),
        ("AzureGermanCloud", "https://login.microsoftonline.de/"),
    ],
)
def test_each_cloud_has_its_authority_host(name: str, host: str) -> None:
    for spelling in (name, name.upper(), name.lower()):
        cloud = cloud_named(spelling)
        assert cloud is not None
        assert cloud.authority_host == host


def test_there_is_no_other_cloud() -> None:
    assert cloud_named("AzureStackCloud") is None
    assert CLOUDS[0] is PUBLIC


@pytest.mark.parametrize(
    ("resource", "scope"),
    [
        ("https://vault.azure.net", "https://vault.azure.net/.default"),
        ("https://management.core.windows.net/", "https://management.core.windows.net//.default"),
        ("https://x/.default", "https://x/.default"),
    ],
)
def test_scope_of_a_resource(resource: str, scope: str) -> None:
    assert scope_for_resource(resource) == scope


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("https://vault.azure.net/.default", "https://vault.azure.net"),
        ("https://management.core.windows.net//.default", "https://management.core.windows.net/"),
        ("api://app/.default", "api://app"),
        ("https://vault.azure.net", None),
        ("https://vault.azure.net/.DEFAULT", None),
        ("/.default", None),
    ],
)
def test_resource_of_a_scope_keeps_its_own_slash(scope: str, resource: str | None) -> None:
    assert resource_for_scope(scope) == resource


@given(st.text(min_size=1).filter(lambda text: not text.endswith("/.default")))
def test_resource_and_scope_are_the_same_thing(resource: str) -> None:
    assert resource_for_scope(scope_for_resource(resource)) == resource


def test_a_slash_does_not_make_another_service() -> None:
    assert same_resource("https://management.azure.com/", "https://management.azure.com")
    assert not same_resource("https://management.azure.com", "https://vault.azure.net")


@pytest.mark.parametrize(
    ("text", "canonical", "full_type", "name"),
    [
        ("/subscriptions/s", "/subscriptions/s", SUBSCRIPTION_TYPE, "s"),
        ("/SUBSCRIPTIONS/s/resourcegroups/g/", "/subscriptions/s/resourceGroups/g", GROUP_TYPE, "g"),
        (IDENTITY.replace("resourceGroups", "resourcegroups"), IDENTITY, USER_ASSIGNED_IDENTITIES, "Orders"),
        (
            IDENTITY + "/federatedIdentityCredentials/c",
            IDENTITY + "/federatedIdentityCredentials/c",
            USER_ASSIGNED_IDENTITIES + "/federatedIdentityCredentials",
            "c",
        ),
        (
            "/subscriptions/s/providers/a.b/locations/l",
            "/subscriptions/s/providers/a.b/locations/l",
            "a.b/locations",
            "l",
        ),
        (
            IDENTITY + "/providers/Microsoft.Authorization/roleAssignments/1",
            IDENTITY + "/providers/Microsoft.Authorization/roleAssignments/1",
            "Microsoft.Authorization/roleAssignments",
            "1",
        ),
    ],
)
def test_ids_are_read_in_any_letter_case(text: str, canonical: str, full_type: str, name: str) -> None:
    parsed = ResourceId.parse(text)
    assert str(parsed) == canonical
    assert (parsed.type, parsed.name) == (full_type, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "subscriptions/s",
        "/",
        "/subscriptions",
        "/subscriptions/",
        "/subscriptions/s/resourceGroups",
        "/subscriptions/s/whatever/g",
        "/subscriptions/s/providers/p",
        "/subscriptions/s/providers/p/type",
        "/subscriptions/s//resourceGroups/g",
        "/subscriptions/../resourceGroups/g",
        "/subscriptions/s/resourceGroups/a%2fb",
        "/subscriptions/s/resourceGroups/g?x=1",
        "/subscriptions/s/" + "x" * 3000,
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(NotAResourceId):
        ResourceId.parse(text)


def test_ids_compare_without_letter_case() -> None:
    one, other = ResourceId.parse(IDENTITY), ResourceId.parse(IDENTITY.lower())
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) != str(other)
    assert one != "text"
    assert same_resource_id(IDENTITY, IDENTITY.upper())
    assert not same_resource_id("nonsense", "NONSENSE")
    assert user_assigned_identity("s1", "shop", "orders") == one


def test_parents_lead_up_to_the_subscription() -> None:
    chain = []
    current = ResourceId.parse(IDENTITY + "/federatedIdentityCredentials/c")
    while current.parts:
        chain.append(str(current))
        current = current.parent
    assert chain[1:] == [IDENTITY, "/subscriptions/S1/resourceGroups/Shop", "/subscriptions/S1"]


def test_a_group_contains_its_resources_and_not_its_namesakes() -> None:
    group = resource_group("S1", "shop")
    assert group.contains(ResourceId.parse(IDENTITY))
    assert not resource_group("S1", "sho").contains(ResourceId.parse(IDENTITY))


segments = st.from_regex(r"[A-Za-z0-9._()-]{1,20}", fullmatch=True).filter(lambda text: text not in (".", ".."))
pairs = st.lists(st.tuples(segments, segments), min_size=1, max_size=3)


@given(segments, segments | st.just(""), segments, pairs)
def test_ids_survive_being_written_and_read(subscription: str, group: str, provider: str, types: list) -> None:
    base = [("subscriptions", subscription), ("resourceGroups", group)]
    written = ResourceId((Part("", tuple(base if group else base[:1])), Part(provider, tuple(types))))
    assert str(ResourceId.parse(str(written))) == str(written)
    assert ResourceId.parse(str(written).upper()) == written


@given(st.text(max_size=60))
def test_any_text_gives_an_id_or_a_reason(text: str) -> None:
    try:
        parsed = ResourceId.parse(text)
    except NotAResourceId:
        return
    assert ResourceId.parse(str(parsed)) == parsed
