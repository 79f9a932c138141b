"""Stock kubectl and Services: exposed, listed, described, edited, deleted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from podpass.kube.resources import PODS
from podpass.lab.cluster.serviceaccounts.signing_keys import SIGNING_FILE
from podpass.tokens.keys import SigningKey
from tests.lab.cluster.api_server import api_server, kubectls
from tests.lab.cluster.kinds.test_cluster_kubectl_kinds import POD, Kubectl


@pytest.fixture(params=kubectls(), ids=lambda path: path.replace("/", "-").strip("-"))
async def kubectl(request: pytest.FixtureRequest, tmp_path: Path, signing_key: SigningKey) -> AsyncIterator[Kubectl]:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / SIGNING_FILE).write_bytes(signing_key.to_pem())
    async with api_server(tmp_path) as server:
        controllers = asyncio.create_task(server.cluster.run())
        try:
            yield Kubectl(server, request.param)
        finally:
            controllers.cancel()
            await asyncio.wait([controllers])


async def test_a_pod_is_exposed_and_shown_with_its_endpoints(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", POD)
    verbs = kubectl.server.cluster.verbs
    pod = verbs.get(PODS, "web", "shop")
    ready = {"type": "Ready", "status": "True"}
    status = {"phase": "Running", "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}], "conditions": [ready]}
    await verbs.update(PODS, {**pod, "status": status}, subresource="status")
    assert await kubectl("expose pod web --port=80 --target-port=8080") == "service/web exposed\n"
    await kubectl("wait --for=jsonpath={.endpoints[0].conditions.ready}=true endpointslices --all --timeout=10s")
    name, kind, address, external, ports, age, selector = (await kubectl("get svc web -o wide --no-headers")).split()
    assert (name, kind, external, ports, selector) == ("web", "ClusterIP", "<none>", "80/TCP", "app=web")
    assert address.startswith("10.96.")
    assert age.endswith("s")
    assert (await kubectl("get endpoints web --no-headers")).split()[:2] == ["web", "10.244.0.9:8080"]
    assert (await kubectl("get endpointslices --no-headers")).split()[1:4] == ["IPv4", "8080", "10.244.0.9"]
    described = await kubectl("describe svc web")
    assert "10.244.0.9:8080" in described
    assert "TargetPort:               8080/TCP" in described or "TargetPort:        8080/TCP" in described
    assert "service/web" in await kubectl("get all")
    assert (await kubectl("get svc --field-selector=spec.type=ClusterIP -o name")) == "service/web\n"
    assert await kubectl("delete svc web") in ('service "web" deleted\n', 'service "web" deleted from shop namespace\n')


async def test_every_kind_of_service_is_created_by_its_command(kubectl: Kubectl) -> None:
    await kubectl("create service clusterip a --tcp=5678:8080")
    await kubectl("create service clusterip b --clusterip=None")
    await kubectl("create service nodeport c --tcp=80:80 --node-port=31000")
    await kubectl("create service loadbalancer d --tcp=80:80")
    await kubectl("create service externalname e --external-name=db.example.test")
    rows = [row.split() for row in (await kubectl("get svc --no-headers")).splitlines()]
    shown = {row[0]: row[1:5] for row in rows}
    assert shown["a"][0::3] == ["ClusterIP", "5678/TCP"]
    assert shown["b"][:3] == ["ClusterIP", "None", "<none>"]
    assert shown["c"][0::3] == ["NodePort", "80:31000/TCP"]
    assert shown["d"][0::2] == ["LoadBalancer", "<pending>"]
    assert shown["e"][:3] == ["ExternalName", "<none>", "db.example.test"]
    refused = await kubectl.fails("create service nodeport f --tcp=80:80 --node-port=31000")
    assert "spec.ports[0].nodePort: Invalid value: 31000: provided port is already allocated" in refused


async def test_a_service_is_applied_changed_and_applied_again(kubectl: Kubectl) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
    }
    await kubectl("apply -f -", service)
    address = await kubectl("get svc web -o jsonpath={.spec.clusterIP}")
    assert await kubectl("apply -f -", service) == "service/web unchanged\n"
    service["spec"]["ports"].append({"name": "https", "port": 443})  # type: ignore[index]
    assert await kubectl("apply -f -", service) == "service/web configured\n"
    await kubectl("apply --server-side --force-conflicts -f -", service)
    assert await kubectl("get svc web -o jsonpath={.spec.clusterIP}") == address
    assert (await kubectl("get svc web --no-headers")).split()[4] == "80/TCP,443/TCP"
    await kubectl("set selector svc web app=other")
    assert await kubectl("get svc web -o jsonpath={.spec.selector.app}") == "other"
    assert "sessionAffinity" in await kubectl("explain service.spec")


async def test_the_older_way_to_ask_for_endpoints_comes_with_a_warning(kubectl: Kubectl) -> None:
    ran = await kubectl.run("get endpoints")
    assert "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in ran.err
