"""The custom resources as values, in every spelling that estates hold."""

from typing import Any

import pytest

from podpass.podidentity.exceptions import excepting
from podpass.podidentity.objects import (
    IdentityType,
    PodException,
    PodIdentity,
    SecretReference,
    Unusable,
    read_assigned_identity,
    read_binding,
    read_exception,
    read_identity,
)

RESOURCE_ID = (
    "/subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/rg/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/one"
)


def obj(spec: dict[str, Any], **annotations: str) -> dict[str, Any]:
    metadata = {"name": "one", "namespace": "shop", "resourceVersion": "7", "annotations": annotations}
    return {"metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    "spec",
    [
        {"type": 0, "clientID": "c", "resourceID": RESOURCE_ID},
        {"clientID": "c", "resourceID": RESOURCE_ID},
        {"Type": 0, "ClientID": "c", "ResourceID": RESOURCE_ID},
        {"clientid": "c", "resourceid": RESOURCE_ID},
        {"ClientID": "old", "clientID": "c", "resourceID": RESOURCE_ID},
        {"clientID": "c", "ClientID": "", "resourceID": RESOURCE_ID},
    ],
)
def test_an_identity_in_any_spelling(spec: dict[str, Any]) -> None:
    found = read_identity(obj(spec))
    assert isinstance(found, PodIdentity)
    assert (found.client_id, found.resource_id, found.type) == ("c", RESOURCE_ID, IdentityType.USER_ASSIGNED)
    assert (found.key, found.resource_version, found.is_namespaced) == (("shop", "one"), "7", False)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"type": 0, "clientID": "c"}, 'invalid resource id: ""'),
        ({"type": 0, "resourceID": RESOURCE_ID + "/more/x"}, "invalid resource id"),
        ({"type": 0, "resourceID": "/subscriptions/s/resourcegroups/g"}, "invalid resource id"),
        ({"type": 3, "resourceID": RESOURCE_ID}, "spec.type 3 is none of 0, 1 and 2"),
        ({"type": "0", "resourceID": RESOURCE_ID}, "spec.type '0'"),
        ({"type": True, "resourceID": RESOURCE_ID}, "spec.type True"),
        ({"type": 1, "clientID": "c"}, "names no Secret"),
        ({"type": 2, "clientPassword": {"namespace": "x"}}, "names no Secret"),
    ],
)
def test_an_identity_that_can_t_be_used(spec: dict[str, Any], why: str) -> None:
    found = read_identity(obj(spec))
    assert isinstance(found, Unusable)
    assert why in found.why


def test_a_service_principal() -> None:
    spec = {"type": 1, "clientPassword": {"name": "sp"}, "tenantID": "t", "auxiliaryTenantIDs": ["a", "b"]}
    found = read_identity(obj(spec, **{"aadpodidentity.k8s.io/Behavior": "namespaced"}))
    assert isinstance(found, PodIdentity)
    assert found.secret == SecretReference("shop", "sp")
    assert found.auxiliary_tenant_ids == ("a", "b")
    assert found.is_namespaced


@pytest.mark.parametrize("spec", [{"azureIdentity": "i", "selector": "s"}, {"AzureIdentity": "i", "Selector": "s"}])
def test_a_binding(spec: dict[str, Any]) -> None:
    found = read_binding(obj(spec))
    assert (found.identity, found.selector) == ("i", "s")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("", "Assigned"), ("Created", "Created"), ("Assigned", "Assigned"), ("Unassigned", "Unassigned")],
)
def test_an_assigned_identity(status: str, expected: str) -> None:
    body = {
        "metadata": {"name": "n", "namespace": "default"},
        "spec": {
            "azureIdentityRef": obj({"clientID": "c", "resourceID": RESOURCE_ID}),
            "azureBindingRef": {"metadata": {"name": "b", "namespace": "shop"}},
            "pod": "web-0",
            "podNamespace": "shop",
            "nodename": "node-a",
        },
        "status": {"status": status},
    }
    found = read_assigned_identity(body)
    assert not isinstance(found, Unusable)
    assert (found.pod, found.node, found.status, found.binding) == (
        ("shop", "web-0"),
        "node-a",
        expected,
        ("shop", "b"),
    )


@pytest.mark.parametrize(
    "spec", [{}, {"azureIdentityRef": "x"}, {"azureIdentityRef": {"spec": {"type": 9}}}, {"azureIdentityRef": None}]
)
def test_an_assigned_identity_that_holds_none(spec: dict[str, Any]) -> None:
    assert isinstance(read_assigned_identity(obj(spec)), Unusable)


EXCEPTIONS = [
    PodException(namespace="shop", name="b", pod_labels={"app": "Agent", "tier": "x"}),
    PodException(namespace="shop", name="a", pod_labels={"role": "node"}),
    PodException(namespace="bank", name="c", pod_labels={"app": "agent"}),
    PodException(namespace="shop", name="d", pod_labels={}),
]


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("shop", {"app": "agent"}, "b"),
        ("shop", {"tier": "X", "app": "other"}, "b"),
        ("shop", {"app": "agent", "role": "node"}, "a"),
        ("shop", {"App": "agent"}, None),
        ("shop", {}, None),
        ("yard", {"app": "agent"}, None),
    ],
)
def test_one_label_of_an_exception_is_enough(namespace: str, labels: dict[str, str], expected: str | None) -> None:
    found = excepting(namespace, labels, EXCEPTIONS)
    assert (found.name if found else None) == expected


def test_an_exception_of_old_spelling() -> None:
    assert read_exception(obj({"PodLabels": {"a": "b"}})).pod_labels == {"a": "b"}
