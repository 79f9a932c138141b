"""The controllers of the workload kinds, all of which find their pods in one index."""

from collections.abc import Iterator

from podpass.lab.cluster.controllers.budgets import Budgets
from podpass.lab.cluster.controllers.cronjob import CronJobs
from podpass.lab.cluster.controllers.daemonset import DaemonSets
from podpass.lab.cluster.controllers.deployment import Deployments
from podpass.lab.cluster.controllers.job import Jobs
from podpass.lab.cluster.controllers.loop import Controller
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.replicaset import ReplicaSets
from podpass.lab.cluster.controllers.statefulset import StatefulSets
from podpass.lab.cluster.verbs import Verbs


def workload_controllers(verbs: Verbs, pods: PodIndex) -> Iterator[Controller]:
    yield Deployments(verbs, pods)
    yield ReplicaSets(verbs, pods)
    yield StatefulSets(verbs, pods)
    yield DaemonSets(verbs, pods)
    yield Jobs(verbs, pods)
    yield CronJobs(verbs, pods)
    yield Budgets(verbs, pods)
