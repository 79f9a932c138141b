"""Status errors: the texts that clients show, and names that are refused."""

import pytest

from podpass.kube import names
from podpass.kube.resources import DEPLOYMENTS, NAMESPACES, PODS, ROLES, Resource
from podpass.kube.status import Cause, StatusError, deleted, invalid, not_supported, required


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (StatusError.bad_request("why"), 400, "BadRequest", "why"),
        (StatusError.unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (StatusError.forbidden(PODS, "a", "why"), 403, "Forbidden", 'pods "a" is forbidden: why'),
        (StatusError.forbidden(PODS, "", "why"), 403, "Forbidden", "pods is forbidden: why"),
        (StatusError.forbidden(PODS, "a", "x", subresource="log"), 403, "Forbidden", 'pods/log "a" is forbidden: x'),
        (StatusError.not_found(DEPLOYMENTS, "a"), 404, "NotFound", 'deployments.apps "a" not found'),
        (StatusError.already_exists(NAMESPACES, "a"), 409, "AlreadyExists", 'namespaces "a" already exists'),
        (
            StatusError.conflict(PODS, "a"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "a": the object has been modified; please apply your changes to'
            " the latest version and try again",
        ),
        (StatusError.expired("old"), 410, "Expired", "old"),
        (StatusError.gone("old"), 410, "Gone", "old"),
        (
            StatusError.invalid(ROLES, "a", [required("spec.x")]),
            422,
            "Invalid",
            'Role.rbac.authorization.k8s.io "a" is invalid: spec.x: Required value',
        ),
        (
            StatusError.invalid(PODS, "a", [invalid("x", "v", "bad"), not_supported("y", 5, ["a", "b"])]),
            422,
            "Invalid",
            'Pod "a" is invalid: [x: Invalid value: "v": bad, y: Unsupported value: 5: supported values: "a", "b"]',
        ),
        (StatusError.internal("why"), 500, "InternalError", "Internal error occurred: why"),
    ],
)
def test_the_body_of_an_error(error: StatusError, code: int, reason: str, message: str) -> None:
    body = error.to_dict()
    assert (body["kind"], body["status"]) == ("Status", "Failure")
    assert (body["code"], body["reason"], body["message"]) == (code, reason, message)
    assert str(error) == message


def test_details_name_the_resource_or_for_invalid_the_kind() -> None:
    assert StatusError.not_found(DEPLOYMENTS, "a").details == {"name": "a", "group": "apps", "kind": "deployments"}
    body = StatusError.invalid(PODS, "a", [required("spec.x")]).to_dict()
    assert body["details"] == {
        "name": "a",
        "kind": "Pod",
        "causes": [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.x"}],
    }


def test_retries_and_conflicts_of_apply() -> None:
    assert StatusError.too_many_requests("slow").to_dict()["details"] == {"retryAfterSeconds": 1}
    one, two = (Cause("FieldManagerConflict", f'conflict with "{who}" using v1', ".data.a") for who in ("x", "y"))
    assert str(StatusError.apply_conflict([one])) == (
        'Apply failed with 1 conflict: conflict with "x" using v1: .data.a'
    )
    assert str(StatusError.apply_conflict([one, two])) == (
        'Apply failed with 2 conflicts: conflicts with "x" using v1:\n- .data.a\n'
        'conflicts with "y" using v1:\n- .data.a'
    )


def test_deleted() -> None:
    assert deleted(DEPLOYMENTS, "a", "u")["details"] == {
        "name": "a",
        "group": "apps",
        "kind": "deployments",
        "uid": "u",
    }


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ((), "/api/v1/pods"),
        (("shop",), "/api/v1/namespaces/shop/pods"),
        (("shop", "a", "log"), "/api/v1/namespaces/shop/pods/a/log"),
        ((None, "a/b"), "/api/v1/pods/a%2Fb"),
    ],
)
def test_paths(place: tuple[str, ...], path: str) -> None:
    assert PODS.path(*place) == path


def test_a_cluster_scoped_path_has_no_namespace() -> None:
    role = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False)
    assert role.path("shop", "system:node") == "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"


@pytest.mark.parametrize(
    ("fault", "good", "bad"),
    [
        (names.subdomain_fault, ["a", "a.b-c", "1"], ["", "A", "-a", "a-", "a..b", "a_b", "a" * 254, "a\n"]),
        (names.label_fault, ["a", "1-2"], ["", "a.b", "A", "a" * 64]),
        (names.label_1035_fault, ["a1"], ["1a", "a.b"]),
        (names.path_segment_fault, ["system:node", "A b"], [".", "..", "a/b", "a%b"]),
        (names.qualified_name_fault, ["a", "A_b.c", "example.com/a"], ["", "/a", "a/", "a/b/c", "-a", "E.com/a"]),
        (names.label_value_fault, ["", "a", "A_b.c-d"], ["-a", "a b", "a" * 64, "a\n"]),
        (names.data_key_fault, ["a.b", ".a", "A_"], ["", ".", "..", "..a", "a/b"]),
    ],
)
def test_names(fault, good: list[str], bad: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert [fault(name) for name in good] == [""] * len(good)
    assert all(fault(name) for name in bad)
