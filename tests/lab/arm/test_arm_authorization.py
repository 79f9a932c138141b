"""Who may do what where."""

import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.arm.authorization import Allowed, Assignment, Denied, covers, decide, granting_roles, matches
from podpass.lab.arm.roles import BUILT_IN, BY_GUID, BY_NAME

SUBSCRIPTION = "/subscriptions/s"
GROUP = f"{SUBSCRIPTION}/resourceGroups/shop"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv"
SECRET = f"{VAULT}/secrets/greeting"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"

GET_SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
SET_SECRET = "Microsoft.KeyVault/vaults/secrets/setSecret/action"
READ_METADATA = "Microsoft.KeyVault/vaults/secrets/readMetadata/action"
ASSIGN = "Microsoft.Authorization/roleAssignments/write"
WRITE_VAULT = "Microsoft.KeyVault/vaults/write"
CLUSTER = "Microsoft.ContainerService/managedClusters"


def held(role: str, scope: str, principal: str = "p") -> Assignment:
    return Assignment(f"{scope}/assignment", scope, BY_NAME[role.lower()].guid, principal)


def asked(
    action: str, scope: str, *assignments: Assignment, data: bool = False, principal: str = "p"
) -> Allowed | Denied:
    return decide(
        principal_id=principal,
        action=action,
        scope=scope,
        is_data_action=data,
        assignments=assignments,
        definitions=BY_GUID,
    )


@pytest.mark.parametrize(
    ("role", "action", "data", "allowed"),
    [
        ("Key Vault Secrets User", GET_SECRET, True, True),
        ("Key Vault Secrets User", READ_METADATA, True, True),
        ("Key Vault Secrets User", SET_SECRET, True, False),
        ("Key Vault Secrets Officer", SET_SECRET, True, True),
        ("Key Vault Administrator", "Microsoft.KeyVault/vaults/secrets/purge/action", True, True),
        ("Key Vault Administrator", WRITE_VAULT, False, False),
        ("Key Vault Reader", GET_SECRET, True, False),
        ("Key Vault Reader", READ_METADATA, True, True),
        ("Key Vault Reader", "Microsoft.KeyVault/vaults/read", False, True),
        ("Key Vault Contributor", WRITE_VAULT, False, True),
        ("Key Vault Contributor", GET_SECRET, True, False),
        ("Key Vault Contributor", "Microsoft.KeyVault/locations/deletedVaults/purge/action", False, False),
        ("Key Vault Certificate User", GET_SECRET, True, True),
        ("Key Vault Crypto User", GET_SECRET, True, False),
        ("Owner", GET_SECRET, True, False),
        ("Owner", ASSIGN, False, True),
        ("Contributor", GET_SECRET, True, False),
        ("Contributor", ASSIGN, False, False),
        ("Contributor", "Microsoft.Authorization/roleAssignments/read", False, True),
        ("Contributor", WRITE_VAULT, False, True),
        ("Reader", GET_SECRET, True, False),
        ("Reader", "Microsoft.KeyVault/vaults/read", False, True),
        ("Reader", WRITE_VAULT, False, False),
        ("User Access Administrator", ASSIGN, False, True),
        ("User Access Administrator", WRITE_VAULT, False, False),
        ("Managed Identity Operator", "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", False, True),
        ("Managed Identity Operator", "Microsoft.ManagedIdentity/userAssignedIdentities/read", False, True),
        ("Managed Identity Operator", "Microsoft.ManagedIdentity/userAssignedIdentities/write", False, False),
        (
            "Managed Identity Contributor",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
            False,
            True,
        ),
        ("Managed Identity Contributor", ASSIGN, False, False),
        ("Role Based Access Control Administrator", ASSIGN, False, True),
        ("Role Based Access Control Administrator", "Microsoft.Authorization/locks/write", False, False),
        ("Locks Contributor", "Microsoft.Authorization/locks/delete", False, True),
        ("Contributor", "Microsoft.Authorization/locks/write", False, False),
        ("Key Vault Purge Operator", "Microsoft.KeyVault/locations/deletedVaults/purge/action", False, True),
        ("Key Vault Crypto Service Release User", "Microsoft.KeyVault/vaults/keys/release/action", True, True),
        ("Redis Cache Contributor", "Microsoft.Cache/redis/listKeys/action", False, True),
        ("Azure Kubernetes Service Contributor Role", CLUSTER + "/write", False, True),
        ("Azure Kubernetes Service Cluster User Role", CLUSTER + "/listClusterUserCredential/action", False, True),
        ("Azure Kubernetes Service Cluster User Role", CLUSTER + "/listClusterAdminCredential/action", False, False),
        ("Azure Kubernetes Service RBAC Admin", CLUSTER + "/namespaces/write", True, False),
        ("Azure Kubernetes Service RBAC Reader", CLUSTER + "/secrets/read", True, False),
        ("Azure Kubernetes Service RBAC Writer", CLUSTER + "/pods/exec", True, True),
    ],
)
def test_a_role_grants_its_actions_and_no_others(role: str, action: str, data: bool, allowed: bool) -> None:
    assert isinstance(asked(action, VAULT, held(role, VAULT), data=data), Allowed) is allowed


@pytest.mark.parametrize(
    ("assigned", "wanted", "covered"),
    [
        ("/", SECRET, True),
        ("", SECRET, True),
        (SUBSCRIPTION, SECRET, True),
        (GROUP, SECRET, True),
        (VAULT, SECRET, True),
        (SECRET, SECRET, True),
        (SECRET.upper(), SECRET, True),
        (VAULT + "/", VAULT, True),
        (SECRET, VAULT, False),
        (VAULT, f"{VAULT}2", False),
        (f"{GROUP}2", VAULT, False),
        (SUBSCRIPTION, "/subscriptions/s2", False),
        (IDENTITY, VAULT, False),
    ],
)
def test_a_scope_covers_itself_and_what_lies_below(assigned: str, wanted: str, covered: bool) -> None:
    assert covers(assigned, wanted) is covered


def test_a_principal_without_assignments_is_told_so_with_the_roles_that_would_help() -> None:
    denied = asked(GET_SECRET, SECRET, held("Owner", SUBSCRIPTION, principal="someone else"), data=True)
    assert isinstance(denied, Denied)
    assert denied.closest is None
    assert denied.why == "the principal has no role assignment at all"
    assert denied.granting_roles[0] == "Key Vault Secrets User"
    assert "Owner" not in denied.granting_roles


def test_the_closest_assignment_is_one_that_holds_the_action_elsewhere() -> None:
    other = held("Key Vault Secrets User", f"{GROUP}/providers/Microsoft.KeyVault/vaults/other")
    denied = asked(GET_SECRET, SECRET, held("Reader", VAULT), other, data=True)
    assert isinstance(denied, Denied)
    assert denied.closest is not None
    assert denied.closest.assignment == other
    assert "does not cover" in denied.why
    assert len(denied.held) == 2


def test_a_covering_role_without_the_action_is_named() -> None:
    denied = asked(GET_SECRET, SECRET, held("Reader", VAULT), data=True)
    assert isinstance(denied, Denied)
    assert denied.why == f"Reader at {VAULT} covers the scope, but the role does not hold the data action {GET_SECRET}"


def test_principals_compare_without_letter_case() -> None:
    assert isinstance(
        asked(GET_SECRET, SECRET, held("Key Vault Secrets User", VAULT, "ABC"), data=True, principal="abc"), Allowed
    )


def test_an_unknown_role_grants_nothing() -> None:
    assert isinstance(asked(GET_SECRET, SECRET, Assignment("a", "/", "no-such-role", "p"), data=True), Denied)


@pytest.mark.parametrize(
    ("action", "data", "role"),
    [
        (GET_SECRET, True, "Key Vault Secrets User"),
        (SET_SECRET, True, "Key Vault Secrets Officer"),
        ("Microsoft.KeyVault/vaults/read", False, "Reader"),
        (WRITE_VAULT, False, "Key Vault Contributor"),
        (ASSIGN, False, "Role Based Access Control Administrator"),
        ("Microsoft.ManagedIdentity/userAssignedIdentities/write", False, "Managed Identity Contributor"),
        ("Microsoft.Resources/subscriptions/resourceGroups/write", False, "Contributor"),
        ("Microsoft.Resources/subscriptions/resourceGroups/read", False, "Reader"),
    ],
)
def test_the_narrowest_role_is_proposed(action: str, data: bool, role: str) -> None:
    assert granting_roles(action, BUILT_IN, is_data_action=data)[0].name == role


@pytest.mark.parametrize(
    ("pattern", "action", "fits"),
    [
        ("*", "Microsoft.KeyVault/vaults/write", True),
        ("*/read", "Microsoft.KeyVault/vaults/read", True),
        ("*/read", "Microsoft.KeyVault/vaults/secrets/getSecret/action", False),
        ("microsoft.keyvault/VAULTS/*", "Microsoft.KeyVault/vaults/secrets/delete", True),
        ("Microsoft.Authorization/*/read", "Microsoft.Authorization/roleAssignments/read", True),
        (
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            True,
        ),
        ("Microsoft.KeyVault/vaults/read", "Microsoft.KeyVault/vaults/readX", False),
        ("a*a", "a", False),
    ],
)
def test_a_star_stands_for_any_run_of_characters(pattern: str, action: str, fits: bool) -> None:
    assert matches(pattern, action) is fits


letters = st.text(alphabet="ab/.", max_size=12)


@settings(deadline=None)
@given(pattern=st.text(alphabet="ab/.*", max_size=10), text=letters)
def test_matching_agrees_with_shell_patterns(pattern: str, text: str) -> None:
    expected = fnmatch.fnmatchcase(text, pattern)
    if "/*/" not in pattern:
        assert matches(pattern, text) is expected
    elif expected:
        assert matches(pattern, text)


@settings(deadline=None)
@given(st.text(), st.text())
def test_matching_and_covering_never_fail(one: str, other: str) -> None:
    assert isinstance(matches(one, other), bool)
    assert isinstance(covers(one, other), bool)


def test_role_guids_and_names_are_unique() -> None:
    assert len(BY_GUID) == len(BY_NAME) == len(BUILT_IN)


roles = st.sampled_from([role.name for role in BUILT_IN])
scopes = st.sampled_from(["/", SUBSCRIPTION, GROUP, VAULT, SECRET, IDENTITY, "/subscriptions/other"])
actions = st.sampled_from([(GET_SECRET, True), (SET_SECRET, True), (ASSIGN, False), (WRITE_VAULT, False)])
assignments = st.lists(st.builds(held, roles, scopes, st.sampled_from(["p", "q"])), max_size=5)


@settings(deadline=None)
@given(asked_for=actions, scope=scopes, present=assignments, more=assignments)
def test_another_assignment_never_takes_a_right_away(
    asked_for: tuple[str, bool], scope: str, present: list[Assignment], more: list[Assignment]
) -> None:
    action, data = asked_for
    if isinstance(asked(action, scope, *present, data=data), Allowed):
        assert isinstance(asked(action, scope, *more, *present, data=data), Allowed)


@settings(deadline=None)
@given(asked_for=actions, scope=scopes, present=assignments)
def test_a_right_at_a_scope_holds_below_it(asked_for: tuple[str, bool], scope: str, present: list[Assignment]) -> None:
    action, data = asked_for
    if isinstance(asked(action, scope, *present, data=data), Allowed):
        assert isinstance(asked(action, f"{scope.rstrip('/')}/below/it", *present, data=data), Allowed)


@settings(deadline=None)
@given(asked_for=actions, scope=scopes, present=assignments)
def test_a_refusal_names_roles_that_would_help(
    asked_for: tuple[str, bool], scope: str, present: list[Assignment]
) -> None:
    action, data = asked_for
    denied = asked(action, scope, *present, data=data)
    if isinstance(denied, Denied):
        for role in denied.granting_roles:
            assert isinstance(asked(action, scope, *present, held(role, scope), data=data), Allowed)
