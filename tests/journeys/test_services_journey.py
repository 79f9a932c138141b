"""Services of a running lab: opened on this machine, found by name in pods, and gone with what is behind them."""

import base64
import json
import socket
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.running_lab import RunningLab

NAMESPACE = "services"
SERVER = textwrap.dedent(
    """
    import http.server, socket, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = socket.gethostname().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
    """
)
ECHO = textwrap.dedent(
    """
    import socket
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("", 5353))
    while True:
        data, peer = listening.recvfrom(1000)
        listening.sendto(data[::-1], peer)
    """
)
ASKING = textwrap.dedent(
    """
    import socket, urllib.request
    def fetch(url):
        return urllib.request.urlopen(url, timeout=10).read().decode()
    print("short", fetch("http://web/"))
    print("qualified", fetch("http://web.services.svc.cluster.local/"))
    print("headless", sorted({each[4][0] for each in socket.getaddrinfo("heads", 8080, type=socket.SOCK_STREAM)}))
    print("pod", fetch("http://web-a.heads:8080/"))
    print("spread", sorted({fetch("http://web/") for _ in range(8)}))
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(10)
    asking.sendto(b"abc", (socket.gethostbyname("echo"), 53))
    print("udp", asking.recv(100).decode())
    try:
        socket.create_connection(("empty", 80), 10)
    except ConnectionRefusedError:
        print("empty refused")
    """
)


def pod(name: str, program: str, *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "c",
        "image": "python:3.12",
        "command": ["python3", "-u", "-c", program],
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    if program == SERVER:
        container["readinessProbe"] = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def service(name: str, selector: dict[str, str], port: dict[str, Any], **spec: Any) -> dict[str, Any]:
    body = {"selector": selector, "ports": [port], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


REFUSING = textwrap.dedent(
    """
    import http.server, json, ssl
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {"uid": asked["request"]["uid"], "allowed": False, "status": {"message": "said from a pod"}}
            body = json.dumps({**asked, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server = http.server.ThreadingHTTPServer(("", 8443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
    """
)

Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def kubectl(running_lab: RunningLab) -> Iterator[Kubectl]:
    def run(*arguments: str, check: bool = True) -> str:
        return running_lab.kubectl("-n", NAMESPACE, *arguments, check=check)

    if running_lab.control.status()["runtime"]["name"] != "sandbox":
        pytest.skip("pods have no network of their own here")
    running_lab.kubectl("create", "namespace", NAMESPACE)
    yield run
    running_lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def apply(kubectl: Kubectl, running_lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    directory = tmp_path_factory.mktemp("manifests")

    def run(*manifests: dict[str, Any]) -> str:
        path = directory / "manifest.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
        return kubectl("apply", "-f", str(path))

    return run


@pytest.fixture(scope="module")
def web(kubectl: Kubectl, apply: Callable[..., str]) -> None:
    """Two servers behind Services of every kind, ready."""
    web = {"app": "web"}
    named = {"name": "http", "port": 80, "targetPort": "http"}
    apply(
        pod("web-a", SERVER, labels=web, hostname="web-a", subdomain="heads"),
        pod("web-b", SERVER, labels=web),
        pod("echo", ECHO, labels={"app": "echo"}),
        service("web", web, named, type="LoadBalancer"),
        service("heads", web, named, clusterIP="None"),
        service("echo", {"app": "echo"}, {"port": 53, "protocol": "UDP", "targetPort": 5353}),
        service("empty", {"app": "nobody"}, {"port": 80}),
    )
    kubectl("wait", "--for=condition=Ready", "pod/web-a", "pod/web-b", "pod/echo", "--timeout=60s")
    ready = "{.subsets[0].addresses[1].ip}"
    kubectl("wait", f"--for=jsonpath={ready}", "endpoints/web", "--timeout=30s")


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def external(kubectl: Kubectl, name: str) -> str:
    return kubectl("get", "svc", name, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")


def refuses(url: str) -> bool:
    try:
        fetched(url)
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    except ConnectionError:
        # What was accepted in the last moment is cut off.
        return False
    return False


def answers(url: str) -> bool:
    try:
        return bool(fetched(url))
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.usefixtures("web")
def test_a_load_balancer_is_opened_on_this_machine_at_its_own_address(kubectl: Kubectl) -> None:
    row = kubectl("get", "svc", "web", "--no-headers").split()
    address = external(kubectl, "web")
    assert row[3] == address
    assert address.startswith("127.0.1")
    events = kubectl("get", "events", "--field-selector=reason=PortNotAvailable", "-o", "name")
    port = "8080" if events else "80"
    assert {fetched(f"http://{address}:{port}/") for _ in range(6)} == {"web-a", "web-b"}


@pytest.mark.usefixtures("web")
def test_the_clusters_own_service_is_carried_without_trouble(running_lab: RunningLab) -> None:
    events = running_lab.kubectl("get", "events", "--field-selector=involvedObject.name=kubernetes", "-o", "name")
    assert events == ""


def test_a_node_port_is_opened_on_this_machine(kubectl: Kubectl) -> None:
    number = kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
    assert fetched(f"http://127.0.0.1:{number}/") in ("web-a", "web-b")


@pytest.mark.usefixtures("web")
def test_pods_find_services_by_name(kubectl: Kubectl, apply: Callable[..., str]) -> None:
    apply(pod("asking", ASKING, restartPolicy="Never"))
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/asking", "--timeout=60s", check=False)
    said = dict(line.split(" ", 1) for line in kubectl("logs", "asking").splitlines())
    pods = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert said["short"] in ("web-a", "web-b")
    assert said["qualified"] in ("web-a", "web-b")
    assert said["headless"] == str(sorted(each["status"]["podIP"] for each in pods))
    assert said["pod"] == "web-a"
    assert said["spread"] == "['web-a', 'web-b']"
    assert said["udp"] == "cba"
    assert said["empty"] == "refused"


@pytest.mark.usefixtures("web")
def test_a_service_with_nothing_behind_it_refuses_and_takes_up_again(
    kubectl: Kubectl, apply: Callable[..., str]
) -> None:
    alone = {"app": "alone"}
    apply(
        pod("alone", SERVER, labels=alone),
        service("alone", alone, {"port": 8999, "targetPort": 8080}, type="LoadBalancer"),
    )
    kubectl("wait", "--for=condition=Ready", "pod/alone", "--timeout=60s")
    until(lambda: external(kubectl, "alone") != "")
    url = f"http://{external(kubectl, 'alone')}:8999/"
    until(lambda: answers(url))
    assert fetched(url) == "alone"
    kubectl("label", "pod", "alone", "app-")
    until(lambda: refuses(url))
    kubectl("label", "pod", "alone", "app=alone")
    until(lambda: answers(url))
    kubectl("delete", "svc", "alone")
    until(lambda: refuses(url))


def test_a_load_balancer_leaves_alone_what_another_lab_has(running_lab: RunningLab) -> None:
    with socket.socket() as others:
        others.bind(("127.0.10.1", 0))
        others.listen()
        port = others.getsockname()[1]
        running_lab.kubectl("create", "service", "loadbalancer", "elsewhere", f"--tcp={port}:80")
        path = "{.status.loadBalancer.ingress[0].ip}"
        running_lab.kubectl("wait", "service/elsewhere", f"--for=jsonpath={path}", "--timeout=30s")
        given = running_lab.kubectl("get", "service", "elsewhere", "-o", f"jsonpath={path}")
        assert given.startswith("127.0.1")
        assert given != "127.0.10.1"
    running_lab.kubectl("delete", "service", "elsewhere")


def test_a_webhook_in_a_pod_is_asked_through_its_service(
    kubectl: Kubectl, apply: Callable[..., str], running_lab: RunningLab, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(f"webhook.{NAMESPACE}.svc")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    kubectl("create", "secret", "tls", "webhook", f"--cert={tmp_path / 'tls.crt'}", f"--key={tmp_path / 'tls.key'}")
    webhook = pod("webhook", REFUSING, labels={"app": "webhook"})
    (container,) = webhook["spec"]["containers"]
    container["volumeMounts"] = [{"name": "tls", "mountPath": "/tls"}]
    container["readinessProbe"] = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    webhook["spec"]["volumes"] = [{"name": "tls", "secret": {"secretName": "webhook"}}]
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "in-a-pod"},
        "webhooks": [
            {
                "name": "in.a.pod",
                "clientConfig": {"service": {"namespace": NAMESPACE, "name": "webhook"}, "caBundle": bundle},
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
                "objectSelector": {"matchLabels": {"ask": "me"}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
    asking = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "asking", "labels": {"ask": "me"}}}
    path = tmp_path / "asking.json"
    path.write_text(json.dumps(asking))
    apply(configuration)
    try:
        create = (str(Path(sys.executable).parent / "kubectl"), "-n", NAMESPACE, "create", "-f", str(path))
        assert 'service "webhook" not found' in running_lab.run(*create, check=False).stderr
        apply(webhook, service("webhook", {"app": "webhook"}, {"port": 443, "targetPort": 8443}))
        kubectl("wait", "--for=condition=Ready", "pod/webhook", "--timeout=60s")
        kubectl("wait", "--for=jsonpath={.subsets[0].addresses[0].ip}", "endpoints/webhook", "--timeout=30s")
        said = running_lab.run(*create, check=False).stderr
        assert 'admission webhook "in.a.pod" denied the request: said from a pod' in said
    finally:
        kubectl("delete", "validatingwebhookconfiguration", "in-a-pod")
