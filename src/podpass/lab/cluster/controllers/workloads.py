"""The controllers of the workload kinds, all of which find their pods in one index."""

from collections.abc import Iterator

from podpass.lab.cluster.controllers.budgets import Budgets
from podpass.lab.cluster.controllers.cronjob import CronJobs
from podpass.lab.cluster.controllers.daemonset import DaemonSets
from podpass.lab.cluster.controllers.deployment import Deployments
from podpass.lab.cluster.controllers.job import Jobs
from podpass.lab.cluster.controllers.loop import Loop
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.replicaset import ReplicaSets
from podpass.lab.cluster.controllers.statefulset import StatefulSets
from podpass.lab.cluster.verbs import Verbs

WORKERS = 5
"""How many workloads of one kind are cared for at a time."""
REST = 10.0
"""A budget whose pods took long to look through rests ten times as long, however often they change."""


def workload_loops(verbs: Verbs, pods: PodIndex) -> Iterator[Loop]:
    for controller in (Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs):
        yield Loop(controller(verbs, pods), workers=WORKERS)
    yield Loop(Budgets(verbs, pods), rest=REST)
