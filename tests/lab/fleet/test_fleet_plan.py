"""What is to be done to a managed cluster: a table."""

from dataclasses import replace

import pytest

from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.fleet.plan import (
    MOST_NODES_EACH,
    OVERLAP_SECONDS,
    Action,
    Applied,
    Remove,
    Resize,
    Rotate,
    Start,
    Stop,
    UsePodIdentity,
    UseWebhook,
    Withdraw,
    after,
    plan,
)

CLUSTER = HostedCluster(
    guid="6e0a2f5c-0000-4000-8000-000000000001",
    resource_id="/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/shop",
    name="shop",
    tenant_id="t",
    location="westeurope",
    issuer="https://westeurope.oic.prod-aks.azure.com/t/6e0a2f5c-0000-4000-8000-000000000001/",
    fqdn="shop-1.hcp.westeurope.azmk8s.io",
    node_count=2,
    workload_identity=True,
)
AS_WANTED = Applied.at_first(CLUSTER)
STOPPED = replace(CLUSTER, running=False)
LEAVING = replace(CLUSTER, leaving=True)
PROFILE = {"enabled": True}
NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("wanted", "applied", "runs", "expected"),
    [
        pytest.param(CLUSTER, None, False, [Start()], id="new"),
        pytest.param(CLUSTER, AS_WANTED, False, [Start()], id="after-a-restart"),
        pytest.param(CLUSTER, AS_WANTED, True, [], id="as-wanted"),
        pytest.param(STOPPED, AS_WANTED, True, [Stop()], id="to-be-stopped"),
        pytest.param(STOPPED, None, False, [], id="never-started"),
        pytest.param(LEAVING, AS_WANTED, True, [Remove()], id="leaves"),
        pytest.param(replace(STOPPED, leaving=True), None, False, [Remove()], id="leaves-though-stopped"),
        pytest.param(replace(CLUSTER, node_count=3), AS_WANTED, True, [Resize(3)], id="more-nodes"),
        pytest.param(replace(CLUSTER, node_count=1), AS_WANTED, True, [Resize(1)], id="fewer-nodes"),
        pytest.param(
            replace(CLUSTER, node_count=400), replace(AS_WANTED, node_count=MOST_NODES_EACH), True, [], id="too-many"
        ),
        pytest.param(
            replace(CLUSTER, workload_identity=False), AS_WANTED, True, [UseWebhook(False)], id="without-tokens"
        ),
        pytest.param(
            replace(CLUSTER, pod_identity=PROFILE), AS_WANTED, True, [UsePodIdentity(PROFILE)], id="pod-identity"
        ),
        pytest.param(
            CLUSTER, replace(AS_WANTED, pod_identity=PROFILE), True, [UsePodIdentity(None)], id="without-pod-identity"
        ),
        pytest.param(
            replace(CLUSTER, pod_identity=PROFILE), replace(AS_WANTED, pod_identity=PROFILE), True, [], id="has-them"
        ),
        pytest.param(replace(CLUSTER, key_generation=1), AS_WANTED, True, [Rotate(1)], id="rotation"),
        pytest.param(replace(CLUSTER, key_generation=2), AS_WANTED, True, [Rotate(1), Rotate(2)], id="two-rotations"),
        pytest.param(CLUSTER, replace(AS_WANTED, older_key_until=NOW + 1), True, [], id="overlap"),
        pytest.param(CLUSTER, replace(AS_WANTED, older_key_until=NOW), True, [Withdraw()], id="overlap-ended"),
        pytest.param(
            replace(CLUSTER, node_count=1, workload_identity=False, key_generation=1),
            AS_WANTED,
            False,
            [Start(), Rotate(1), UseWebhook(False), Resize(1)],
            id="changed-while-the-lab-was-down",
        ),
    ],
)
def test_what_is_to_be_done(wanted: HostedCluster, applied: Applied | None, runs: bool, expected: list[Action]) -> None:
    assert plan(wanted, applied, runs=runs, now=NOW) == expected


def test_what_was_done_is_not_planned_again() -> None:
    wanted = replace(CLUSTER, node_count=5, workload_identity=False, key_generation=3)
    applied = AS_WANTED
    while actions := plan(wanted, applied, runs=True, now=NOW):
        applied = after(applied, actions[0], now=NOW)
    assert applied == Applied(
        node_count=5, workload_identity=False, key_generation=3, older_key_until=NOW + OVERLAP_SECONDS
    )


def test_a_number_of_nodes_counts_when_it_changes() -> None:
    """Somebody took a node away with `podpass lab node rm`: what is kept says 2, and so does the wish."""
    assert plan(CLUSTER, AS_WANTED, runs=True, now=NOW) == []


def test_actions_read_as_what_is_done() -> None:
    actions = (
        Start(),
        Stop(),
        Remove(),
        Resize(3),
        Resize(1),
        UseWebhook(True),
        UseWebhook(False),
        Rotate(1),
        Withdraw(),
    )
    assert [str(action) for action in actions] == [
        "start",
        "stop",
        "remove",
        "change to 3 nodes",
        "change to 1 node",
        "install the webhook",
        "take the webhook away",
        "rotate the keys of tokens (1)",
        "withdraw the older key of tokens",
    ]
