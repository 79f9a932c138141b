"""kubectl runs workloads: Deployments that roll out, scale, go back; Services in front of them."""

import pytest

from tests.clients.conftest import Kubectl

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: "busybox:1.36", command: [sh, -c, "echo here; exec sleep 300"]}]
"""


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """A Deployment of two pods that has rolled out."""
    assert kubectl("apply -f -", stdin=DEPLOYMENT) == "deployment.apps/web created\n"
    done = kubectl("rollout status deployment/web --timeout=60s")
    assert done.splitlines()[-1] == 'deployment "web" successfully rolled out'
    return kubectl


def test_a_deployment_rolls_out(web: Kubectl) -> None:
    [row] = web.table("get deployments")
    assert (row["READY"], row["UP-TO-DATE"], row["AVAILABLE"]) == ("2/2", "2", "2")
    assert list(web.table("get deploy -o wide")[0])[5:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    [replicas] = web.table("get rs")
    assert (replicas["DESIRED"], replicas["CURRENT"], replicas["READY"]) == ("2", "2", "2")
    pods = web.table("get pods")
    assert len(pods) == 2
    assert all(pod["NAME"].startswith(f"{replicas['NAME']}-") and pod["STATUS"] == "Running" for pod in pods)
    everything = web("get all")
    for name in ("pod/web-", "deployment.apps/web", "replicaset.apps/web-"):
        assert name in everything
    assert web("wait --for=condition=Available deployment/web --timeout=10s") == "deployment.apps/web condition met\n"
    assert web("logs deployment/web").splitlines()[-1] == "here"
    if not web.old:
        assert web("logs -l app=web --prefix").count("here") == 2


def test_describe_a_deployment(web: Kubectl) -> None:
    words = " ".join(web("describe deployment web").split())
    for part in (
        "Replicas: 2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
        "StrategyType: RollingUpdate",
        "RollingUpdateStrategy: 25% max unavailable, 25% max surge",
        "Available True MinimumReplicasAvailable",
        "Progressing True NewReplicaSetAvailable",
        "OldReplicaSets: <none>",
        "(2/2 replicas created)",
        "Normal ScalingReplicaSet",
        "deployment-controller Scaled up replica set web-",
    ):
        assert part in words, f"{part}\n{words}"
    replica_set = web("get rs -o jsonpath={.items[0].metadata.name}")
    words = " ".join(web(f"describe rs {replica_set}").split())
    assert "Controlled By: Deployment/web" in words
    assert "Pods Status: 2 Running / 0 Waiting / 0 Succeeded / 0 Failed" in words
    assert "Normal SuccessfulCreate" in words


def test_scale(web: Kubectl) -> None:
    assert web("scale deployment web --replicas=3") == "deployment.apps/web scaled\n"
    web("rollout status deployment/web --timeout=60s")
    assert web("get deployment web -o jsonpath={.status.readyReplicas}") == "3"
    assert "Expected replicas to be 7, was 3" in web.refused("scale deployment web --current-replicas=7 --replicas=1")
    assert web("scale deployment web --replicas=0") == "deployment.apps/web scaled\n"
    web.until_gone("pod -l app=web")
    assert web("get pods -o name") == ""
    assert web("get deployment web -o jsonpath={.spec.replicas}") == "0"


def test_a_new_image_rolls_out_and_is_taken_back(web: Kubectl) -> None:
    assert web("set image deployment/web c=busybox:1.37") == "deployment.apps/web image updated\n"
    web("rollout status deployment/web --timeout=60s")
    images = web("get pods --field-selector status.phase=Running -o jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"busybox:1.37"}
    history = web("rollout history deployment/web").split("\n", 1)[1].splitlines()
    assert [line.split()[0] for line in history if line] == ["REVISION", "1", "2"]
    assert "busybox:1.36" in web("rollout history deployment/web --revision=1")
    assert web("rollout undo deployment/web") == "deployment.apps/web rolled back\n"
    web("rollout status deployment/web --timeout=60s")
    assert web("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}") == "busybox:1.36"
    revision = "get deployment web -o jsonpath={.metadata.annotations.deployment\\.kubernetes\\.io/revision}"
    assert web(revision.replace("\\", "\\\\")) == "3"
    assert "unable to find specified revision 9" in web.refused("rollout undo deployment/web --to-revision=9")


def test_restart_pause_and_resume(web: Kubectl) -> None:
    before = set(web("get pods -o name").split())
    assert web("rollout restart deployment/web") == "deployment.apps/web restarted\n"
    web("rollout status deployment/web --timeout=60s")
    web.until_gone(" ".join(before))
    assert not before & set(web("get pods -o name").split())
    assert web("rollout pause deployment/web") == "deployment.apps/web paused\n"
    assert web("set env deployment/web COLOUR=blue") == "deployment.apps/web env updated\n"
    assert web("get rs -o name").count("replicaset") == 2, "nothing rolls out while it is paused"
    assert web("rollout resume deployment/web") == "deployment.apps/web resumed\n"
    web("rollout status deployment/web --timeout=60s")
    assert "COLOUR=blue" in web("set env deployment/web --list")
    web("create serviceaccount other")
    assert web("set serviceaccount deployment/web other") == "deployment.apps/web serviceaccount updated\n"
    web("rollout status deployment/web --timeout=60s")


def test_a_rollout_that_cannot_go_on_is_seen(web: Kubectl) -> None:
    web("set image deployment/web c=nowhere.example.test/none:1")
    assert "timed out waiting for the condition" in web.refused("rollout status deployment/web --timeout=2s")
    web("wait --for=condition=Available deployment/web --timeout=10s")
    assert {row["STATUS"] for row in web.table("get pods")} <= {
        "Running",
        "ErrImagePull",
        "ImagePullBackOff",
        "Pending",
    }
    web("rollout undo deployment/web")
    web("rollout status deployment/web --timeout=60s")


def test_expose_a_deployment(web: Kubectl) -> None:
    assert web("expose deployment web --port=80 --target-port=8080") == "service/web exposed\n"
    [service] = web.table("get services")
    assert (service["NAME"], service["TYPE"], service["PORT(S)"]) == ("web", "ClusterIP", "80/TCP")
    assert service["EXTERNAL-IP"] == "<none>"
    assert web.table("get svc -o wide")[0]["SELECTOR"] == "app=web"
    ips = web("get pods -o jsonpath={.items[*].status.podIP}").split()
    words = " ".join(web("describe service web").split())
    assert "Selector: app=web" in words
    assert "Port: <unset> 80/TCP" in words
    assert all(f"{ip}:8080" in words for ip in ips)
    assert web("create service nodeport node --tcp=80:8080") == "service/node created\n"
    assert web("get svc node -o jsonpath={.spec.type}") == "NodePort"
    assert 30000 <= int(web("get svc node -o jsonpath={.spec.ports[0].nodePort}")) <= 32767


def test_create_a_deployment_by_its_sub_command(kubectl: Kubectl) -> None:
    replicas = "" if kubectl.old else " --replicas=1"
    assert kubectl(f"create deployment d --image=busybox{replicas} -- sleep 300") == "deployment.apps/d created\n"
    kubectl("wait --for=condition=Available deployment/d --timeout=60s")
    dry = kubectl("create deployment e --image=busybox --dry-run=client -o yaml")
    assert "kind: Deployment" in dry
    tail = "" if kubectl.old else f" from {kubectl.namespace} namespace"
    assert kubectl("delete deployment d") == f'deployment.apps "d" deleted{tail}\n'
    kubectl.until_gone("rs -l app=d")
    # The program ignores the signal that ends it, as the first process of a pod does; half a minute would pass.
    kubectl("delete pods -l app=d --force --grace-period=0")
    assert kubectl("get rs,pods -o name") == ""


def test_a_faulty_deployment_is_refused(kubectl: Kubectl) -> None:
    refusal = kubectl.refused(
        "create -f -", stdin=DEPLOYMENT.replace("matchLabels: {app: web}", "matchLabels: {app: x}")
    )
    assert "`selector` does not match template `labels`" in refusal
    kubectl("create -f -", stdin=DEPLOYMENT.replace("replicas: 2", "replicas: 0"))
    refusal = kubectl.refused("patch deployment web -p", '{"spec":{"selector":{"matchLabels":{"x":"y"}}}}')
    assert "field is immutable" in refusal
