"""A lightkube controller: every Namespace labelled `team` gets a Role and a RoleBinding for that team, by apply."""

import sys

from lightkube import ApiError, Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding
from lightkube.types import PatchType


def reconcile(client: Client, namespace: Namespace) -> None:
    assert namespace.metadata is not None
    assert namespace.metadata.labels is not None
    team, place = namespace.metadata.labels["team"], namespace.metadata.name
    rules = [PolicyRule(apiGroups=[""], resources=["pods", "pods/log"], verbs=["get", "list", "watch"])]
    client.apply(Role(metadata=ObjectMeta(name=team, namespace=place), rules=rules))
    client.apply(
        RoleBinding(
            metadata=ObjectMeta(name=team, namespace=place),
            roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name=team),
            subjects=[Subject(kind="Group", name=team, apiGroup="rbac.authorization.k8s.io")],
        )
    )


def watch_teams(client: Client, name: str) -> None:
    """Serve the namespaces that carry a team, until *name* is deleted."""
    for event, namespace in client.watch(Namespace, labels={"team": "orders"}, server_timeout=30):
        if event == "DELETED":
            print("deleted", namespace.metadata.name)
            return
        if namespace.metadata.deletionTimestamp is not None:
            continue
        reconcile(client, namespace)
        bound = client.get(RoleBinding, "orders", namespace=name)
        print(event.lower(), bound.subjects[0].name)
        client.delete(Namespace, name)


with Client(field_manager="team-controller") as client:
    name = sys.argv[1]
    client.create(Namespace(metadata=ObjectMeta(name=name, labels={"team": "orders"})))
    client.create(ConfigMap(metadata=ObjectMeta(name="settings", namespace=name), data={"a": "1"}))
    client.patch(ConfigMap, "settings", {"data": {"b": "2"}}, namespace=name, patch_type=PatchType.MERGE)
    client.patch(ConfigMap, "settings", {"metadata": {"labels": {"x": "y"}}}, namespace=name)
    operations = [{"op": "remove", "path": "/data/a"}]
    client.patch(ConfigMap, "settings", operations, namespace=name, patch_type=PatchType.JSON)
    try:
        client.apply(ConfigMap(metadata=ObjectMeta(name="settings", namespace=name), data={"b": "3"}))
        client.apply(
            ConfigMap(metadata=ObjectMeta(name="settings", namespace=name), data={"b": "4"}), field_manager="other"
        )
    except ApiError as refusal:
        print(refusal.status.code, refusal.status.reason, refusal.status.details.causes[0].field)
    try:
        client.get(Pod, "none", namespace=name)
    except ApiError as refusal:
        print(refusal.status.code, refusal.status.message)
    print(sorted(found.metadata.name for found in client.list(ConfigMap, namespace=name, chunk_size=1)))
    watch_teams(client, name)
