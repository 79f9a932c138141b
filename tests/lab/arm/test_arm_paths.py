"""Reading ARM's paths and filters."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.arm.filters import Clause, NotAFilter, parse_filter
from podpass.lab.arm.paths import Address, NotAPath, parse, resource_id

GROUP = "/subscriptions/s/resourceGroups/g"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv"


@pytest.mark.parametrize(
    ("path", "resource", "namespace", "tail", "kind"),
    [
        ("/", "", "", "", ""),
        ("/tenants", "", "", "tenants", "Microsoft.Resources/tenants"),
        ("/subscriptions", "", "", "subscriptions", "Microsoft.Resources/subscriptions"),
        ("/subscriptions/s", "/subscriptions/s", "", "", "Microsoft.Resources/subscriptions"),
        ("/SUBSCRIPTIONS/s/RESOURCEGROUPS/g", GROUP, "", "", "Microsoft.Resources/subscriptions/resourceGroups"),
        (
            "/subscriptions/s/resourcegroups",
            "/subscriptions/s",
            "",
            "resourcegroups",
            "Microsoft.Resources/subscriptions/resourcegroups",
        ),
        (
            "/subscriptions/s/locations",
            "/subscriptions/s",
            "",
            "locations",
            "Microsoft.Resources/subscriptions/locations",
        ),
        (VAULT, VAULT, "", "", "Microsoft.KeyVault/vaults"),
        (f"/{VAULT}/", VAULT, "", "", "Microsoft.KeyVault/vaults"),
        (
            f"{GROUP}/providers/Microsoft.KeyVault/vaults",
            GROUP,
            "Microsoft.KeyVault",
            "vaults",
            "Microsoft.KeyVault/vaults",
        ),
        (
            f"{VAULT}/accessPolicies/add",
            f"{VAULT}/accessPolicies/add",
            "",
            "",
            "Microsoft.KeyVault/vaults/accessPolicies",
        ),
        (f"{VAULT}/secrets", VAULT, "", "secrets", "Microsoft.KeyVault/vaults/secrets"),
        ("/subscriptions/s/providers/X.Y", "/subscriptions/s", "X.Y", "", "X.Y"),
        ("/subscriptions/s/providers/X.Y/register", "/subscriptions/s", "X.Y", "register", "X.Y/register"),
        (
            f"{VAULT}/providers/Microsoft.Authorization/roleAssignments/1",
            f"{VAULT}/providers/Microsoft.Authorization/roleAssignments/1",
            "",
            "",
            "Microsoft.Authorization/roleAssignments",
        ),
        (
            f"{GROUP.replace('/g', '/providers')}/providers/Microsoft.KeyVault/vaults/kv",
            f"{GROUP.replace('/g', '/providers')}/providers/Microsoft.KeyVault/vaults/kv",
            "",
            "",
            "Microsoft.KeyVault/vaults",
        ),
    ],
)
def test_paths_name_what_they_name(path: str, resource: str, namespace: str, tail: str, kind: str) -> None:
    address = parse(path)
    assert (str(address.id), address.namespace, address.tail, address.type) == (resource, namespace, tail, kind)


def test_an_id_knows_its_parents() -> None:
    secret = resource_id(f"{VAULT}/secrets/x")
    assert (secret.subscription, secret.group, secret.name) == ("s", "g", "x")
    parents = []
    while secret.parts:
        secret = secret.parent
        parents.append(str(secret))
    assert parents == [VAULT, GROUP, "/subscriptions/s", ""]


@pytest.mark.parametrize("text", ["", "kv", f"{GROUP}/providers", f"{GROUP}/x/y", f"{VAULT}/secrets", "/a/b/c"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(NotAPath):
        resource_id(text)


pieces = st.sampled_from(["/", "/", "subscriptions", "resourceGroups", "providers", "a", "é", "%", "\0"])


@settings(deadline=None)
@given(st.lists(pieces, max_size=60).map("".join))
def test_parsing_never_fails_otherwise(path: str) -> None:
    with contextlib.suppress(NotAPath):
        assert isinstance(parse(path), Address)


names = st.text(alphabet="abcXYZ019-_.", min_size=1, max_size=10).filter(lambda name: name.lower() != "providers")


@settings(deadline=None)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=4), names, names, names)
def test_ids_survive_being_written_and_read(
    pairs: list[tuple[str, str]], group: str, namespace: str, subscription: str
) -> None:
    text = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}"
    text += "".join(f"/{kind}/{name}" for kind, name in pairs)
    assert str(resource_id(text)) == text
    assert resource_id(text.upper().replace("/PROVIDERS/", "/providers/")).key == resource_id(text).key


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", ()),
        ("roleName eq 'Reader'", (Clause("rolename", "Reader"),)),
        ("roleName eq 'it''s'", (Clause("rolename", "it's"),)),
        ("atScope()", (Clause("atscope", "", True),)),
        ("atScope() and assignedTo('x')", (Clause("atscope", "", True), Clause("assignedto", "x", True))),
        ("resourceType eq 'a/b' and name eq 'n'", (Clause("resourcetype", "a/b"), Clause("name", "n"))),
        ("principalId eq 1-2", (Clause("principalid", "1-2"),)),
    ],
)
def test_filters_are_read(text: str, clauses: tuple[Clause, ...]) -> None:
    assert parse_filter(text) == clauses


@pytest.mark.parametrize(
    "text", ["x", "x eq", "x ne 'y'", "x eq 'y", "x eq 'y' and", "x eq 'y' or z eq 'w'", "f(", "' '"]
)
def test_other_filters_are_refused(text: str) -> None:
    with pytest.raises(NotAFilter):
        parse_filter(text)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_reading_a_filter_never_fails_otherwise(text: str) -> None:
    with contextlib.suppress(NotAFilter):
        parse_filter(text)
