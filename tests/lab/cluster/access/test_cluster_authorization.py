import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube import resources
from podpass.lab.cluster.access.authorization import Authorizer, Grant, Rule, decide, escalation, missing_rules
from podpass.lab.cluster.access.default_roles import default_access
from podpass.lab.cluster.extension import ANONYMOUS, Allowed, Attributes, Denied, User
from podpass.webhook import manifests
from tests.lab.cluster.memory_objects import MemoryObjects

ANN = User("ann", groups=("developers", "system:authenticated"))
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
ORDERS = User(
    "system:serviceaccount:shop:orders",
    groups=("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
)


def ask(verb: str, resource: str = "pods", **members: str) -> Attributes:
    name, _, subresource = resource.partition("/")
    return Attributes(verb=verb, resource=name, subresource=subresource, version="v1", **members)


def rule(verbs: str, groups: str = "", names: str = "pods", only: str = "") -> Rule:
    def split(text: str) -> frozenset[str]:
        return frozenset(text.split(",")) if text else frozenset()

    return Rule(split(verbs), frozenset(groups.split(",")), split(names), split(only))


def paths(verbs: str, urls: str) -> Rule:
    return Rule(frozenset(verbs.split(",")), paths=frozenset(urls.split(",")))


@pytest.mark.parametrize(
    ("held", "asked", "allowed"),
    [
        pytest.param(rule("get"), ask("get"), True, id="exact"),
        pytest.param(rule("get"), ask("list"), False, id="verb"),
        pytest.param(rule("*"), ask("list"), True, id="every-verb"),
        pytest.param(rule("get", "apps"), ask("get"), False, id="group"),
        pytest.param(rule("get", "*"), ask("get", group="apps"), True, id="every-group"),
        pytest.param(rule("get", names="secrets"), ask("get"), False, id="resource"),
        pytest.param(rule("get", names="*"), ask("get", "pods/log"), True, id="every-resource"),
        pytest.param(rule("get"), ask("get", "pods/log"), False, id="subresource-is-apart"),
        pytest.param(rule("get", names="pods/log"), ask("get", "pods/log"), True, id="subresource"),
        pytest.param(rule("get", names="*/log"), ask("get", "pods/log"), True, id="subresource-of-all"),
        pytest.param(rule("get", names="pods/log"), ask("get"), False, id="not-its-parent"),
        pytest.param(rule("get", only="a"), ask("get", name="a"), True, id="named"),
        pytest.param(rule("get", only="a"), ask("get", name="b"), False, id="other-name"),
        pytest.param(rule("list", only="a"), ask("list"), False, id="list-without-name"),
        pytest.param(rule("list", only="a"), ask("list", name="a"), True, id="list-by-field-selector"),
        pytest.param(rule("create", only="a"), ask("create"), False, id="create-of-a-named"),
        pytest.param(paths("get", "/healthz"), Attributes(verb="get", path="/healthz"), True, id="path"),
        pytest.param(paths("get", "/api/*"), Attributes(verb="get", path="/api/v1"), True, id="path-prefix"),
        pytest.param(paths("get", "/api/*"), Attributes(verb="get", path="/apis"), False, id="path-prefix-ends"),
        pytest.param(paths("*", "*"), ask("get"), False, id="paths-are-no-resources"),
        pytest.param(rule("*", "*", "*"), Attributes(verb="get", path="/healthz"), False, id="resources-are-no-paths"),
    ],
)
def test_when_a_rule_allows(held: Rule, asked: Attributes, allowed: bool) -> None:
    found = decide(ANN, asked, [Grant("a binding", (held,))])
    assert isinstance(found, Allowed) is allowed
    if isinstance(found, Allowed):
        assert found.reason == "RBAC: allowed by a binding"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (
            ask("get", namespace="shop"),
            'User "ann" cannot get resource "pods" in API group "" in the namespace "shop"',
        ),
        (ask("list", "nodes"), 'User "ann" cannot list resource "nodes" in API group "" at the cluster scope'),
        (
            ask("create", "serviceaccounts/token", namespace="shop"),
            'User "ann" cannot create resource "serviceaccounts/token" in API group "" in the namespace "shop"',
        ),
        (Attributes(verb="get", path="/logs"), 'User "ann" cannot get path "/logs"'),
    ],
)
def test_a_refusal_says_who_may_not_do_what_where(asked: Attributes, why: str) -> None:
    assert decide(ANN, asked, []) == Denied(why)


def test_masters_need_no_role() -> None:
    assert isinstance(decide(ADMIN, ask("delete", "nodes"), []), Allowed)


def cluster() -> MemoryObjects:
    found = MemoryObjects(default_access())
    found.put(
        resources.ROLEBINDINGS,
        {
            "metadata": {"name": "readers", "namespace": "shop"},
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "name": "developers"}, {"kind": "ServiceAccount", "name": "orders"}],
        },
    )
    found.put(
        resources.ROLES,
        {
            "metadata": {"name": "tokens", "namespace": "shop"},
            "rules": [{"verbs": ["create"], "apiGroups": [""], "resources": ["serviceaccounts/token"]}],
        },
    )
    found.put(
        resources.ROLEBINDINGS,
        {
            "metadata": {"name": "tokens", "namespace": "shop"},
            "roleRef": {"kind": "Role", "name": "tokens"},
            "subjects": [{"kind": "User", "name": "ann"}],
        },
    )
    return found


@pytest.mark.parametrize(
    ("user", "asked", "allowed"),
    [
        pytest.param(ANN, ask("get", namespace="shop"), True, id="by-group"),
        pytest.param(ANN, ask("get", namespace="other"), False, id="another-namespace"),
        pytest.param(ANN, ask("list"), False, id="whole-cluster"),
        pytest.param(ANN, ask("get", "secrets", namespace="shop"), False, id="view-shows-no-secrets"),
        pytest.param(ORDERS, ask("get", namespace="shop"), True, id="account-of-the-bindings-namespace"),
        pytest.param(ANN, ask("create", "serviceaccounts/token", namespace="shop"), True, id="by-role"),
        pytest.param(ORDERS, ask("create", "serviceaccounts/token", namespace="shop"), False, id="not-theirs"),
        pytest.param(ANONYMOUS, Attributes(verb="get", path="/version"), True, id="anyone-version"),
        pytest.param(ANONYMOUS, Attributes(verb="get", path="/openid/v1/jwks"), True, id="anyone-keys"),
        pytest.param(ANONYMOUS, Attributes(verb="get", path="/api"), False, id="anonymous-discovery"),
        pytest.param(ANN, Attributes(verb="get", path="/apis/apps/v1"), True, id="discovery"),
        pytest.param(ANONYMOUS, ask("get", namespace="shop"), False, id="anonymous"),
        pytest.param(
            ANN, ask("create", "selfsubjectaccessreviews", group="authorization.k8s.io"), True, id="ask-about-oneself"
        ),
    ],
)
def test_bindings_decide(user: User, asked: Attributes, allowed: bool) -> None:
    assert isinstance(Authorizer(cluster()).authorize(user, asked), Allowed) is allowed


NODE = User("system:node:lab-node", groups=("system:nodes", "system:authenticated"))
LEASES = {"resource": "leases", "group": "coordination.k8s.io"}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        pytest.param(ask("create", "nodes"), True, id="registers-itself"),
        pytest.param(ask("patch", "nodes/status", name="lab-node"), True, id="writes-its-status"),
        pytest.param(ask("list"), True, id="sees-every-pod"),
        pytest.param(ask("watch"), True, id="follows-every-pod"),
        pytest.param(ask("create", "pods/binding", namespace="shop"), False, id="leaves-scheduling-to-the-scheduler"),
        pytest.param(ask("patch", "pods/status", namespace="shop"), True, id="writes-a-pods-status"),
        pytest.param(ask("delete", namespace="shop", name="orders"), True, id="removes-a-pod-that-ended"),
        pytest.param(ask("get", "secrets", namespace="shop", name="key"), True, id="reads-one-secret"),
        pytest.param(ask("get", "configmaps", namespace="shop", name="settings"), True, id="reads-one-configmap"),
        pytest.param(ask("create", "serviceaccounts/token", namespace="shop"), True, id="asks-for-a-pods-token"),
        pytest.param(ask("create", "events", namespace="shop"), True, id="records-events"),
        pytest.param(ask("patch", namespace="kube-node-lease", name="lab-node", **LEASES), True, id="renews-its-lease"),
        pytest.param(ask("patch", namespace="shop", **LEASES), False, id="no-lease-elsewhere"),
        pytest.param(ask("list", "secrets", namespace="shop"), False, id="lists-no-secrets"),
        pytest.param(ask("watch", "configmaps"), False, id="watches-no-configmaps"),
        pytest.param(ask("get", "serviceaccounts", namespace="shop", name="orders"), False, id="reads-no-accounts"),
        pytest.param(ask("create", namespace="shop"), False, id="makes-no-pods"),
        pytest.param(ask("patch", namespace="shop", name="orders"), False, id="changes-no-pods-spec"),
        pytest.param(ask("create", "namespaces"), False, id="makes-no-namespaces"),
        pytest.param(ask("delete", "nodes", name="lab-node"), False, id="deletes-no-nodes"),
        pytest.param(
            ask("list", "clusterroles", group="rbac.authorization.k8s.io"), False, id="reads-nobodys-permissions"
        ),
        pytest.param(ask("impersonate", "users", name="kubernetes-admin"), False, id="is-nobody-else"),
    ],
)
def test_a_node_may_do_what_running_pods_takes_and_no_more(asked: Attributes, allowed: bool) -> None:
    assert isinstance(Authorizer(cluster()).authorize(NODE, asked), Allowed) is allowed


WEBHOOK = User(f"system:serviceaccount:{manifests.NAMESPACE}:{manifests.ACCOUNT}", groups=("system:authenticated",))
REGISTRATIONS = {"resource": "mutatingwebhookconfigurations", "group": "admissionregistration.k8s.io"}
HOME = {"namespace": manifests.NAMESPACE}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        pytest.param(ask("list", "serviceaccounts"), True, id="reads-all-accounts"),
        pytest.param(ask("get", "serviceaccounts", namespace="shop", name="orders"), True, id="reads-one-account"),
        pytest.param(ask("watch", name=manifests.CONFIGURATION, **REGISTRATIONS), True, id="follows-its-registration"),
        pytest.param(ask("update", name=manifests.CONFIGURATION, **REGISTRATIONS), True, id="mends-its-registration"),
        pytest.param(ask("update", "secrets", name=manifests.SECRET, **HOME), True, id="keeps-its-certificate"),
        pytest.param(ask("update", name="another", **REGISTRATIONS), False, id="mends-no-other-registration"),
        pytest.param(ask("list", **REGISTRATIONS), False, id="reads-no-other-registration"),
        pytest.param(ask("create", **REGISTRATIONS), False, id="registers-nothing"),
        pytest.param(ask("get", "secrets", name="another", **HOME), False, id="reads-no-other-secret-at-home"),
        pytest.param(
            ask("get", "secrets", namespace="shop", name=manifests.SECRET), False, id="reads-no-secret-elsewhere"
        ),
        pytest.param(ask("create", "serviceaccounts/token", namespace="shop"), False, id="asks-for-no-tokens"),
        pytest.param(ask("patch", "serviceaccounts", namespace="shop"), False, id="changes-no-accounts"),
        pytest.param(ask("list", namespace="shop"), False, id="reads-no-pods"),
    ],
)
def test_the_webhook_may_do_what_reviews_take_and_no_more(asked: Attributes, allowed: bool) -> None:
    stored = cluster()
    by_kind = {resource.kind: resource for resource in resources.BUILTIN}
    for obj in manifests.rbac():
        stored.put(by_kind[obj["kind"]], obj)
    assert isinstance(Authorizer(stored).authorize(WEBHOOK, asked), Allowed) is allowed


def test_a_reason_names_the_binding() -> None:
    found = Authorizer(cluster()).authorize(ANN, ask("get", namespace="shop"))
    assert found == Allowed('RBAC: allowed by RoleBinding "readers/shop" of ClusterRole "view" to Group "developers"')


def test_a_changed_role_counts_at_once() -> None:
    stored = cluster()
    authorizer = Authorizer(stored)
    asked = ask("create", "serviceaccounts/token", namespace="shop")
    assert isinstance(authorizer.authorize(ANN, asked), Allowed)
    stored.remove(resources.ROLES, "tokens", "shop")
    assert isinstance(authorizer.authorize(ANN, asked), Denied)


def test_nobody_grants_what_they_do_not_hold() -> None:
    wanted = [rule("get,delete", names="pods,secrets")]
    held = [rule("get,list", names="pods"), rule("get", names="secrets")]
    assert [str(sorted(each.verbs)) + str(sorted(each.resources)) for each in missing_rules(wanted, held)] == [
        "['delete']['pods']",
        "['delete']['secrets']",
    ]
    assert escalation(ANN, wanted, held) == (
        'user "ann" (groups=["developers" "system:authenticated"]) is attempting to grant RBAC permissions not'
        ' currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}'
    )
    assert escalation(ANN, wanted, [rule("*", "*", "*")]) is None


WORDS = st.sampled_from(["*", "get", "list", "pods", "secrets", "pods/log", "*/log", ""])
RULES = st.builds(
    Rule,
    st.frozensets(WORDS, min_size=1, max_size=2),
    st.frozensets(st.sampled_from(["", "*", "apps"]), min_size=1, max_size=2),
    st.frozensets(WORDS, min_size=1, max_size=2),
    st.frozensets(st.sampled_from(["a", "b"]), max_size=2),
)


@given(
    st.lists(RULES, max_size=3),
    st.lists(RULES, max_size=3),
    st.sampled_from(["get", "list"]),
    st.sampled_from(["pods", "secrets", "pods/log"]),
    st.sampled_from(["", "apps"]),
    st.sampled_from(["", "a", "b"]),
)
def test_what_is_covered_is_also_allowed(
    wanted: list[Rule], held: list[Rule], verb: str, resource: str, group: str, name: str
) -> None:
    """If nothing of *wanted* is missing from *held*, then whatever *wanted* allows, *held* allows."""
    if missing_rules(wanted, held):
        return
    asked = ask(verb, resource, group=group, name=name)
    if any(each.allows(asked) for each in wanted):
        assert any(each.allows(asked) for each in held)


@given(RULES)
def test_a_rule_covers_itself(found: Rule) -> None:
    assert missing_rules([found], [found]) == []
