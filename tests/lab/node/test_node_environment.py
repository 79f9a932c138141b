"""A container's environment: expansion, references, order."""

import base64

import pytest

from podpass.kube.quantity import parse_quantity
from podpass.lab.node.container_environment import Environment, NotYet, References, expand, resolve
from podpass.lab.node.fields import Place
from podpass.lab.node.quantity import divided

PLACE = Place("lab-node", "10.244.0.1", "10.244.0.7", {"cpu": "2", "memory": "2Gi"})
POD = {
    "metadata": {
        "name": "orders",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"app": "orders", "tier": 'a"b'},
        "annotations": {"note": "x"},
    },
    "spec": {"containers": [], "serviceAccountName": "reader"},
}
REFERENCES = References(
    {"vault": {"data": {"key": base64.b64encode(b"s3").decode(), "bad name": "eA==", "2nd": "eQ=="}}, "gone": None},
    {"settings": {"data": {"a": "one", "b": "two"}}, "gone": None},
)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("plain", "plain", id="no-reference"),
        pytest.param("$(A)-$(B)", "1-2", id="two-references"),
        pytest.param("$(C)", "$(C)", id="unknown-stays"),
        pytest.param("$$(A)", "$(A)", id="doubled-dollar-escapes"),
        pytest.param("$$$(A)", "$1", id="escape-then-reference"),
        pytest.param("$A ${A}", "$A ${A}", id="shell-forms-stay"),
        pytest.param("$(A", "$(A", id="unclosed-stays"),
        pytest.param("100$", "100$", id="dollar-at-the-end"),
        pytest.param("$()", "$()", id="empty-name-stays"),
    ],
)
def test_expansion(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


def variables(*env: dict, env_from: tuple = (), **container) -> dict | NotYet:
    found = resolve(
        POD, {"name": "c", "env": list(env), "envFrom": list(env_from), **container}, REFERENCES, PLACE, {"S": "1"}
    )
    return found.variables if isinstance(found, Environment) else found


def reference(kind: str, **members: object) -> dict:
    return {"name": "X", "valueFrom": {kind: members}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "orders"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "orders"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['note']", "x"),
        ("metadata.labels", 'app="orders"\ntier="a\\"b"'),
        ("spec.nodeName", "lab-node"),
        ("spec.serviceAccountName", "reader"),
        ("status.podIP", "10.244.0.7"),
        ("status.hostIP", "10.244.0.1"),
    ],
)
def test_members_of_the_pod(path: str, value: str) -> None:
    assert variables(reference("fieldRef", fieldPath=path)) == {"S": "1", "X": value}


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.memory", "1Mi", "64"),
        ("requests.cpu", "1", "1"),
        ("requests.cpu", "1m", "250"),
        ("limits.cpu", "1", "2"),
    ],
)
def test_resources_of_the_container(resource: str, divisor: str, value: str) -> None:
    found = variables(
        reference("resourceFieldRef", resource=resource, divisor=divisor),
        resources={"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}},
    )
    assert found == {"S": "1", "X": value}


def test_a_later_source_wins_and_services_come_first() -> None:
    found = variables(
        {"name": "b", "value": "three"},
        {"name": "S", "value": "$(a)-$(S)"},
        env_from=({"configMapRef": {"name": "settings"}},),
    )
    assert found == {"a": "one", "b": "three", "S": "one-1"}


def test_a_variable_expands_only_earlier_ones() -> None:
    found = variables({"name": "A", "value": "$(B)"}, {"name": "B", "value": "2"})
    assert found == {"S": "1", "A": "$(B)", "B": "2"}


def test_keys_that_name_no_variable_are_skipped() -> None:
    container = {"name": "c", "envFrom": [{"prefix": "", "secretRef": {"name": "vault"}}]}
    found = resolve(POD, container, REFERENCES, PLACE, {})
    assert found == Environment({"key": "s3"}, ("bad name", "2nd"))


def test_a_prefix_makes_a_name_valid() -> None:
    found = variables(env_from=({"prefix": "N_", "secretRef": {"name": "vault"}},))
    assert found == {"S": "1", "N_key": "s3", "N_2nd": "y"}


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (reference("secretKeyRef", name="gone", key="k"), 'secret "gone" not found'),
        (reference("secretKeyRef", name="vault", key="k"), "couldn't find key k in Secret shop/vault"),
        (reference("configMapKeyRef", name="gone", key="k"), 'configmap "gone" not found'),
        (reference("configMapKeyRef", name="settings", key="k"), "couldn't find key k in ConfigMap shop/settings"),
        (reference("fieldRef", fieldPath="spec.tolerations"), "unsupported fieldPath: spec.tolerations"),
    ],
)
def test_what_is_missing_is_named(variable: dict, message: str) -> None:
    assert variables(variable) == NotYet(message)


@pytest.mark.parametrize("kind", ["secretKeyRef", "configMapKeyRef"])
@pytest.mark.parametrize("name", ["gone", "vault", "settings"])
def test_an_optional_reference_may_be_missing(kind: str, name: str) -> None:
    assert variables(reference(kind, name=name, key="k", optional=True)) == {"S": "1"}


def test_a_secret_never_shows_in_the_representation() -> None:
    assert "s3" not in repr(
        resolve(POD, {"env": [reference("secretKeyRef", name="vault", key="key")]}, REFERENCES, PLACE, {})
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("500m", "0.5"), ("1Gi", 1 << 30), ("2k", 2000), ("1e3", 1000), ("1.5Mi", 1572864), (2, 2)],
)
def test_quantities(text: str, value: object) -> None:
    assert parse_quantity(text) == type(parse_quantity("1"))(str(value))


@pytest.mark.parametrize("text", ["", "abc", "1Q", "1 Gi", "--1"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


def test_division_rounds_up() -> None:
    assert divided("1500m", "1") == 2
