"""What the Azure CLI's extension for pod identity decides, over documents of Resource Manager."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aks_pod_identity import profile
from aks_pod_identity.labels import parsed
from aks_pod_identity.operator_role import MANAGED_IDENTITY_OPERATOR, assignment, is_operator
from aks_pod_identity.profile import Document, NotPossible

GROUP = "/subscriptions/S/resourceGroups/g"
IDENTITY = {
    "id": f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders",
    "properties": {"clientId": "client", "principalId": "principal", "tenantId": "tenant"},
}
NAMED = {"resourceId": IDENTITY["id"], "clientId": "client", "objectId": "principal"}
NOT_ENABLED = (
    "The pod identity addon is not enabled for this managed cluster yet.\n"
    'To enable, run "az aks update --enable-pod-identity"'
)
NO_CONSENT = (
    "--enable-pod-identity-with-kubenet is required for enabling pod identity addon when using Kubenet network plugin"
)


def cluster(found: Document | None = None, *, plugin: str = "azure", identity: str = "SystemAssigned") -> Document:
    properties = {"networkProfile": {"networkPlugin": plugin}, "futureMember": {"kept": True}}
    if found is not None:
        properties["podIdentityProfile"] = found
    return {"identity": {"type": identity, "principalId": "cluster"}, "properties": properties, "location": "eastus"}


def on(*identities: Document, exceptions: list[Document] | None = None) -> Document:
    """A cluster with the add-on."""
    return cluster(
        {
            "enabled": True,
            "userAssignedIdentities": list(identities),
            "userAssignedIdentityExceptions": exceptions or [],
        }
    )


def profile_of(found: Document) -> Document:
    wanted: Document = found["properties"]["podIdentityProfile"]
    return wanted


EMPTY = {"enabled": True, "userAssignedIdentities": [], "userAssignedIdentityExceptions": []}


@pytest.mark.parametrize(
    ("before", "consent", "after"),
    [
        pytest.param(cluster(), None, EMPTY, id="never-on"),
        pytest.param(cluster({"enabled": False}), None, EMPTY, id="was-off"),
        pytest.param(
            on({"name": "a", "namespace": "n"}),
            None,
            EMPTY | {"userAssignedIdentities": [{"name": "a", "namespace": "n"}]},
            id="is-on",
        ),
        pytest.param(cluster(plugin="Kubenet"), True, EMPTY | {"allowNetworkPluginKubenet": True}, id="kubenet"),
        pytest.param(
            cluster({"enabled": False, "allowNetworkPluginKubenet": True}, plugin="kubenet"),
            None,
            EMPTY | {"allowNetworkPluginKubenet": True},
            id="kubenet-consented-before",
        ),
        pytest.param(cluster(plugin="azure"), True, EMPTY, id="consent-without-kubenet"),
    ],
)
def test_enabling(before: Document, consent: bool | None, after: Document) -> None:
    untouched = copy.deepcopy(before)
    changed = profile.enabled(before, kubenet_consent=consent)
    assert profile_of(changed) == after
    assert before == untouched
    assert changed["properties"]["futureMember"] == {"kept": True}


@pytest.mark.parametrize(
    ("change", "before", "said"),
    [
        pytest.param(
            lambda found: profile.enabled(found, kubenet_consent=None),
            cluster(identity="None"),
            "--enable-pod-identity can only be specified for cluster enabled managed identity",
            id="no-managed-identity",
        ),
        pytest.param(
            lambda found: profile.enabled(found, kubenet_consent=None),
            cluster(plugin="kubenet"),
            NO_CONSENT,
            id="kubenet",
        ),
        pytest.param(
            lambda found: profile.enabled_from_the_start(found, kubenet_consent=False),
            cluster(plugin="kubenet"),
            NO_CONSENT,
            id="kubenet-from-the-start",
        ),
        pytest.param(
            lambda found: profile.with_identity(found, IDENTITY, name="a", namespace="n", selector=None),
            cluster({"enabled": False}),
            NOT_ENABLED,
            id="add-without-addon",
        ),
        pytest.param(
            lambda found: profile.without_identity(found, name="a", namespace="n"),
            cluster(),
            NOT_ENABLED,
            id="delete-without-addon",
        ),
        pytest.param(
            lambda found: profile.with_exception(found, name="a", namespace="n", labels={}),
            cluster(),
            NOT_ENABLED,
            id="except-without-addon",
        ),
        pytest.param(
            lambda found: profile.with_changed_exception(found, name="a", namespace="n", labels={}),
            on(exceptions=[{"name": "a", "namespace": "other"}]),
            "pod identity exception n/a not found",
            id="unknown-exception",
        ),
        pytest.param(
            profile.cluster_principal,
            cluster(identity="SystemAssigned, UserAssigned"),
            "unsupported identity type: SystemAssigned, UserAssigned",
            id="both-kinds",
        ),
        pytest.param(
            profile.cluster_principal,
            {"identity": {"type": "UserAssigned", "userAssignedIdentities": {}}},
            "unable to resolve cluster identity",
            id="no-identity",
        ),
    ],
)
def test_refusals(change: Callable[[Document], Any], before: Document, said: str) -> None:
    with pytest.raises(NotPossible) as refusal:
        change(before)
    assert str(refusal.value) == said


def test_disabling_drops_all_of_the_profile() -> None:
    before = on({"name": "a", "namespace": "n"})
    assert profile_of(profile.disabled(before)) == {"enabled": False}


def test_an_identity_is_added_beside_others_and_taken_away_by_name_and_namespace() -> None:
    first = {"name": "a", "namespace": "n", "identity": NAMED}
    changed = profile.with_identity(on(first), IDENTITY, name="a", namespace="m", selector="web")
    second = {"name": "a", "namespace": "m", "bindingSelector": "web", "identity": NAMED}
    assert profile_of(changed)["userAssignedIdentities"] == [first, second]
    assert profile_of(profile.without_identity(changed, name="a", namespace="m"))["userAssignedIdentities"] == [first]
    same = profile.without_identity(changed, name="b", namespace="m")
    assert profile_of(same)["userAssignedIdentities"] == [first, second]


def test_what_is_not_given_is_left_to_the_service() -> None:
    changed = profile.with_identity(on(), IDENTITY, name=None, namespace="n", selector=None)
    assert profile_of(changed)["userAssignedIdentities"] == [{"namespace": "n", "identity": NAMED}]


def test_an_exception_is_added_changed_and_deleted() -> None:
    old = {"name": "old", "namespace": "n", "podLabels": None}
    added = profile.with_exception(on(exceptions=[old]), name="new", namespace="n", labels={"app": "web"})
    # The service refuses an exception whose labels are null, which it once answered itself.
    assert profile_of(added)["userAssignedIdentityExceptions"] == [
        {"name": "old", "namespace": "n", "podLabels": {}},
        {"name": "new", "namespace": "n", "podLabels": {"app": "web"}},
    ]
    changed = profile.with_changed_exception(added, name="new", namespace="n", labels={"tier": "web"})
    assert profile_of(changed)["userAssignedIdentityExceptions"][1]["podLabels"] == {"tier": "web"}
    left = profile.without_exception(changed, name="old", namespace="n")
    assert [entry["name"] for entry in profile_of(left)["userAssignedIdentityExceptions"]] == ["new"]


@pytest.mark.parametrize(
    ("identity", "principal"),
    [
        ({"type": "SystemAssigned", "principalId": "p"}, "p"),
        ({"type": "UserAssigned", "userAssignedIdentities": {"/x": {"principalId": "q"}}}, "q"),
    ],
)
def test_the_principal_of_a_cluster(identity: Document, principal: str) -> None:
    assert profile.cluster_principal({"identity": identity}) == principal


@pytest.mark.parametrize(
    ("scope", "role", "principal", "enough"),
    [
        (IDENTITY["id"], MANAGED_IDENTITY_OPERATOR, "P", True),
        (str(IDENTITY["id"]).upper(), MANAGED_IDENTITY_OPERATOR, "p", True),
        (GROUP, MANAGED_IDENTITY_OPERATOR, "p", True),
        ("/subscriptions/S", MANAGED_IDENTITY_OPERATOR, "p", True),
        ("/", MANAGED_IDENTITY_OPERATOR, "p", True),
        # A neighbour whose name begins alike.
        (
            f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/order",
            MANAGED_IDENTITY_OPERATOR,
            "p",
            False,
        ),
        (f"{IDENTITY['id']}/more", MANAGED_IDENTITY_OPERATOR, "p", False),
        (GROUP, "00000000-0000-4000-8000-000000000000", "p", False),
        (GROUP, MANAGED_IDENTITY_OPERATOR, "q", False),
    ],
)
def test_who_is_operator_of_an_identity(scope: str, role: str, principal: str, enough: bool) -> None:
    found = {"roleDefinitionId": f"/subscriptions/S/x/{role}", "principalId": principal, "scope": scope}
    assert is_operator([{"properties": found}], "p", str(IDENTITY["id"])) is enough


def test_the_role_that_is_granted_is_enough() -> None:
    granted = assignment("p", str(IDENTITY["id"]))
    granted["properties"]["scope"] = IDENTITY["id"]
    assert is_operator([granted], "p", str(IDENTITY["id"]))
    assert granted["properties"]["roleDefinitionId"].startswith("/subscriptions/S/providers/Microsoft.Authorization/")


@pytest.mark.parametrize(
    ("words", "labels"),
    [([], {}), (["a=b", "c="], {"a": "b", "c": ""}), (["a=b c=d=e"], {"a": "b", "c": "d=e"}), ([""], {})],
)
def test_labels_as_they_are_written(words: list[str], labels: dict[str, str]) -> None:
    assert parsed(words) == labels


@pytest.mark.parametrize("word", ["a", "=b"])
def test_what_is_no_label_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not a label"):
        parsed([word])


NAMES = st.sampled_from(["a", "b"])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=6), NAMES, NAMES)
def test_deleting_takes_what_is_named_and_nothing_else(
    entries: list[tuple[str, str]], name: str, namespace: str
) -> None:
    before = on(*({"name": one, "namespace": other} for one, other in entries))
    left = profile_of(profile.without_identity(before, name=name, namespace=namespace))["userAssignedIdentities"]
    assert [(entry["name"], entry["namespace"]) for entry in left] == [
        entry for entry in entries if entry != (name, namespace)
    ]
