"""kubectl runs what ends, what keeps its name and what runs everywhere; and drains a node."""

import pytest

from tests.clients.conftest import Kubectl

SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, command: [sleep, "300"]}]}
"""
DAEMONS = (
    SET.replace("StatefulSet", "DaemonSet")
    .replace("name: db}\nspec", "name: agent}\nspec")
    .replace("  replicas: 2\n  serviceName: db\n", "")
)


def test_a_job_runs_to_its_end(kubectl: Kubectl) -> None:
    assert kubectl("create job once --image=busybox -- echo done") == "job.batch/once created\n"
    assert kubectl("wait --for=condition=complete job/once --timeout=30s") == "job.batch/once condition met\n"
    [row] = kubectl.table("get jobs")
    assert (row["NAME"], row["STATUS"], row["COMPLETIONS"]) == ("once", "Complete", "1/1")
    assert kubectl("logs job/once") == "done\n"
    words = " ".join(kubectl("describe job once").split())
    assert "1 Succeeded / 0 Failed" in words
    assert "SuccessfulCreate" in words
    assert "Completed" in words
    kubectl("delete job once")
    kubectl.until_gone("pods -l job-name=once")


def test_a_job_that_fails_says_so(kubectl: Kubectl) -> None:
    dry = kubectl("create job twice --image=busybox --dry-run=client -o yaml -- sh -c 'exit 3'")
    kubectl(
        "create -f -",
        stdin=dry.replace("    spec:\n      containers", "    spec:\n      containers").replace(
            "spec:\n  template", "spec:\n  backoffLimit: 0\n  template", 1
        ),
    )
    assert kubectl("wait --for=condition=failed job/twice --timeout=30s") == "job.batch/twice condition met\n"
    assert "BackoffLimitExceeded" in kubectl("describe job twice")


def test_a_cron_job_is_kept_and_its_job_run_by_hand(kubectl: Kubectl) -> None:
    line = "create cronjob tick --image=busybox --schedule='0 0 1 1 *' -- echo tick"
    if kubectl.old:
        # It writes batch/v1beta1, which servers have not had since 1.25.
        assert "the server could not find the requested resource" in kubectl.refused(line)
        return
    assert kubectl(line) == "cronjob.batch/tick created\n"
    [row] = kubectl.table("get cronjobs")
    assert (row["SCHEDULE"], row["SUSPEND"], row["LAST SCHEDULE"]) == ("0 0 1 1 *", "False", "<none>")
    assert kubectl("create job now --from=cronjob/tick") == "job.batch/now created\n"
    kubectl("wait --for=condition=complete job/now --timeout=30s")
    assert kubectl("logs job/now") == "tick\n"
    assert "field" in kubectl.refused("create cronjob bad --image=busybox --schedule='often'")


def test_a_stateful_set_keeps_names(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=SET)
    kubectl("rollout status statefulset/db --timeout=60s")
    assert [row["READY"] for row in kubectl.table("get statefulsets")] == ["2/2"]
    assert [row["NAME"] for row in kubectl.table("get pods")] == ["db-0", "db-1"]
    assert kubectl("scale statefulset db --replicas=1") == "statefulset.apps/db scaled\n"
    kubectl.until_gone("pod/db-1")
    assert "2 desired" not in kubectl("describe statefulset db")
    kubectl("delete statefulset db --cascade=foreground")
    assert kubectl("get pods -o name") == ""


def test_a_daemon_set_runs_on_every_node(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=DAEMONS)
    kubectl("rollout status daemonset/agent --timeout=60s")
    [row] = kubectl.table("get daemonsets")
    assert [row[name] for name in ("DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE")] == ["1"] * 5
    assert row["NODE SELECTOR"] == "<none>"
    assert kubectl("rollout restart daemonset/agent") == "daemonset.apps/agent restarted\n"
    kubectl("rollout status daemonset/agent --timeout=60s")


def test_a_budget_holds_an_eviction_back(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=SET)
    kubectl("rollout status statefulset/db --timeout=60s")
    if kubectl.old:
        assert "no matches for kind" in kubectl.refused("create pdb db --selector=app=db --min-available=2")
        return
    kubectl("create pdb db --selector=app=db --min-available=2")
    kubectl("wait pdb/db --for=jsonpath={.status.currentHealthy}=2 --timeout=30s")
    [row] = kubectl.table("get pdb")
    assert (row["MIN AVAILABLE"], row["MAX UNAVAILABLE"], row["ALLOWED DISRUPTIONS"]) == ("2", "N/A", "0")
    try:
        held = kubectl.refused("drain lab-node --ignore-daemonsets --pod-selector=app=db --timeout=3s")
        assert "Cannot evict pod as it would violate the pod's disruption budget." in held
        kubectl("delete pdb db")
        done = kubectl("drain lab-node --ignore-daemonsets --pod-selector=app=db --timeout=60s")
        assert "evicted" in done
        assert "node/lab-node drained" in done
    finally:
        kubectl("uncordon lab-node")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("create quota q --hard=pods=4", "resourcequota/q created", id="quota"),
        pytest.param("create ingress i --rule=a.example.test/x=web:80", "ingress.networking.k8s.io/i", id="ingress"),
        pytest.param("create priorityclass NAMESPACE --value=5", "priorityclass.scheduling.k8s.io/", id="priority"),
    ],
)
def test_create_what_is_only_kept(kubectl: Kubectl, line: str, said: str) -> None:
    assert kubectl(line.replace("NAMESPACE", kubectl.namespace)).startswith(said)
