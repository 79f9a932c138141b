"""The kinds that make and guard pods, each with its subresources."""

from collections.abc import Iterator

from podpass.lab.cluster.kinds.budgets import budgets
from podpass.lab.cluster.kinds.cronjobs import cronjobs
from podpass.lab.cluster.kinds.daemonsets import daemonsets
from podpass.lab.cluster.kinds.deployments import deployments, replicasets
from podpass.lab.cluster.kinds.jobs import jobs
from podpass.lab.cluster.kinds.scales import Scales
from podpass.lab.cluster.kinds.statefulsets import controllerrevisions, statefulsets
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.verbs import Verbs


def workload_kinds(verbs: Verbs) -> Iterator[Kind]:
    scale = Scales(verbs).subresource()
    yield deployments(scale)
    yield replicasets(scale)
    yield statefulsets(scale)
    yield daemonsets()
    yield controllerrevisions()
    yield jobs()
    yield cronjobs()
    yield budgets()
