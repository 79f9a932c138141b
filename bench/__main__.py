"""Measure every budget in one run and print it as a ratio: `make bench`.

Rates are answers per second of the server's own CPU, so neither the client nor other load on the machine counts.
The machine's RSA-2048 signing rate is the yardstick of everything that signs. Two figures are shares of it: the
decision alone, which verifies, matches and signs in this process, and the same as clients get it, over HTTP and TLS
and with an event in the journal.
"""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench import (
    first_token,
    identity_controller,
    kubernetes_api,
    managed_cluster,
    many_identities,
    node_agent,
    pod_start,
    resource_manager,
    webhook_review,
)
from bench.decision import decision_rate
from bench.rates import Rate, calls_per_core, get, measure, post, resident_mib
from podpass.kube.resources import SERVICEACCOUNTS
from podpass.lab.control.client import Control
from podpass.lab.control.starting import delete, start, stop
from podpass.lab.demo.client import ARM, operating
from podpass.lab.demo.plan import AUDIENCE, plan
from podpass.lab.environment import Endpoints, LabPaths

MIB_LAB = 120
TOKENS_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    measured: str
    budget: str
    ratio: float
    """Above 1 is better than the budget."""


def signing_rate() -> float:
    """RSA-2048 PKCS#1 signatures with SHA-256 per second of one core, by the same library that podpass uses."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return calls_per_core(lambda: key.sign(b"x" * 900, padding.PKCS1v15(), hashes.SHA256()))


def best(times: int, run: Callable[[], float]) -> float:
    return min(run() for _ in range(times))


def timed(*command: str, home: Path) -> float:
    """Seconds of wall time that a command takes."""
    environ = {**os.environ, "PODPASS_HOME": str(home), "NO_COLOR": "1"}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "podpass", *command], env=environ, check=True, capture_output=True)
    return time.perf_counter() - began


def at_most(what: str, measured: float, budget: float, unit: str) -> Figure:
    return Figure(what, f"{measured:.2f} {unit}", f"<= {budget:g} {unit}", budget / measured)


def at_least(what: str, measured: float, budget: float, unit: str) -> Figure:
    return Figure(what, f"{measured:,.0f} {unit}", f">= {budget:,.0f} {unit}", measured / budget)


def share_of_signing(what: str, rate: float, signing: float) -> Figure:
    share = rate / signing
    return Figure(f"{what}, of the signing rate", f"{share:.0%}", f">= {TOKENS_SHARE:.0%}", share / TOKENS_SHARE)


async def server_rates(paths: LabPaths, signing: float) -> list[Figure]:
    status = Control(paths).status()
    endpoints, pid = Endpoints(**status["endpoints"]), int(status["pid"])
    wanted = plan(issuer=endpoints.issuer, suffix="bench")
    tls = ssl.create_default_context(cafile=str(paths.ca_certificate))
    gateway_port = urlsplit(endpoints.gateway).port or 443
    async with operating(endpoints, paths) as operator:
        identity, _ = await operator.set_up_cloud(wanted)
        await operator.set_up_cluster(wanted, identity)
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE]},
        }
        review = await operator.kube.create_subresource(SERVICEACCOUNTS, "orders", "token", request, "shop")
        form = {
            "grant_type": "client_credentials",
            "client_id": identity.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": review["status"]["token"],
            "scope": "https://vault.azure.net/.default",
        }
        webhooks = await operator.kube.read(
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
            "/azure-wi-webhook-mutating-webhook-configuration"
        )
        pod_seconds = await pod_start.median_seconds(operator.kube)
        agent = await node_agent.measured(operator.kube, endpoints.kubeconfig)
        group = f"/subscriptions/{endpoints.subscription_id}/resourceGroups/{wanted.group}"
        arm_token = await operator._token(ARM)

    async def through_gateway(host: str, request: bytes, count: int) -> Rate:
        await measure(pid, gateway_port, request, tls=tls, server_name=host, count=count // 10)
        return await measure(pid, gateway_port, request, tls=tls, server_name=host, count=count)

    login = "login.microsoftonline.com"
    path = f"/{endpoints.tenant_id}/oauth2/v2.0/token"
    body = urlencode(form).encode()
    tokens = await through_gateway(login, post(login, path, body, "application/x-www-form-urlencoded"), 4_000)
    issuer = urlsplit(endpoints.issuer)
    keys = await through_gateway(issuer.netloc, get(issuer.netloc, f"{issuer.path}openid/v1/jwks"), 20_000)
    reads, writes = await resource_manager.rates(pid, gateway_port, tls, group=group, token=arm_token)
    port, review_path = webhook_review.address(webhooks.body)
    reviewed = post("127.0.0.1", review_path, webhook_review.review(identity.client_id), "application/json")
    await measure(pid, port, reviewed, tls=tls, server_name="127.0.0.1", count=500)
    reviews = await measure(pid, port, reviewed, tls=tls, server_name="127.0.0.1", count=6_000)
    return [
        share_of_signing("token over HTTP and TLS, journalled", tokens.per_core, signing),
        at_least("  the same", tokens.per_core, TOKENS_SHARE * signing, "/s/core"),
        at_least("issuer's key set", keys.per_core, 15_000, "/s/core"),
        at_least("Resource Manager, reads", reads.per_core, 1_500, "/s/core"),
        at_least("Resource Manager, identities made", writes.per_core, 700, "/s/core"),
        at_least("webhook, a 10 KB pod", reviews.per_core, 3_000, "/s/core"),
        at_most("  p99 at 16 connections", reviews.p99_seconds * 1_000, 15, "ms"),
        at_most("pod created to running, median", pod_seconds * 1_000, 100, "ms"),
        at_least("node agent, a kept token", agent.cached.per_core, 8_000, "/s/core"),
        at_most("  p99 at 64 connections", agent.cached.p99_seconds * 1_000, 10, "ms"),
        at_most("  resident, 250 pods on the node", agent.resident_mib, 50, "MiB"),
    ]


async def managed_clusters(paths: LabPaths) -> list[Figure]:
    status = Control(paths).status()
    pid = int(status["pid"])
    before = resident_mib(pid)
    async with operating(Endpoints(**status["endpoints"]), paths) as operator:
        seconds = await managed_cluster.median_seconds(operator)
        each = (resident_mib(pid) - before) / managed_cluster.CLUSTERS
        first = await first_token.median_seconds(operator) if status["runtime"]["name"] == "sandbox" else None
    return [
        *([at_most("pod created to its first pod identity token, median", first * 1_000, 300, "ms")] if first else []),
        at_most("managed cluster, request to ready, median", seconds, 2.0, "s"),
        at_most("  what it adds to the lab, resident", each, 10, "MiB"),
    ]


def kubernetes_rates() -> list[Figure]:
    found = asyncio.run(kubernetes_api.measured())
    return [
        at_least("Kubernetes API, creates", found.creates.per_core, 1_000, "/s/core"),
        at_least("Kubernetes API, gets", found.gets.per_core, 2_000, "/s/core"),
        at_most("Kubernetes API, a list of 10,000 pods", found.list_seconds * 1_000, 150, "ms"),
        at_most("  a change told to 1,000 watchers, p99", found.told_p99_seconds * 1_000, 250, "ms"),
        at_most("  the server meanwhile, of a core", found.told_cpu, 1.0, "cores"),
        at_most("  start to first answer, all stored", found.restart_seconds, 1.0, "s"),
        at_most("  its CPU time", found.restart_cpu_seconds, 1.0, "s"),
    ]


def controller_figures() -> list[Figure]:
    found = identity_controller.measured()
    return [
        at_most("controller, 10,000 pods: a look at all, CPU time", found.pass_seconds, 1.0, "s"),
        at_most("  a pod that gives its identity back, CPU time", found.event_seconds * 1_000, 5, "ms"),
        at_most("  resident", found.resident_mib, 150, "MiB"),
    ]


def identity_figures() -> list[Figure]:
    found = many_identities.measured()
    return [
        at_most("5,000 identities: a token matched among 20", found.match_seconds * 1_000, 0.1, "ms"),
        at_most("  all of them listed, page by page", found.list_seconds, 0.5, "s"),
        at_most("  the process meanwhile, resident", found.resident_mib, MIB_LAB, "MiB"),
    ]


def measure_all(home: Path) -> list[Figure]:
    paths = LabPaths.of("bench", home=home)

    def note(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    note("the RSA-2048 signing rate of one core")
    signing = signing_rate()
    figures = [Figure("RSA-2048 signatures (the yardstick)", f"{signing:,.0f} /s/core", "", 1.0)]

    note("the decision of a token request, without HTTP")
    decided = decision_rate()
    figures.append(share_of_signing("token decided: verify, match, sign", decided, signing))
    figures.append(at_least("  the same", decided, TOKENS_SHARE * signing, "/s/core"))

    note("lab up, three times")
    timed("lab", "up", "--name", "bench", home=home)
    stop(paths)

    def up() -> float:
        seconds = timed("lab", "up", "--name", "bench", home=home)
        stop(paths)
        return seconds

    figures.append(at_most("lab up to ready, whole command", best(3, up), 1.0, "s"))
    start(paths, home=home)
    try:
        figures.append(at_most("lab idle, resident", resident_mib(int(Control(paths).status()["pid"])), MIB_LAB, "MiB"))
        note("rates of the token endpoint, the key set, the webhook and the node agent; how soon a pod runs")
        figures += asyncio.run(server_rates(paths, signing))
        note("managed clusters beside the lab's own")
        figures += asyncio.run(managed_clusters(paths))
    finally:
        stop(paths)
        delete(paths)
    note("5,000 managed identities with 20 federated credentials each")
    figures += identity_figures()
    note("the controller of pod identity, with 10,000 pods on 500 nodes")
    figures += controller_figures()
    note("the embedded Kubernetes API, with 10,000 pods in it")
    figures += kubernetes_rates()
    note("the demonstration, three times")
    figures.append(at_most("demo, whole command", best(3, lambda: timed("demo", home=home)), 3.0, "s"))
    return figures


def main() -> None:
    # An installed podpass has its bytecode; a checkout is to have it too, or each start would compile all of it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    home = Path(tempfile.mkdtemp(prefix="podpass-bench-"))
    try:
        figures = measure_all(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    width = max(len(figure.what) for figure in figures)
    print(f"{'':<{width}}   {'measured':>16}   {'budget':>16}   ratio (above 1 is better than the budget)")
    for figure in figures:
        mark = "" if not figure.budget else f"{figure.ratio:5.2f}{'' if figure.ratio >= 1 else '   missed'}"
        print(f"{figure.what:<{width}}   {figure.measured:>16}   {figure.budget:>16}   {mark}")


if __name__ == "__main__":
    main()
