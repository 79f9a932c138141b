"""Which cluster a lab belongs to, what it would do there, and which issuers clouds can trust: values only."""

import json
from pathlib import Path

import pytest

from podpass.kube.config import ConfigError
from podpass.lab.environment import LabPaths
from podpass.lab.existing import actions
from podpass.lab.existing.chosen import Chosen, choose, keep, kept
from podpass.lab.existing.issuer import names_of
from podpass.problems import PodpassError

OWNER = "0b9c"


def wanted(owner: str = OWNER, url: str = "https://127.0.0.1:1/"):
    return actions.wanted_objects(owner, url=url, ca_bundle="Y2E=")


def as_stored(obj: dict, **metadata: object) -> dict:
    """As an API server answers it: with what it adds."""
    stored = json.loads(json.dumps(obj))
    stored["metadata"] |= {"uid": f"uid-of-{obj['metadata']['name']}", "resourceVersion": "7", **metadata}
    for webhook in stored.get("webhooks", ()):
        webhook |= {"timeoutSeconds": 10}
        webhook["rules"][0]["scope"] = "*"
    return stored


def test_a_cluster_without_the_labs_objects_gets_them_in_order() -> None:
    planned = actions.install(wanted(), [None, None, None], OWNER)
    assert [str(action) for action in planned] == [
        "create Namespace podpass-system",
        "create ServiceAccount podpass-system/operator",
        "create MutatingWebhookConfiguration azure-wi-webhook-mutating-webhook-configuration",
    ]
    for action in planned:
        assert action.wanted["metadata"]["annotations"] == {actions.OWNER: OWNER}
        assert action.wanted["metadata"]["labels"][actions.MANAGED_BY] == "podpass-lab"


def test_what_the_lab_put_there_is_kept_while_it_is_right() -> None:
    planned = actions.install(wanted(), [as_stored(obj) for obj in wanted()], OWNER)
    assert [action.verb for action in planned] == ["keep", "keep", "keep"]
    assert not any(action.changes for action in planned)


def test_a_registration_with_another_address_is_brought_up_to_date() -> None:
    planned = actions.install(wanted(url="https://127.0.0.1:2/"), [as_stored(obj) for obj in wanted()], OWNER)
    assert [action.verb for action in planned] == ["keep", "keep", "update"]


@pytest.mark.parametrize("other", [{}, {actions.OWNER: "another lab"}])
def test_what_is_not_the_labs_is_never_changed(other: dict) -> None:
    present = [as_stored(obj, annotations=other) for obj in wanted()]
    planned = actions.install(wanted(), present, OWNER)
    assert [action.verb for action in planned] == ["use", "use", "leave"]
    assert not any(action.changes for action in planned)
    assert actions.removal(present, OWNER) == []


def test_only_the_labs_own_objects_are_taken_away_and_the_registration_first() -> None:
    namespace, account, registration = (as_stored(obj) for obj in wanted())
    namespace["metadata"]["annotations"] = {}
    planned = actions.removal([namespace, account, registration], OWNER)
    assert [(action.verb, action.kind, action.uid) for action in planned] == [
        ("delete", "MutatingWebhookConfiguration", "uid-of-azure-wi-webhook-mutating-webhook-configuration"),
        ("delete", "ServiceAccount", "uid-of-operator"),
    ]
    assert actions.removal([None, as_stored(account, deletionTimestamp="2026-01-01T00:00:00Z"), None], OWNER) == []


def kubeconfig(place: Path, server: str = "https://127.0.0.1:6443", name: str = "kind") -> Path:
    path = place / f"{name}.yaml"
    path.write_text(
        json.dumps(
            {
                "current-context": name,
                "contexts": [
                    {"name": name, "context": {"cluster": name, "user": name}},
                    {"name": "other", "context": {"cluster": name, "user": name}},
                ],
                "clusters": [{"name": name, "cluster": {"server": server}}],
                "users": [{"name": name, "user": {"token": "t"}}],
            }
        )
    )
    return path


def test_a_lab_stays_with_the_cluster_it_began_with(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path)
    chosen = choose(None, file, "", name="a", embedded=False)
    assert chosen is not None
    assert (chosen.kubeconfig, chosen.context) == (str(file), "kind")
    for again, context in ((None, ""), (file, ""), (file, "kind")):
        assert choose(chosen, again, context, name="a", embedded=False) is chosen
    for other, context in ((file, "other"), (kubeconfig(tmp_path, name="second"), "")):
        with pytest.raises(PodpassError, match="another cluster") as refused:
            choose(chosen, other, context, name="a", embedded=False)
        assert refused.value.problem.code == "PP130"


def test_a_lab_with_an_embedded_cluster_takes_no_other(tmp_path: Path) -> None:
    assert choose(None, None, "", name="a", embedded=True) is None
    with pytest.raises(PodpassError) as refused:
        choose(None, kubeconfig(tmp_path), "", name="a", embedded=True)
    assert refused.value.problem.code == "PP130"


@pytest.mark.parametrize(("file", "context"), [(None, "kind"), ("kind.yaml", "missing"), ("none.yaml", "")])
def test_a_context_that_can_not_be_found_is_told(tmp_path: Path, file: str | None, context: str) -> None:
    kubeconfig(tmp_path)
    with pytest.raises(ConfigError):
        choose(None, tmp_path / file if file else None, context, name="a", embedded=False)


@pytest.mark.parametrize(
    ("server", "local"),
    [
        ("https://127.0.0.1:6443", True),
        ("https://localhost:6443", True),
        ("https://[::1]:6443", True),
        ("https://10.0.0.1:6443", False),
        ("https://aks.example.com", False),
        ("https://127.0.0.1.example.com", False),
    ],
)
def test_only_a_cluster_of_this_machine_is_used(tmp_path: Path, server: str, local: bool) -> None:
    chosen = Chosen(str(kubeconfig(tmp_path, server)), "kind", OWNER)
    if local:
        assert chosen.access().server == server
        return
    with pytest.raises(PodpassError) as refused:
        chosen.access()
    assert refused.value.problem.code == "PP131"


def test_the_choice_is_kept_privately_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    paths = LabPaths("a", tmp_path)
    assert kept(paths) is None
    keep(paths, Chosen("/k", "kind", OWNER))
    assert kept(paths) == Chosen("/k", "kind", OWNER)
    assert paths.cluster.stat().st_mode & 0o077 == 0
    paths.cluster.write_text("{")
    with pytest.raises(PodpassError) as damaged:
        kept(paths)
    assert damaged.value.problem.code == "PP107"


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        ("https://kubernetes.default.svc.cluster.local", ""),
        ("https://eastus.oic.prod-aks.azure.com/t/c/", ""),
        ("https://oidc.example.com/cluster", ""),
        ("kubernetes/serviceaccount", "is not a URL"),
        ("http://oidc.example.com", "does not use HTTPS"),
        ("https://127.0.0.1:6443", "is a loopback address"),
        ("https://oidc.example.com:8443", "port 443"),
        ("https://login.microsoftonline.com/x", "the lab itself is"),
        ("https://oidc.example.com/?a", "query"),
        ("https://10.0.0.1", "names no host"),
    ],
)
def test_which_issuers_the_labs_clouds_can_find(issuer: str, reason: str) -> None:
    if not reason:
        (service,) = names_of(issuer).values()
        assert service == "issuer"
        return
    with pytest.raises(PodpassError, match="trusted") as refused:
        names_of(issuer)
    assert refused.value.problem.code == "PP132"
    assert reason in refused.value.cause
