"""What the API server says of workloads that are not as they should be; each text is a real one's."""

import copy
from typing import Any

import pytest

from podpass.lab.cluster.kinds.budgets import budgets
from podpass.lab.cluster.kinds.cronjobs import cronjobs
from podpass.lab.cluster.kinds.daemonsets import daemonsets
from podpass.lab.cluster.kinds.deployments import deployments, replicasets
from podpass.lab.cluster.kinds.jobs import jobs
from podpass.lab.cluster.kinds.statefulsets import controllerrevisions, statefulsets
from podpass.lab.cluster.registry import Kind

CONTAINER = {"name": "c", "image": "i"}
NEGATIVE = "must be greater than or equal to 0"


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [CONTAINER], **spec}}


def workload(**spec: Any) -> dict[str, Any]:
    return {"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": pod(), **spec}}


def job(restart: str = "Never", **spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"restartPolicy": restart, "containers": [CONTAINER]}}, **spec}}


def cron_job(schedule: str, **spec: Any) -> dict[str, Any]:
    return {"spec": {"schedule": schedule, "jobTemplate": job(), **spec}}


def stored(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    made = {"metadata": {"name": "n", "namespace": "shop", "uid": "u"}, **copy.deepcopy(obj)}
    kind.prepare_create(made)
    kind.default(made)
    kind.complete_create(made)
    return made


def faults(kind: Kind, obj: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in kind.validate_create(stored(kind, obj))]


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        pytest.param(deployments(), workload(), [], id="deployment"),
        pytest.param(replicasets(), workload(), [], id="replicaset"),
        pytest.param(statefulsets(), workload(), [], id="statefulset"),
        pytest.param(daemonsets(), workload(), [], id="daemonset"),
        pytest.param(jobs(), job(), [], id="job"),
        pytest.param(cronjobs(), cron_job("* * * * *"), [], id="cron-job"),
        pytest.param(
            deployments(),
            workload(selector=None),
            [
                "spec.selector: Required value",
                'spec.template.metadata.labels: Invalid value: {"app":"x"}:'
                " `selector` does not match template `labels`",
            ],
            id="no-selector",
        ),
        pytest.param(
            deployments(),
            workload(selector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
            [
                "spec.selector.matchExpressions[0].values: Required value:"
                " must be specified when `operator` is 'In' or 'NotIn'",
                'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"In"}]}:'
                " invalid label selector",
            ],
            id="an-unreadable-selector",
        ),
        pytest.param(
            deployments(),
            workload(strategy={"type": "Recreate", "rollingUpdate": {}}),
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ],
            id="recreate-and-rolling",
        ),
        pytest.param(
            deployments(),
            workload(strategy={"type": "Foo"}),
            [
                'spec.strategy: Unsupported value: {"Type":"Foo","RollingUpdate":null}:'
                ' supported values: "Recreate", "RollingUpdate"'
            ],
            id="strategy",
        ),
        pytest.param(
            deployments(),
            workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
            id="nothing-may-move",
        ),
        pytest.param(
            deployments(),
            workload(progressDeadlineSeconds=5, minReadySeconds=10),
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
            id="deadline",
        ),
        pytest.param(
            deployments(),
            workload(template=pod(restartPolicy="Never")),
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
            id="restart-policy",
        ),
        pytest.param(
            statefulsets(),
            workload(updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
            [
                'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}:'
                " only allowed for updateStrategy 'RollingUpdate'"
            ],
            id="partition-on-delete",
        ),
        pytest.param(
            daemonsets(),
            workload(updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}),
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1:"
                " may not be set when maxUnavailable is non-zero"
            ],
            id="surge-and-unavailable",
        ),
        pytest.param(
            jobs(),
            job("Always"),
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
            id="a-job-that-never-ends",
        ),
        pytest.param(
            jobs(),
            job(parallelism=-1),
            [f"spec.parallelism: Invalid value: -1: {NEGATIVE}"],
            id="less-than-none-at-a-time",
        ),
        pytest.param(
            jobs(),
            job(backoffLimitPerIndex=1),
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
            id="per-index-without-indexes",
        ),
        pytest.param(
            jobs(),
            job(podFailurePolicy={"rules": [{"action": "Count"}]}),
            [
                "spec.podFailurePolicy.rules[0]: Invalid value:"
                " specifying one of OnExitCodes and OnPodConditions is required"
            ],
            id="a-rule-about-nothing",
        ),
        pytest.param(
            cronjobs(),
            cron_job("TZ=UTC * * * * *"),
            [
                'spec.schedule: Invalid value: "TZ=UTC * * * * *":'
                " cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            ],
            id="zone-in-the-schedule",
        ),
        pytest.param(
            cronjobs(),
            cron_job("* * * *"),
            ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]'],
            id="four-fields",
        ),
        pytest.param(
            cronjobs(),
            cron_job("* * * * *", timeZone="Foo/Bar"),
            ['spec.timeZone: Invalid value: "Foo/Bar": unknown time zone Foo/Bar'],
            id="no-such-zone",
        ),
        pytest.param(
            budgets(),
            {"spec": {"minAvailable": "101%"}},
            ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
            id="more-than-all",
        ),
        pytest.param(
            budgets(),
            {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
            [
                'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,'
                '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
            ],
            id="both-limits",
        ),
        pytest.param(
            controllerrevisions(),
            {"revision": -1},
            [f"revision: Invalid value: -1: {NEGATIVE}", "data: Required value: data is mandatory"],
            id="revision",
        ),
    ],
)
def test_what_is_wrong_with_a_new_workload(kind: Kind, obj: dict[str, Any], expected: list[str]) -> None:
    assert faults(kind, obj) == expected


IMMUTABLE = "field is immutable"


@pytest.mark.parametrize(
    ("kind", "old", "change", "expected"),
    [
        pytest.param(deployments(), workload(), {"replicas": 9}, [], id="replicas"),
        pytest.param(
            daemonsets(),
            workload(),
            {
                "selector": {"matchLabels": {"app": "x", "b": "c"}},
                "template": {**pod(), "metadata": {"labels": {"app": "x", "b": "c"}}},
            },
            [f'spec.selector: Invalid value: {{"matchLabels":{{"app":"x","b":"c"}}}}: {IMMUTABLE}'],
            id="selector",
        ),
        pytest.param(
            statefulsets(),
            workload(serviceName="a"),
            {"serviceName": "b"},
            [f'spec.serviceName: Invalid value: "b": {IMMUTABLE}'],
            id="service-name",
        ),
        pytest.param(statefulsets(), workload(), {"updateStrategy": {"type": "OnDelete"}}, [], id="update-strategy"),
        pytest.param(
            jobs(),
            job(completions=3),
            {"completions": 4},
            [f"spec.completions: Invalid value: 4: {IMMUTABLE}"],
            id="completions",
        ),
        pytest.param(
            jobs(),
            job(completionMode="Indexed", completions=2, parallelism=2),
            {"completions": 3, "parallelism": 3},
            [],
            id="elastic",
        ),
        pytest.param(
            jobs(),
            job(completionMode="Indexed", completions=2, parallelism=2),
            {"completions": 3},
            ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"],
            id="not-in-tandem",
        ),
    ],
)
def test_what_may_not_be_changed(kind: Kind, old: dict[str, Any], change: dict[str, Any], expected: list[str]) -> None:
    before = stored(kind, old)
    after = copy.deepcopy(before)
    after["spec"].update(change)
    kind.default(after)
    assert [f"{cause.field}: {cause.message}" for cause in kind.validate_update(after, before)] == expected


@pytest.mark.parametrize(
    ("kind", "obj", "status", "expected"),
    [
        pytest.param(
            replicasets(),
            workload(),
            {"replicas": 1, "readyReplicas": 2},
            ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
            id="more-ready-than-there-are",
        ),
        pytest.param(
            deployments(),
            workload(),
            {"replicas": -2},
            [f"status.replicas: Invalid value: -2: {NEGATIVE}"],
            id="negative",
        ),
        pytest.param(
            jobs(),
            job(),
            {"conditions": [{"type": "Complete", "status": "True"}]},
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.conditions: Invalid value:"
                " cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.startTime: Required value: startTime is required for finished job",
            ],
            id="complete-out-of-nothing",
        ),
    ],
)
def test_a_status_that_can_not_be_is_refused(
    kind: Kind, obj: dict[str, Any], status: dict[str, Any], expected: list[str]
) -> None:
    before = stored(kind, obj)
    found = [f"{cause.field}: {cause.message}" for cause in kind.validate_update({**before, "status": status}, before)]
    # A negative total is also less than its parts, which a real server says of each.
    assert [each for each in found if "Invalid value: 0: cannot be greater" not in each] == expected
