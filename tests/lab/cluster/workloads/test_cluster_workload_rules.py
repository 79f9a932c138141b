"""What is decided for ReplicaSets and Deployments, as tables: no cluster, no clock."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.kube import objects
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.kinds.deployments import deployments
from podpass.lab.cluster.workloads import deployment, deployment_status, replicaset
from podpass.lab.cluster.workloads.deployment import DESIRED, MOST, REVISION, Rollout
from podpass.lab.cluster.workloads.pods import DELETION_COST, Pod
from podpass.lab.cluster.workloads.replicaset import Numbers
from podpass.lab.cluster.workloads.revisions import same_template, template_hash
from tests.lab.cluster.workloads.workload_pods import NOW, a_pod


@pytest.mark.parametrize(
    ("replicas", "pods", "expected"),
    [
        pytest.param(2, [], "create 2 pods", id="none-yet"),
        pytest.param(1, [], "create 1 pod", id="one"),
        pytest.param(2, [a_pod("a"), a_pod("b")], "None", id="enough"),
        pytest.param(1, [a_pod("a", deleting=True)], "create 1 pod", id="a-leaving-pod-does-not-count"),
        pytest.param(1, [a_pod("a", phase="Failed", ready=None)], "create 1 pod", id="a-failed-pod-does-not-count"),
        pytest.param(600, [], "create 500 pods", id="at-most-a-burst"),
        pytest.param(0, [a_pod("a"), a_pod("b", deleting=True)], "delete a", id="to-zero"),
    ],
)
def test_a_replicaset_is_brought_to_its_number(replicas: int, pods: list[Pod], expected: str) -> None:
    assert str(replicaset.decide(replicas, pods, {}, NOW)) == expected


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(a_pod("x", node="", phase="Pending", ready=None), a_pod("y"), id="no-node"),
        pytest.param(a_pod("x", phase="Pending", ready=None), a_pod("y", ready=None), id="pending"),
        pytest.param(a_pod("x", phase="Unknown", ready=None), a_pod("y", ready=None), id="unknown-before-running"),
        pytest.param(a_pod("x", ready=None), a_pod("y"), id="not-ready"),
        pytest.param(a_pod("x", annotations={DELETION_COST: "-5"}), a_pod("y"), id="cheap"),
        pytest.param(a_pod("x"), a_pod("y", annotations={DELETION_COST: "100"}), id="dear"),
        pytest.param(a_pod("x", node="full"), a_pod("y", node="empty"), id="fuller-node"),
        pytest.param(a_pod("x", ready=10), a_pod("y", ready=5000), id="ready-for-less-time"),
        pytest.param(a_pod("x", restarts=3), a_pod("y", restarts=1), id="more-restarts"),
        pytest.param(a_pod("x", age=100, ready=90), a_pod("y", age=9000, ready=90), id="younger"),
    ],
)
def test_the_pod_that_serves_least_goes_first(first: Pod, then: Pod) -> None:
    for pods in ([first, then], [then, first]):
        found = replicaset.decide(1, pods, {"full": 5, "empty": 1}, NOW)
        assert str(found) == "delete x"


def test_a_replicasets_status_counts_ready_available_and_labelled_pods() -> None:
    owner = {
        "metadata": {"generation": 3},
        "spec": {"minReadySeconds": 60, "template": {"metadata": {"labels": {"app": "web", "v": "1"}}}},
        "status": {},
    }
    pods = [
        a_pod("a", labels={"app": "web", "v": "1"}),
        a_pod("b", ready=10),
        a_pod("c", ready=None),
        a_pod("d", deleting=True),
    ]
    status = replicaset.status(owner, Numbers.of(owner, pods, NOW), None, NOW)
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 3,
    }
    none = Numbers.of(owner, [], NOW)
    failed = replicaset.status(owner, none, ("FailedCreate", "quota"), NOW)
    assert [each["message"] for each in failed["conditions"]] == ["quota"]
    assert "conditions" not in replicaset.status({**owner, "status": failed}, none, None, NOW)


# Deployments


def a_deployment(replicas: int = 3, image: str = "new", **spec: Any) -> dict[str, Any]:
    made = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": a_template(image),
            **spec,
        },
    }
    deployments().default(made)
    return made


def a_template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def a_replicaset(
    image: str,
    size: int,
    available: int | None = None,
    *,
    desired: int = 3,
    most: int = 4,
    revision: int = 1,
    age: int = 0,
) -> dict[str, Any]:
    """Named after its image; all its pods exist, *available* of them are."""
    deployment = a_deployment(image=image)
    template = copy.deepcopy(deployment["spec"]["template"])
    template["metadata"]["labels"]["pod-template-hash"] = image
    available = size if available is None else available
    return {
        "metadata": {
            "name": image,
            "uid": f"uid-{image}",
            "generation": 1,
            "creationTimestamp": rfc3339(NOW - age),
            "annotations": {REVISION: str(revision), DESIRED: str(desired), MOST: str(most)},
        },
        "spec": {"replicas": size, "template": template},
        "status": {
            "replicas": size,
            "readyReplicas": available,
            "availableReplicas": available,
            "observedGeneration": 1,
        },
    }


def steps(owner: dict[str, Any], found: Sequence[dict[str, Any]], *, running: bool = False) -> list[str]:
    """What is decided, but for the marks of revisions."""
    actions = deployment.decide(Rollout.of(owner, found), old_pods_running=running)
    return [str(each) for each in actions if not isinstance(each, deployment.Mark | deployment.SetRevision)]


ONE_MORE = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "type": "RollingUpdate"}
ONE_LESS = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}, "type": "RollingUpdate"}
RECREATE = {"type": "Recreate"}


@pytest.mark.parametrize(
    ("owner", "found", "expected"),
    [
        pytest.param(a_deployment(), [], ["create a ReplicaSet of 3, revision 1"], id="first"),
        pytest.param(a_deployment(), [a_replicaset("new", 3)], [], id="done"),
        pytest.param(
            a_deployment(strategy=ONE_MORE),
            [a_replicaset("old", 3)],
            ["create a ReplicaSet of 1, revision 2"],
            id="surge-of-one-begins-with-one",
        ),
        pytest.param(
            a_deployment(strategy=ONE_MORE),
            [a_replicaset("old", 3), a_replicaset("new", 1, 0)],
            [],
            id="waits-for-the-new-pod",
        ),
        pytest.param(
            a_deployment(strategy=ONE_MORE),
            [a_replicaset("old", 3), a_replicaset("new", 1)],
            ["scale old from 3 to 2"],
            id="an-old-pod-goes-for-a-new-one",
        ),
        pytest.param(
            a_deployment(strategy=ONE_MORE),
            [a_replicaset("old", 2), a_replicaset("new", 1)],
            ["scale new from 1 to 2"],
            id="room-is-used",
        ),
        pytest.param(
            a_deployment(strategy=ONE_LESS),
            [a_replicaset("old", 3, most=3), a_replicaset("new", 0, most=3)],
            ["scale old from 3 to 2"],
            id="without-surge-an-old-pod-goes-first",
        ),
        pytest.param(
            a_deployment(strategy=ONE_MORE),
            [a_replicaset("old", 3, 1), a_replicaset("new", 1)],
            ["scale old from 3 to 2"],
            id="pods-that-do-not-serve-go-first",
        ),
        pytest.param(
            a_deployment(
                10, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
            ),
            [a_replicaset("old", 10, desired=10)],
            ["create a ReplicaSet of 3, revision 2"],
            id="a-quarter-more-rounds-up",
        ),
        pytest.param(
            a_deployment(10),
            [a_replicaset("old", 10, desired=10, most=13), a_replicaset("new", 3, 0, desired=10, most=13)],
            ["scale old from 10 to 8"],
            id="a-quarter-less-rounds-down",
        ),
        pytest.param(
            a_deployment(strategy=RECREATE), [a_replicaset("old", 3)], ["scale old from 3 to 0"], id="recreate"
        ),
        pytest.param(
            a_deployment(strategy=RECREATE),
            [a_replicaset("old", 0)],
            ["create a ReplicaSet of 3, revision 2"],
            id="recreate-goes-on",
        ),
        pytest.param(a_deployment(paused=True), [a_replicaset("old", 3)], [], id="paused"),
        pytest.param(
            a_deployment(5, paused=True), [a_replicaset("old", 3)], ["scale old from 3 to 5"], id="paused-still-scales"
        ),
        pytest.param(a_deployment(5), [a_replicaset("new", 3)], ["scale new from 3 to 5"], id="scaled-up"),
        pytest.param(a_deployment(1), [a_replicaset("new", 3)], ["scale new from 3 to 1"], id="scaled-down"),
        pytest.param(
            a_deployment(20),
            [
                a_replicaset("old", 8, desired=10, most=13, age=50),
                a_replicaset("new", 5, desired=10, most=13, revision=2),
            ],
            ["scale old from 8 to 15", "scale new from 5 to 10"],
            id="a-change-in-the-middle-is-shared",
        ),
        pytest.param(
            a_deployment(revisionHistoryLimit=1),
            [a_replicaset("a", 0, revision=1), a_replicaset("b", 0, revision=2), a_replicaset("new", 3, revision=3)],
            ["delete a"],
            id="history-is-bounded",
        ),
        pytest.param(
            a_deployment(revisionHistoryLimit=0, strategy=ONE_MORE),
            [a_replicaset("old", 1), a_replicaset("new", 3, revision=2)],
            ["scale old from 1 to 0"],
            id="nothing-with-pods-is-forgotten",
        ),
    ],
)
def test_a_rollout_goes_step_by_step(owner: Any, found: list[Any], expected: list[str]) -> None:
    assert steps(owner, found) == expected


def test_a_recreate_waits_for_the_last_old_pod() -> None:
    owner = a_deployment(strategy=RECREATE)
    assert steps(owner, [a_replicaset("old", 0)], running=True) == []


def test_going_back_gives_an_old_replicaset_the_newest_number() -> None:
    rollout = Rollout.of(
        a_deployment(image="old"), [a_replicaset("old", 0, revision=1), a_replicaset("other", 3, revision=2)]
    )
    mark = next(
        each for each in deployment.decide(rollout, old_pods_running=False) if isinstance(each, deployment.Mark)
    )
    assert (mark.name, mark.annotations[REVISION]) == ("old", "3")
    assert mark.annotations[deployment.REVISION_HISTORY] == "1"


def test_annotations_are_handed_on_but_for_what_kubectl_and_the_controller_keep_there() -> None:
    owner = a_deployment()
    owner["metadata"]["annotations"] = {"team": "a", deployment.LAST_APPLIED: "{}", REVISION: "7"}
    (made,) = deployment.decide(Rollout.of(owner, []), old_pods_running=False)
    assert isinstance(made, deployment.CreateReplicaSet)
    assert made.annotations == {"team": "a", REVISION: "1", DESIRED: "3", MOST: "4"}


def reason(status: dict[str, Any], kind: str = "Progressing") -> tuple[str, str]:
    found = next(each for each in status["conditions"] if each["type"] == kind)
    return found["status"], found["reason"]


def test_a_rollout_that_stands_still_is_said_to_have_timed_out() -> None:
    owner = a_deployment(progressDeadlineSeconds=60)
    begun = deployment_status.status(
        Rollout.of(owner, [a_replicaset("new", 3, 0)]), deployment_status.Progress("NewReplicaSetCreated", "made"), NOW
    )
    assert reason(begun) == ("True", "ReplicaSetUpdated")
    owner["status"] = begun
    still = deployment_status.status(Rollout.of(owner, [a_replicaset("new", 3, 0)]), None, NOW + 59)
    assert reason(still) == ("True", "ReplicaSetUpdated")
    assert deployment_status.seconds_to_deadline(owner, still["conditions"], NOW + 59) == 1
    late = deployment_status.status(Rollout.of(owner, [a_replicaset("new", 3, 0)]), None, NOW + 61)
    assert reason(late) == ("False", "ProgressDeadlineExceeded")
    assert reason(late, "Available") == ("False", "MinimumReplicasUnavailable")
    owner["status"] = late
    done = deployment_status.status(Rollout.of(owner, [a_replicaset("new", 3)]), None, NOW + 99)
    assert reason(done) == ("True", "NewReplicaSetAvailable")
    assert deployment_status.seconds_to_deadline(owner, done["conditions"], NOW + 99) is None


def test_a_pause_stops_the_deadline() -> None:
    owner = a_deployment(paused=True, progressDeadlineSeconds=60)
    status = deployment_status.status(Rollout.of(owner, [a_replicaset("old", 3, 0)]), None, NOW)
    assert reason(status) == ("Unknown", "DeploymentPaused")
    assert deployment_status.seconds_to_deadline(owner, status["conditions"], NOW) is None
    owner["status"] = status
    owner["spec"]["paused"] = False
    resumed = deployment_status.status(Rollout.of(owner, [a_replicaset("old", 3, 0)]), None, NOW + 1000)
    assert reason(resumed) == ("Unknown", "DeploymentResumed")


def test_a_replicaset_that_cannot_make_pods_is_shown_by_its_deployment() -> None:
    failing = a_replicaset("new", 3, 0)
    failing["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "denied"}
    ]
    status = deployment_status.status(Rollout.of(a_deployment(), [failing]), None, NOW)
    assert reason(status, "ReplicaFailure") == ("True", "FailedCreate")


sizes = st.integers(0, 12)


@settings(max_examples=60)
@given(
    old=sizes,
    new=sizes,
    ready=st.integers(0, 12),
    replicas=st.integers(0, 12),
    surge=st.integers(0, 3),
    less=st.integers(0, 3),
)
def test_a_rolling_update_keeps_its_bounds(
    old: int, new: int, ready: int, replicas: int, surge: int, less: int
) -> None:
    """No step brings more pods than the surge, or takes an available one below the least."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": less}}
    owner = a_deployment(replicas, strategy=strategy)
    most = replicas + surge
    found = [
        a_replicaset("old", old, min(old, ready), desired=replicas, most=most),
        a_replicaset("new", new, min(new, ready), desired=replicas, most=most, revision=2),
    ]
    rollout = Rollout.of(owner, found)
    least = replicas - rollout.max_unavailable
    scales = [each for each in deployment.decide(rollout, old_pods_running=False) if isinstance(each, deployment.Scale)]
    after = {"old": old, "new": new} | {each.name: each.after for each in scales}
    assert all(size >= 0 for size in after.values())
    assert sum(after.values()) <= max(most, old + new)
    available = min(old, ready) + min(new, ready)
    kept = sum(min(after[name], min(size, ready)) for name, size in (("old", old), ("new", new)))
    if new <= replicas:
        assert kept >= min(available, least)


def test_a_template_is_the_same_whatever_hash_it_carries() -> None:
    one, other = a_template("x"), a_template("x")
    other["metadata"]["labels"]["pod-template-hash"] = "abc"
    assert same_template(one, other)
    assert not same_template(one, a_template("y"))
    assert template_hash(one) == template_hash(copy.deepcopy(one))
    assert len({template_hash(one), template_hash(one, 1), template_hash(one, 2), template_hash(a_template("y"))}) == 4
    assert objects.labels(one) == {"app": "web"}
