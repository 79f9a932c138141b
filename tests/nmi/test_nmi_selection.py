"""Which identity a pod gets, in both modes."""

from urllib.parse import urlencode

import pytest

from podpass.nmi.requests import Asked, BadRequest, asked
from podpass.nmi.selection import NotSelected, Pod, Selected, select_assigned, select_bound
from podpass.podidentity.objects import AssignedIdentity, Binding, PodIdentity, Status

GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
RESOURCE = "https://vault.azure.net"


def identity(name: str, namespace: str = "shop", *, is_namespaced: bool = False) -> PodIdentity:
    return PodIdentity(
        namespace=namespace,
        name=name,
        client_id=f"Client-{name}",
        resource_id=f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        is_namespaced=is_namespaced,
    )


def binding(name: str, of: str, selector: str = "web", namespace: str = "shop") -> Binding:
    return Binding(namespace=namespace, name=name, identity=of, selector=selector)


def assigned(
    of: PodIdentity,
    status: Status = "Assigned",
    *,
    pod: tuple[str, str] = ("shop", "web-0"),
    by: str = "b",
    selector: str = "web",
) -> AssignedIdentity:
    return AssignedIdentity(
        namespace="default",
        name=f"{pod[1]}-{pod[0]}-{of.name}",
        identity=of,
        binding=(of.namespace, by),
        selector=selector,
        pod=pod,
        node="node-1",
        status=status,
    )


IDENTITIES = {(each.namespace, each.name): each for each in (identity("one"), identity("two"), identity("far", "bank"))}
ANY = Asked(RESOURCE)


def bound(pod: Pod, wanted: Asked, *bindings: Binding) -> Selected | NotSelected:
    return select_bound(pod, wanted, bindings, lambda namespace, name: IDENTITIES.get((namespace, name)))


@pytest.mark.parametrize(
    ("label", "wanted", "bindings", "expected"),
    [
        ("web", ANY, [binding("b", "one")], "one"),
        ("web", ANY, [binding("b2", "one"), binding("b1", "two")], "two"),
        ("web", Asked(RESOURCE, client_id="CLIENT-ONE"), [binding("a", "two"), binding("b", "one")], "one"),
        (
            "web",
            Asked(RESOURCE, resource_id=IDENTITIES["shop", "one"].resource_id.upper().replace("/SUB", "/Sub")),
            [binding("a", "two"), binding("b", "one")],
            "one",
        ),
        ("web", Asked(RESOURCE, client_id="client-far"), [binding("b", "one")], "not-named"),
        ("", ANY, [binding("b", "one", selector="")], "no-label"),
        ("web", ANY, [binding("b", "one", selector="")], "no-binding"),
        ("web", ANY, [binding("b", "one", selector="Web")], "no-binding"),
        ("web", ANY, [binding("b", "far", namespace="bank")], "no-binding"),
        ("web", ANY, [binding("b", "far")], "no-identity"),
        ("web", ANY, [binding("a", "gone"), binding("b", "one")], "one"),
    ],
)
def test_managed_mode(label: str, wanted: Asked, bindings: list[Binding], expected: str) -> None:
    found = bound(Pod("shop", "web-0", label), wanted, *bindings)
    assert (found.identity.name if isinstance(found, Selected) else found.reason) == expected
    assert isinstance(found, Selected) or not found.may_come


@pytest.mark.parametrize(
    ("wanted", "objects", "forced", "expected", "may_come"),
    [
        (ANY, [assigned(identity("one"))], False, "one", False),
        (ANY, [assigned(identity("one"), "Created")], False, "not-assigned", True),
        (ANY, [assigned(identity("one"), "Unassigned")], False, "not-created", True),
        (ANY, [], False, "not-created", True),
        (ANY, [assigned(identity("one"), pod=("bank", "web-0"))], False, "not-created", True),
        (ANY, [assigned(identity("one"), "Created"), assigned(identity("two"))], False, "two", False),
        (ANY, [assigned(identity("one"), by="z"), assigned(identity("two"), by="a")], False, "two", False),
        (Asked(RESOURCE, "client-ONE"), [assigned(identity("one")), assigned(identity("two"))], False, "one", False),
        (Asked(RESOURCE, "client-one"), [assigned(identity("two"))], False, "not-created", True),
        (
            Asked(RESOURCE, "client-one"),
            [assigned(identity("one"), "Created"), assigned(identity("two"))],
            False,
            "not-assigned",
            True,
        ),
        (ANY, [assigned(identity("far", "bank"))], False, "far", False),
        (ANY, [assigned(identity("far", "bank"))], True, "other-namespace", False),
        (ANY, [assigned(identity("far", "bank", is_namespaced=True))], False, "other-namespace", False),
    ],
)
def test_standard_mode(
    wanted: Asked, objects: list[AssignedIdentity], forced: bool, expected: str, may_come: bool
) -> None:
    found = select_assigned(Pod("shop", "web-0", "web"), wanted, objects, forced_namespaced=forced)
    assert (found.identity.name if isinstance(found, Selected) else found.reason) == expected
    assert isinstance(found, Selected) or found.may_come is may_come


@pytest.mark.parametrize(("label", "selector"), [("web", "api"), ("web", "Web"), ("web", ""), ("", "web"), ("", "")])
def test_what_a_former_pod_of_the_name_was_assigned_is_not_this_one_s(label: str, selector: str) -> None:
    objects = [assigned(identity("one"), selector=selector)]
    found = select_assigned(Pod("shop", "web-0", label), ANY, objects, forced_namespaced=False)
    assert isinstance(found, NotSelected)
    assert (found.reason, found.may_come) == ("not-created", True)


def test_a_refusal_shows_no_whole_id() -> None:
    found = bound(Pod("shop", "web-0", "web"), Asked(RESOURCE, client_id="7eb6c0de-0000-a6a9"), binding("b", "one"))
    assert isinstance(found, NotSelected)
    assert "7eb6##### REDACTED #####a6a9" in found.why
    assert "c0de" not in found.why


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({}, "parameter resource cannot be empty"),
        ({"resource": ""}, "parameter resource cannot be empty"),
        ({"resource": "r", "client_id": "c", "msi_res_id": "m"}, "only one of the parameters"),
        ({"resource": "r", "object_id": "o", "mi_res_id": "m"}, "only one of the parameters"),
        ({"resource": "r" * 3000}, "too long"),
    ],
)
def test_requests_that_cant_be_answered(query: dict[str, str], why: str) -> None:
    found = asked(urlencode(query))
    assert isinstance(found, BadRequest)
    assert why in found.why


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"resource": "r"}, Asked("r")),
        ({"resource": "r", "object_id": "o"}, Asked("r", object_id="o")),
        ({"resource": "r", "msi_res_id": "m"}, Asked("r", resource_id="m")),
        ({"resource": "r", "mi_res_id": "m", "api-version": "2018-02-01"}, Asked("r", resource_id="m")),
    ],
)
def test_requests(query: dict[str, str], expected: Asked) -> None:
    assert asked(urlencode(query)) == expected
