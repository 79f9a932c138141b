"""Which objects a profile stands for, and what is to be done to those that are there."""

import copy
from typing import Any

import pytest

from podpass.lab.pod_identity import wanted
from podpass.lab.pod_identity.changes import Create, Delete, Restore, changes, includes

IDENTITY = {"resourceId": "/subscriptions/s/resourceGroups/g/providers/M/userAssignedIdentities/i", "clientId": "c"}


def entry(name: str = "vote", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "app", "identity": IDENTITY, "provisioningState": "Assigned", **more}


def test_an_entry_is_an_identity_of_its_namespace_and_a_binding() -> None:
    identity, binding = wanted.entries({"userAssignedIdentities": [entry()]})
    assert (identity["kind"], identity["metadata"]["name"], identity["metadata"]["namespace"]) == (
        "AzureIdentity",
        "vote",
        "app",
    )
    assert identity["spec"] == {"type": 0, "resourceID": IDENTITY["resourceId"], "clientID": "c"}
    assert identity["metadata"]["annotations"] == {"aadpodidentity.k8s.io/Behavior": "namespaced"}
    assert binding["metadata"]["name"] == "vote-binding"
    assert binding["spec"] == {"azureIdentity": "vote", "selector": "vote"}


def test_a_selector_of_its_own_is_the_binding_s() -> None:
    _, binding = wanted.entries({"userAssignedIdentities": [entry(bindingSelector="web")]})
    assert binding["spec"]["selector"] == "web"


def test_an_entry_that_could_not_be_assigned_is_nothing() -> None:
    assert wanted.entries({"userAssignedIdentities": [entry(provisioningState="Failed")]}) == []


def test_an_exception_is_an_exception() -> None:
    given = {"name": "x", "namespace": "app", "podLabels": {"a": "b"}}
    (found,) = wanted.entries({"userAssignedIdentityExceptions": [given]})
    assert (found["kind"], found["spec"]) == ("AzurePodIdentityException", {"podLabels": {"a": "b"}})


@pytest.mark.parametrize(("consent", "told"), [(False, False), (True, True)])
def test_nmi_is_told_of_the_consent_to_kubenet(consent: bool, told: bool) -> None:
    (found,) = (each for each in wanted.agent({"allowNetworkPluginKubenet": consent}) if each["kind"] == "DaemonSet")
    arguments = found["spec"]["template"]["spec"]["containers"][0]["args"]
    assert ("--allow-network-plugin-kubenet" in arguments) is told
    assert {"--operation-mode=managed", "--forceNamespaced"} <= set(arguments)


def test_the_addon_s_own_exception_is_among_nmi_s_objects() -> None:
    found = [each for each in wanted.agent({}) if each["kind"] == "AzurePodIdentityException"]
    assert [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found] == [
        ("kube-system", "aks-addon-exception")
    ]


WANTED = wanted.entries({"userAssignedIdentities": [entry()]})


def present(*, spec: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    found = copy.deepcopy(WANTED)
    for each in found:
        each["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    found[1]["spec"] |= spec or {}
    return found


def test_nothing_is_done_to_what_is_as_wanted() -> None:
    assert changes(WANTED, present(), owned=present()) == []


def test_what_is_missing_is_created_and_what_is_not_wanted_deleted() -> None:
    assert [str(change) for change in changes(WANTED, present()[:1], owned=())] == [
        "create AzureIdentityBinding/app/vote-binding"
    ]
    found = changes(WANTED[:1], present(), owned=present())
    assert [type(change) for change in found] == [Delete]
    assert [type(change) for change in changes(WANTED, [], owned=())] == [Create, Create]


@pytest.mark.parametrize("edit", [{"selector": "mine"}, {"weight": 3}], ids=["changed", "added"])
def test_an_edit_by_hand_is_put_back(edit: dict[str, Any]) -> None:
    (found,) = changes(WANTED, present(spec=edit), owned=present(spec=edit))
    assert isinstance(found, Restore)
    assert found.obj["spec"] == WANTED[1]["spec"]
    assert found.obj["metadata"]["resourceVersion"] == "7"


def test_what_is_being_deleted_is_left_to_go() -> None:
    gone = present(spec={"selector": "mine"})
    for each in gone:
        each["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert changes(WANTED, gone, owned=gone) == []


@pytest.mark.parametrize(
    ("actual", "wish", "expected"),
    [
        ({"a": 1, "default": 2}, {"a": 1}, True),
        ({"a": 2}, {"a": 1}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}]}, False),
        ({}, {"a": {}}, True),
        ({"a": {"x": 1}}, {"a": {}}, False),
    ],
)
def test_a_server_s_own_members_count_for_nothing(actual: Any, wish: Any, expected: bool) -> None:
    assert includes(actual, wish) is expected
