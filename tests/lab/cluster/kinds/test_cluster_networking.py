"""Ingresses, their classes and NetworkPolicies: what is refused, in the API server's words, and what is shown."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster.core_api import Api, opened

NETWORKING = "/apis/networking.k8s.io/v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
SERVICE = {"service": {"name": "web", "port": {"number": 80}}}


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as api:
        await api.made("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        yield api


def path(kind: str) -> str:
    return f"{NETWORKING}/ingressclasses" if kind == "ingressclasses" else f"{NETWORKING}/namespaces/shop/{kind}"


def paths(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"rules": [{"http": {"paths": list(entries)}}]}


@pytest.mark.parametrize(
    ("kind", "spec", "text"),
    [
        pytest.param("ingresses", {}, "spec: Invalid value: null: either `defaultBackend` or", id="nothing"),
        pytest.param(
            "ingresses", {"rules": [{"host": "1.2.3.4"}]}, "must be a DNS name, not an IP address", id="address"
        ),
        pytest.param(
            "ingresses", {"rules": [{"host": "A"}]}, 'rules[0].host: Invalid value: "A": a lowercase', id="host"
        ),
        pytest.param("ingresses", {"rules": [{"host": "*.*.x"}]}, "a wildcard DNS-1123 subdomain must", id="wildcard"),
        pytest.param("ingresses", paths(), "spec.rules[0].http.paths: Required value", id="no-paths"),
        pytest.param("ingresses", paths({"path": "/"}), "pathType: Required value: pathType must be", id="no-type"),
        pytest.param(
            "ingresses",
            paths({"path": "/", "pathType": "Nope", "backend": SERVICE}),
            'Unsupported value: "Nope": supported values: "Exact", "ImplementationSpecific", "Prefix"',
            id="type",
        ),
        pytest.param(
            "ingresses",
            paths({"path": "/a//b", "pathType": "Exact", "backend": SERVICE}),
            "not contain '//'",
            id="path",
        ),
        pytest.param(
            "ingresses",
            paths({"path": "/", "pathType": "Exact"}),
            "resource or service backend is required",
            id="backend",
        ),
        pytest.param(
            "ingresses",
            {"defaultBackend": {"service": {"name": "a", "port": {"number": 1, "name": "a"}}}},
            'spec.defaultBackend: Invalid value: "": cannot set both port name & port number',
            id="two-ports",
        ),
        pytest.param(
            "ingresses",
            {"defaultBackend": {**SERVICE, "resource": {"kind": "K", "name": "x"}}},
            "cannot set both resource and service backends",
            id="two-backends",
        ),
        pytest.param("ingressclasses", {}, "spec.controller: Required value", id="no-controller"),
        pytest.param(
            "ingressclasses", {"controller": "x"}, 'must be a domain-prefixed path (such as "acme.io', id="bare"
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {}, "policyTypes": ["X"]},
            'spec.policyTypes[0]: Unsupported value: "X": supported values: "Ingress", "Egress"',
            id="policy-type",
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {}, "ingress": [{"from": [{}]}]},
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            id="no-peer",
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {}, "egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
            id="two-peers",
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]},
            "must be a strict subset of `cidr`",
            id="except",
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]},
            "must not have bits set beyond the prefix length",
            id="bits",
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 70}]}]},
            "must be greater than or equal to `port`",
            id="range",
        ),
        pytest.param(
            "networkpolicies",
            {"podSelector": {"matchLabels": {"a b": "c"}}},
            "spec.podSelector.matchLabels: Invalid value",
            id="selector",
        ),
    ],
)
async def test_what_is_refused(api: Api, kind: str, spec: dict[str, Any], text: str) -> None:
    answer = await api("POST", path(kind), {"metadata": {"name": "x"}, "spec": spec})
    assert answer.status == 422, answer.raw
    assert text in answer.body["message"]
    assert (await api("GET", path(kind))).body["items"] == []


async def test_defaults(api: Api) -> None:
    spec = {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}
    policy = await api.made(path("networkpolicies"), {"metadata": {"name": "x"}, "spec": spec})
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]
    ingress = await api.made(path("ingresses"), {"metadata": {"name": "x"}, "spec": {"defaultBackend": SERVICE}})
    assert ingress["status"] == {"loadBalancer": {}}


async def test_tables(api: Api) -> None:
    rules = [{"host": f"{letter}.example.test"} for letter in "abcde"]
    spec = {"ingressClassName": "own", "rules": rules, "tls": [{"hosts": ["a.example.test"]}]}
    await api.made(path("ingresses"), {"metadata": {"name": "x"}, "spec": spec})
    await api.made(path("ingressclasses"), {"metadata": {"name": "own"}, "spec": {"controller": "a.b/c"}})
    selector = {"matchLabels": {"app": "web"}}
    await api.made(path("networkpolicies"), {"metadata": {"name": "x"}, "spec": {"podSelector": selector}})

    async def cells(kind: str) -> list[Any]:
        found: list[Any] = (await api("GET", path(kind), accept=TABLE)).body["rows"][0]["cells"]
        return found[:-1]

    hosts = "a.example.test,b.example.test,c.example.test + 2 more..."
    assert await cells("ingresses") == ["x", "own", hosts, "", "80, 443"]
    assert await cells("ingressclasses") == ["own", "a.b/c", "<none>"]
    assert await cells("networkpolicies") == ["x", "app=web"]


async def test_the_controller_of_a_class_stays(api: Api) -> None:
    made = await api.made(path("ingressclasses"), {"metadata": {"name": "own"}, "spec": {"controller": "a.b/c"}})
    made["spec"]["controller"] = "a.b/d"
    answer = await api("PUT", f"{path('ingressclasses')}/own", made)
    assert (answer.status, "field is immutable" in answer.body["message"]) == (422, True)
