"""What is decided for Jobs, CronJobs and evictions, as tables: no cluster, no clock."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.clock import rfc3339
from podpass.lab.cluster.kinds.job_defaults import default_job_spec
from podpass.lab.cluster.workloads import cron, cronjob, disruption, indexes, job
from podpass.lab.cluster.workloads.conditions import with_condition
from podpass.lab.cluster.workloads.events import Say
from podpass.lab.cluster.workloads.job_counting import FINALIZER, INDEX, INDEX_FAILURES
from podpass.lab.cluster.workloads.pods import Pod
from tests.lab.cluster.workloads.workload_pods import NOW, a_pod


def a_job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    spec.setdefault("template", {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}})
    default_job_spec(spec)
    started = {"startTime": rfc3339(NOW - 1000)}
    return {"metadata": {"name": "j", "namespace": "shop"}, "spec": spec, "status": {**started, **(status or {})}}


def tracked(name: str, phase: str = "Running", **members: Any) -> Pod:
    return a_pod(name, **{"phase": phase, "finalizers": (FINALIZER,), **members})


def indexed(number: int, phase: str = "Running", **members: Any) -> Pod:
    annotations = {INDEX: str(number), **members.pop("annotations", {})}
    return tracked(members.pop("name", f"p{number}"), phase, annotations=annotations, **members)


def counted(**status: Any) -> dict[str, Any]:
    return {"uncountedTerminatedPods": {}, **status}


def holds(decision: job.Decision) -> list[str]:
    return [
        f"{each['type']} {each['reason']}" for each in decision.status.get("conditions", ()) if each["status"] == "True"
    ]


def steps(decision: job.Decision) -> list[str]:
    return [str(each) for each in decision.actions if not isinstance(each, Say)]


INDEXED = {"completionMode": "Indexed", "completions": 3}


@pytest.mark.parametrize(
    ("owner", "pods", "expected"),
    [
        pytest.param(a_job(), [], ["create a pod"], id="one"),
        pytest.param(a_job(parallelism=3, completions=2), [], ["create a pod"] * 2, id="no-more-than-completions"),
        pytest.param(a_job(parallelism=2, completions=9), [], ["create a pod"] * 2, id="no-more-than-parallelism"),
        pytest.param(
            a_job(counted(succeeded=2), parallelism=2, completions=3), [], ["create a pod"], id="the-last-one"
        ),
        pytest.param(a_job(parallelism=1), [tracked("a"), tracked("b", age=5)], ["delete b"], id="fewer-at-a-time"),
        pytest.param(a_job(), [tracked("a", "Succeeded")], ["release a"], id="a-success-is-counted"),
        pytest.param(a_job(), [tracked("a", "Failed")], ["create a pod", "release a"], id="a-failure-is-made-up-for"),
        pytest.param(a_job(), [tracked("a", "Failed", ended=4)], ["release a"], id="after-a-pause"),
        pytest.param(
            a_job(counted(failed=2)),
            [a_pod("a", phase="Failed", ended=15), a_pod("b", phase="Failed", ended=40)],
            [],
            id="and-a-longer-one",
        ),
        pytest.param(a_job(), [tracked("a", deleting=True)], ["create a pod", "release a"], id="a-deleted-pod-counts"),
        pytest.param(
            a_job(podReplacementPolicy="Failed"), [tracked("a", deleting=True)], [], id="unless-only-failures-count"
        ),
        pytest.param(
            a_job(podReplacementPolicy="Failed"),
            [tracked("a", deleting=True, grace=0)],
            ["create a pod", "release a"],
            id="or-the-node-has-let-go",
        ),
        pytest.param(a_job(suspend=True), [tracked("a")], ["delete a"], id="suspended"),
        pytest.param(
            a_job(**INDEXED, parallelism=2),
            [],
            ["create the pod of index 0", "create the pod of index 1"],
            id="indexes-from-zero",
        ),
        pytest.param(
            a_job(counted(completedIndexes="0"), **INDEXED, parallelism=2),
            [indexed(2)],
            ["create the pod of index 1"],
            id="the-missing-index",
        ),
        pytest.param(
            a_job(**INDEXED, parallelism=3),
            [indexed(0), indexed(0, name="twin", age=5), indexed(1), indexed(2)],
            ["delete twin"],
            id="an-index-twice",
        ),
        pytest.param(
            a_job(**INDEXED, parallelism=1, backoffLimitPerIndex=1),
            [indexed(0, "Failed")],
            ["create the pod of index 0", "release p0"],
            id="an-index-again",
        ),
        pytest.param(
            a_job(**INDEXED, parallelism=1, backoffLimitPerIndex=1),
            [indexed(0, "Failed", annotations={INDEX_FAILURES: "1"})],
            ["create the pod of index 1", "release p0"],
            id="an-index-that-failed-too-often",
        ),
    ],
)
def test_a_job_makes_the_pods_it_lacks(owner: dict[str, Any], pods: list[Pod], expected: list[str]) -> None:
    assert steps(job.decide(owner, pods, NOW)) == expected


POLICY = {
    "rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
}


@pytest.mark.parametrize(
    ("owner", "pods", "expected"),
    [
        pytest.param(
            a_job(counted(succeeded=1)),
            [],
            ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"],
            id="complete",
        ),
        pytest.param(
            a_job(),
            [tracked("a", "Succeeded")],
            ["SuccessCriteriaMet CompletionsReached"],
            id="not-before-all-are-counted",
        ),
        pytest.param(a_job(counted(succeeded=1), parallelism=2), [tracked("a")], [], id="a-queue-waits-for-the-others"),
        pytest.param(
            a_job(counted(failed=1), backoffLimit=0),
            [],
            ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"],
            id="too-many-failures",
        ),
        pytest.param(a_job(counted(failed=1), backoffLimit=1), [], [], id="just-not-too-many"),
        pytest.param(
            a_job(activeDeadlineSeconds=999), [tracked("a")], ["FailureTarget DeadlineExceeded"], id="too-long"
        ),
        pytest.param(
            a_job(podFailurePolicy=POLICY),
            [tracked("a", "Failed", exit_code=42)],
            ["FailureTarget PodFailurePolicy"],
            id="an-exit-code-that-fails-the-job",
        ),
        pytest.param(
            a_job(counted(completedIndexes="0,2", failedIndexes="1"), **INDEXED, backoffLimitPerIndex=1),
            [],
            ["FailureTarget FailedIndexes", "Failed FailedIndexes"],
            id="an-index-failed",
        ),
        pytest.param(
            a_job(counted(failedIndexes="0,1"), **INDEXED, backoffLimitPerIndex=1, maxFailedIndexes=1),
            [],
            ["FailureTarget MaxFailedIndexesExceeded", "Failed MaxFailedIndexesExceeded"],
            id="too-many-indexes-failed",
        ),
        pytest.param(
            a_job(counted(completedIndexes="0"), **INDEXED, successPolicy={"rules": [{"succeededIndexes": "0"}]}),
            [],
            ["SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy"],
            id="the-leader-is-done",
        ),
        pytest.param(
            a_job(
                counted(completedIndexes="1,2"),
                **INDEXED,
                successPolicy={"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]},
            ),
            [],
            ["SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy"],
            id="enough-of-them-are-done",
        ),
        pytest.param(a_job(suspend=True), [], ["Suspended JobSuspended"], id="suspended"),
    ],
)
def test_a_job_ends(owner: dict[str, Any], pods: list[Pod], expected: list[str]) -> None:
    assert holds(job.decide(owner, pods, NOW)) == expected


def test_an_ignored_failure_is_not_counted() -> None:
    owner = a_job(podFailurePolicy=POLICY)
    found = job.decide(owner, [tracked("a", "Failed", conditions=("DisruptionTarget",))], NOW)
    assert steps(found) == ["create a pod", "release a"]
    assert found.status["uncountedTerminatedPods"] == {}


def test_pods_that_are_no_longer_needed_did_not_fail() -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    first = job.decide(
        a_job(**INDEXED, parallelism=2, successPolicy=policy), [indexed(0, "Succeeded"), indexed(1)], NOW
    )
    assert steps(first) == ["delete p1", "release p0"]
    owner = a_job(first.status, **INDEXED, parallelism=2, successPolicy=policy)
    then = job.decide(owner, [a_pod("p0", phase="Succeeded"), indexed(1, deleting=True)], NOW)
    assert steps(then) == ["release p1"]
    assert "failed" not in then.status
    done = job.decide({**owner, "status": then.status}, [a_pod("p0", phase="Succeeded")], NOW)
    assert "Complete SuccessPolicy" in holds(done)


def test_a_suspended_job_that_wants_nothing_is_complete() -> None:
    owner = a_job(suspend=True, completions=0)
    del owner["status"]["startTime"]
    found = job.decide(owner, [], NOW)
    assert "Complete CompletionsReached" in holds(found)
    assert found.status["startTime"] == found.status["completionTime"]


def test_no_pod_is_counted_twice() -> None:
    """In two steps: its uid first, then, without the finalizer, into the number."""
    pod = tracked("a", "Succeeded")
    first = job.decide(a_job(completions=2), [pod], NOW)
    assert first.status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"]}
    assert "succeeded" not in first.status
    again = job.decide(a_job(first.status, completions=2), [pod], NOW)
    assert again.status == first.status
    released = a_pod("a", phase="Succeeded")
    done = job.decide(a_job(first.status, completions=2), [released], NOW)
    assert (done.status["succeeded"], done.status["uncountedTerminatedPods"]) == (1, {})
    assert job.decide(a_job(done.status, completions=2), [released], NOW).status == done.status


def test_a_job_that_is_deleted_lets_its_pods_go() -> None:
    owner = a_job()
    owner["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert steps(job.decide(owner, [tracked("a")], NOW)) == ["release a"]


def test_a_job_that_ended_lives_for_its_time() -> None:
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(NOW - 30)}
    owner = a_job({"conditions": [ended]}, ttlSecondsAfterFinished=100)
    assert job.seconds_to_live(owner, NOW) == 70
    assert job.seconds_to_live(a_job({"conditions": [ended]}), NOW) is None
    assert job.seconds_to_live(a_job(ttlSecondsAfterFinished=100), NOW) is None


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([1, 2], "1,2"), ([0, 1, 2], "0-2"), ([0, 2, 3, 4, 7], "0,2-4,7")],
)
def test_indexes_are_written_as_ranges(numbers: list[int], text: str) -> None:
    assert indexes.written(numbers) == text
    assert indexes.read(text, 100) == set(numbers)


@given(st.sets(st.integers(0, 60)))
def test_indexes_are_read_as_they_are_written(numbers: set[int]) -> None:
    text = indexes.written(numbers)
    assert indexes.read(text, 100) == numbers
    assert indexes.fault(text, 100) == ""


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_indexes_or_schedules(text: str) -> None:
    indexes.read(text, 50)
    indexes.fault(text, 50)
    try:
        cron.parse(text).next(NOW)
    except cron.CronSyntax as error:
        assert str(error)


# CronJobs


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-11-25T10:00:30", "2026-11-25T10:01:00"),
        ("*/15 * * * *", "2026-11-25T10:00:00", "2026-11-25T10:15:00"),
        ("0 3 * * *", "2026-11-25T03:00:00", "2026-11-26T03:00:00"),
        ("30 9-17/4 * * mon-fri", "2026-11-27T17:31:00", "2026-11-30T09:30:00"),
        ("0 0 1 jan *", "2026-02-01T00:00:00", "2027-01-01T00:00:00"),
        ("0 0 13 * fri", "2026-11-01T00:00:00", "2026-11-06T00:00:00"),
        ("0 0 13 * *", "2026-11-01T00:00:00", "2026-11-13T00:00:00"),
        ("0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("@hourly", "2026-11-25T10:10:00", "2026-11-25T11:00:00"),
        ("@every 90s", "2026-11-25T10:00:00", "2026-11-25T10:01:30"),
    ],
)
def test_when_a_schedule_is_due(schedule: str, after: str, expected: str) -> None:
    assert cron.parse(schedule).next(at(after)) == at(expected)


def test_a_schedule_keeps_the_hours_of_its_zone() -> None:
    berlin = cron.zone("Europe/Berlin")
    due = cron.parse("30 2 * * *").next(at("2026-03-28T12:00:00"), berlin)
    # On the 29th there is no half past two.
    assert due == at("2026-03-30T00:30:00")
    assert cron.parse("0 8 * * *").next(at("2026-07-01T00:00:00"), berlin) == at("2026-07-01T06:00:00")


def test_an_impossible_day_never_comes() -> None:
    assert cron.parse("0 0 30 2 *").next(NOW) is None


MADE = at("2026-11-25T10:00:10")


def a_cron_job(**spec: Any) -> dict[str, Any]:
    status = spec.pop("status", {})
    meta = {"name": "tick", "namespace": "shop", "uid": "u", "creationTimestamp": rfc3339(MADE)}
    return {"metadata": meta, "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Allow", **spec}, "status": status}


def its_job(name: str, ended: str = "", started: float = MADE) -> dict[str, Any]:
    status: dict[str, Any] = {"startTime": rfc3339(started)}
    if ended:
        status["conditions"] = [{"type": ended, "status": "True"}]
        status["completionTime"] = rfc3339(started + 5)
    return {"metadata": {"name": name, "namespace": "shop", "uid": name}, "status": status}


@pytest.mark.parametrize(
    ("owner", "jobs", "after", "expected"),
    [
        pytest.param(a_cron_job(), [], 20, [], id="not-yet"),
        pytest.param(a_cron_job(), [], 60, ["create the Job of 2026-11-25T10:01:00Z"], id="due"),
        pytest.param(a_cron_job(), [], 300, ["create the Job of 2026-11-25T10:05:00Z"], id="only-the-last-missed-one"),
        pytest.param(a_cron_job(suspend=True), [], 300, [], id="suspended"),
        pytest.param(a_cron_job(status={"lastScheduleTime": "2026-11-25T10:05:00Z"}), [], 300, [], id="made-already"),
        pytest.param(a_cron_job(concurrencyPolicy="Forbid"), [its_job("a")], 60, ["say JobAlreadyActive"], id="forbid"),
        pytest.param(
            a_cron_job(concurrencyPolicy="Replace"),
            [its_job("a")],
            60,
            ["delete a", "create the Job of 2026-11-25T10:01:00Z"],
            id="replace",
        ),
        pytest.param(
            a_cron_job(
                schedule="0 * * * *", startingDeadlineSeconds=30, status={"lastScheduleTime": "2026-11-25T09:00:00Z"}
            ),
            [],
            60,
            [],
            id="too-late",
        ),
        pytest.param(
            a_cron_job(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0),
            [its_job("a", "Complete"), its_job("b", "Complete", MADE + 9), its_job("c", "Failed")],
            20,
            ["delete a", "delete c"],
            id="history",
        ),
    ],
)
def test_a_cron_job_makes_what_is_due(
    owner: dict[str, Any], jobs: list[dict[str, Any]], after: float, expected: list[str]
) -> None:
    found = cronjob.decide(owner, jobs, MADE + after)
    assert [str(each).partition(":")[0] if "say" in str(each) else str(each) for each in found.actions] == expected


def test_a_long_absence_is_made_up_for_once() -> None:
    found = cronjob.decide(a_cron_job(), [], MADE + 40 * 86_400)
    assert [type(each).__name__ for each in found.actions] == ["Say", "CreateJob"]
    assert str(found.actions[1]) == f"create the Job of {rfc3339((MADE + 40 * 86_400) // 60 * 60)}"


def test_a_cron_job_knows_its_running_jobs_and_when_to_look_again() -> None:
    found = cronjob.decide(a_cron_job(), [its_job("a"), its_job("b", "Complete")], MADE + 20)
    assert [each["name"] for each in found.status["active"]] == ["a"]
    assert found.status["lastSuccessfulTime"] == rfc3339(MADE + 5)
    assert found.again_seconds == 30


# Disruption budgets


def a_budget(pods: list[Pod], expected: int = 0, **spec: Any) -> dict[str, Any]:
    budget = {"metadata": {"name": "b", "generation": 1}, "spec": spec}
    return {**budget, "status": disruption.status(budget, pods, disruption.Expected(expected), NOW)}


PODS = [a_pod(f"p{each}") for each in range(4)]


@pytest.mark.parametrize(
    ("spec", "expected", "numbers"),
    [
        pytest.param({"minAvailable": 3}, 0, (4, 3, 1), id="a-number"),
        pytest.param({"minAvailable": "50%"}, 4, (4, 2, 2), id="a-share"),
        pytest.param({"minAvailable": "51%"}, 4, (4, 3, 1), id="a-share-rounds-up"),
        pytest.param({"maxUnavailable": 1}, 4, (4, 3, 1), id="so-many-less"),
        pytest.param({"maxUnavailable": "30%"}, 4, (4, 2, 2), id="a-share-less-rounds-up"),
        pytest.param({"maxUnavailable": 1}, 8, (4, 7, 0), id="too-few-already"),
        pytest.param({"minAvailable": 9}, 0, (4, 9, 0), id="more-than-there-are"),
    ],
)
def test_how_many_pods_may_be_evicted(spec: dict[str, Any], expected: int, numbers: tuple[int, int, int]) -> None:
    status = a_budget(PODS, expected, **spec)["status"]
    assert (status["currentHealthy"], status["desiredHealthy"], status["disruptionsAllowed"]) == numbers
    assert status["conditions"][0]["reason"] == ("SufficientPods" if numbers[2] else "InsufficientPods")


def test_a_budget_that_cannot_be_computed_allows_nothing() -> None:
    budget = {"metadata": {"name": "b", "generation": 1}, "spec": {"maxUnavailable": 1}}
    status = disruption.status(budget, PODS, disruption.Expected(failure="no scale"), NOW)
    assert (status["disruptionsAllowed"], status["conditions"][0]["reason"]) == (0, "SyncFailed")


def test_an_eviction_spends_the_budget() -> None:
    budget = a_budget(PODS, minAvailable=3)
    found = disruption.decide(PODS[0], [budget], NOW)
    assert isinstance(found, disruption.Spend)
    assert found.status["disruptionsAllowed"] == 0
    spent = {**budget, "status": found.status}
    refused = disruption.decide(PODS[1], [spent], NOW)
    assert refused == disruption.Refuse("The disruption budget b needs 3 healthy pods and has 4 currently")
    # While it is on its way out it does not count; after a while without that, it does again.
    later = disruption.status(spent, PODS, disruption.Expected(), NOW + 10)
    assert (later["currentHealthy"], later["disruptionsAllowed"]) == (3, 0)
    assert disruption.seconds_to_disbelief(later, NOW + 10) == 110
    assert disruption.status(spent, PODS, disruption.Expected(), NOW + 121)["currentHealthy"] == 4


@pytest.mark.parametrize(
    ("pod", "budgets", "expected"),
    [
        pytest.param(a_pod("x"), [], disruption.Evict(), id="no-budget"),
        pytest.param(a_pod("x", phase="Pending"), [a_budget([], minAvailable=9)], disruption.Evict(), id="pending"),
        pytest.param(a_pod("x", phase="Failed"), [a_budget([], minAvailable=9)], disruption.Evict(), id="over"),
        pytest.param(
            a_pod("x", ready=None),
            [a_budget([], minAvailable=9, unhealthyPodEvictionPolicy="AlwaysAllow")],
            disruption.Evict(as_it_is=True),
            id="ill-pods-may-always-go",
        ),
        pytest.param(
            a_pod("x", ready=None),
            [a_budget(PODS, minAvailable=4)],
            disruption.Evict(as_it_is=True),
            id="enough-others",
        ),
        pytest.param(
            a_pod("x"),
            [a_budget(PODS, minAvailable=1), a_budget(PODS, minAvailable=1)],
            disruption.Broken(disruption.SEVERAL, 500),
            id="two-budgets",
        ),
    ],
)
def test_who_may_be_evicted(pod: Pod, budgets: list[dict[str, Any]], expected: Any) -> None:
    assert disruption.decide(pod, budgets, NOW) == expected


def test_a_budget_nobody_looked_at_yet_refuses() -> None:
    budget = {"metadata": {"name": "b", "generation": 1}, "spec": {"minAvailable": 0}}
    found = disruption.decide(a_pod("x"), [budget], NOW)
    assert found == disruption.Refuse("The disruption budget b is still being processed by the server.", 10)


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    first = {"type": "T", "status": "True", "reason": "A", "lastTransitionTime": "1"}
    same = with_condition([first], {**first, "lastTransitionTime": "2"})
    assert same == [first]
    (other,) = with_condition([first], {**first, "reason": "B", "lastTransitionTime": "2"})
    assert (other["reason"], other["lastTransitionTime"]) == ("B", "1")
    (turned,) = with_condition([first], {**first, "status": "False", "lastTransitionTime": "2"})
    assert turned["lastTransitionTime"] == "2"
