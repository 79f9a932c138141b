"""Services: what they may say, which addresses they get, and what their endpoints become."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.cluster.controllers import endpoints_state as state
from podpass.lab.cluster.kinds.services import external_addresses
from tests.lab.cluster.core_api import MERGE, Api, opened

SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


@contextlib.asynccontextmanager
async def running(api: Api) -> AsyncIterator[None]:
    task = asyncio.create_task(api.cluster.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }


async def made(api: Api, **spec: Any) -> dict[str, Any]:
    found = await api.made(SERVICES, service(**spec))
    return dict(found["spec"])


async def test_a_service_gets_its_defaults_and_an_address(api: Api) -> None:
    spec = await made(api)
    assert spec["type"] == "ClusterIP"
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ports"] == [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    assert (spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("None", "Cluster")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert "externalTrafficPolicy" not in spec


async def test_every_kind_of_service_has_what_belongs_to_it(api: Api) -> None:
    balanced = await made(api, name="lb", type="LoadBalancer")
    assert balanced["allocateLoadBalancerNodePorts"] is True
    assert balanced["externalTrafficPolicy"] == "Cluster"
    assert 30_000 <= balanced["ports"][0]["nodePort"] <= 32_767
    headless = await made(api, name="headless", clusterIP="None")
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    alias = await made(
        api, name="alias", type="ExternalName", externalName="db.example.test", ports=None, selector=None
    )
    assert "clusterIP" not in alias
    assert "ipFamilies" not in alias
    sticky = await made(api, name="sticky", sessionAffinity="ClientIP")
    assert sticky["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10_800}}
    bare = await made(api, name="bare", clusterIP="None", selector=None)
    assert (bare["ipFamilyPolicy"], bare["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"ports": []}, "spec.ports: Required value", id="no-ports"),
        pytest.param({"type": "Odd"}, 'spec.type: Unsupported value: "Odd": supported values:', id="type"),
        pytest.param(
            {"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535", id="port"
        ),
        pytest.param(
            {"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name: Required value", id="ports-need-names"
        ),
        pytest.param(
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            'spec.ports[1].name: Duplicate value: "a"',
            id="names-are-unique",
        ),
        pytest.param(
            {"ports": [{"port": 80, "targetPort": "Http"}]},
            'spec.ports[0].targetPort: Invalid value: "Http": must contain only alpha-numeric characters',
            id="target-name",
        ),
        pytest.param(
            {"ports": [{"port": 80, "nodePort": 30080}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            id="node-port-of-a-cluster-ip",
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range."
            " The range of valid ports is 30000-32767",
            id="node-port-range",
        ),
        pytest.param(
            {"clusterIP": "10.96.0.1"},
            'spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1:'
            " provided IP is already allocated",
            id="taken",
        ),
        pytest.param({"clusterIP": "192.0.2.1"}, "is not in the valid range. The range of valid IPs is", id="range"),
        pytest.param({"clusterIP": "ten"}, 'spec.clusterIPs[0]: Invalid value: "ten": must be a valid IP', id="no-ip"),
        pytest.param(
            {"type": "NodePort", "clusterIP": "None"}, "may not be set to 'None' for NodePort services", id="headless"
        ),
        pytest.param({"type": "ExternalName"}, "spec.externalName: Required value", id="no-external-name"),
        pytest.param(
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack',
            id="dual-stack",
        ),
        pytest.param(
            {"ipFamilies": ["IPv6"]},
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
            id="ipv6",
        ),
        pytest.param(
            {"externalTrafficPolicy": "Local"}, "may only be set for externally-accessible services", id="policy"
        ),
        pytest.param({"externalIPs": ["127.0.0.1"]}, "may not be in the loopback range", id="loopback"),
        pytest.param(
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
            "must be greater than 0 and less than 86400",
            id="affinity",
        ),
    ],
)
async def test_what_a_service_may_not_say_is_refused_in_the_api_servers_words(
    api: Api, spec: dict[str, Any], said: str
) -> None:
    answer = await api("POST", SERVICES, service(**spec))
    assert answer.status == 422, answer.raw
    assert said in answer.body["message"]
    assert (await api("GET", f"{SERVICES}/web")).status == 404


async def test_the_name_of_a_service_begins_with_a_letter(api: Api) -> None:
    answer = await api("POST", SERVICES, service("1web"))
    assert answer.status == 422
    assert "a DNS-1035 label must consist of" in answer.body["message"]


async def test_an_address_is_for_life_and_free_afterwards(api: Api) -> None:
    address = (await made(api))["clusterIP"]
    for change in ({"clusterIP": "10.96.9.9"}, {"clusterIP": "None"}):
        answer = await api("PATCH", f"{SERVICES}/web", {"spec": change}, content_type=MERGE)
        assert answer.status == 422
        assert "may not change once set" in answer.body["message"]
    taken = await api("POST", SERVICES, service("other", clusterIP=address))
    assert "provided IP is already allocated" in taken.body["message"]
    deleted = await api("DELETE", f"{SERVICES}/web")
    assert deleted.body["kind"] == "Service"
    assert (await made(api, name="other", clusterIP=address))["clusterIP"] == address


async def test_an_update_that_leaves_allocated_values_out_keeps_them(api: Api) -> None:
    before = await made(api, type="NodePort")
    answer = await api("PUT", f"{SERVICES}/web", service(type="NodePort"))
    assert answer.status == 200, answer.raw
    assert answer.body["spec"] == before


async def test_a_change_of_type_drops_what_belonged_to_the_former_one(api: Api) -> None:
    address = (await made(api, type="LoadBalancer"))["clusterIP"]
    changed = await api("PATCH", f"{SERVICES}/web", {"spec": {"type": "ClusterIP"}}, content_type=MERGE)
    spec = changed.body["spec"]
    assert spec["clusterIP"] == address
    assert "nodePort" not in spec["ports"][0]
    assert not {"externalTrafficPolicy", "allocateLoadBalancerNodePorts"} & spec.keys()
    alias = {"spec": {"type": "ExternalName", "externalName": "db.example.test"}}
    changed = await api("PATCH", f"{SERVICES}/web", alias, content_type=MERGE)
    assert changed.status == 200, changed.raw
    assert "clusterIP" not in changed.body["spec"]
    back = {"spec": {"type": "ClusterIP", "externalName": None}}
    changed = await api("PATCH", f"{SERVICES}/web", back, content_type=MERGE)
    assert changed.body["spec"]["clusterIP"].startswith("10.96.")


async def test_no_node_port_is_given_twice(api: Api) -> None:
    number = (await made(api, type="NodePort"))["ports"][0]["nodePort"]
    again = await api("POST", SERVICES, service("two", type="NodePort", ports=[{"port": 80, "nodePort": number}]))
    assert "provided port is already allocated" in again.body["message"]
    both = [
        {"name": "t", "port": 53, "nodePort": 31053, "protocol": "TCP"},
        {"name": "u", "port": 53, "nodePort": 31053, "protocol": "UDP"},
    ]
    await made(api, name="dns", type="NodePort", ports=both)


async def test_a_dry_run_takes_nothing(api: Api) -> None:
    tried = await api("POST", f"{SERVICES}?dryRun=All", service(clusterIP="10.96.7.7"))
    assert tried.body["spec"]["clusterIP"] == "10.96.7.7"
    assert (await made(api, clusterIP="10.96.7.7"))["clusterIP"] == "10.96.7.7"


async def test_addresses_stay_taken_over_restarts(cluster_keys: Path, tmp_path: Path) -> None:
    found = set()
    for turn in range(3):
        async with opened(cluster_keys, database=tmp_path / "lab.db") as api:
            for number in range(4):
                spec = await made(api, name=f"s{turn}-{number}", type="NodePort")
                found.add((spec["clusterIP"], spec["ports"][0]["nodePort"]))
    assert len({address for address, _ in found}) == 12
    assert len({port for _, port in found}) == 12


async def test_concurrent_creates_get_different_addresses(api: Api) -> None:
    answers = await asyncio.gather(
        *(api("POST", SERVICES, service(f"s{number}", type="NodePort")) for number in range(40))
    )
    specs = [answer.body["spec"] for answer in answers]
    assert len({spec["clusterIP"] for spec in specs}) == 40
    assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 40


async def test_services_are_selected_by_their_fields(api: Api) -> None:
    address = (await made(api))["clusterIP"]
    await made(api, name="node", type="NodePort")
    by_type = await api("GET", f"{SERVICES}?fieldSelector=spec.type=NodePort")
    assert [each["metadata"]["name"] for each in by_type.body["items"]] == ["node"]
    by_address = await api("GET", f"{SERVICES}?fieldSelector=spec.clusterIP={address}")
    assert [each["metadata"]["name"] for each in by_address.body["items"]] == ["web"]


async def test_the_service_kubernetes_is_there_and_comes_back(api: Api) -> None:
    found = (await api("GET", f"{SERVICES}/kubernetes")).body
    assert found["spec"]["clusterIP"] == "10.96.0.1"
    assert found["metadata"]["labels"]["provider"] == "kubernetes"
    async with running(api):
        await api("DELETE", f"{SERVICES}/kubernetes")
        await until(api, f"{SERVICES}/kubernetes", lambda body: body.get("kind") == "Service")


def test_a_load_balancer_shows_what_it_was_given() -> None:
    waiting = {"spec": {"type": "LoadBalancer"}}
    assert external_addresses(waiting) == "<pending>"
    given = {**waiting, "status": {"loadBalancer": {"ingress": [{"ip": "127.0.10.1"}]}}}
    assert external_addresses(given) == "127.0.10.1"


# Endpoints


async def until(api: Api, path: str, holds: Any) -> Any:
    async with asyncio.timeout(10):
        while True:
            body = (await api("GET", path)).body
            if holds(body):
                return body
            await asyncio.sleep(0.01)


async def make_pod(
    api: Api, name: str, address: str, *, ready: bool = True, port: int = 8080, labels: dict[str, str] | None = None
) -> None:
    container = {"name": "c", "image": "web", "ports": [{"name": "http", "containerPort": port}]}
    body = {
        "metadata": {"name": name, "labels": labels or {"app": "web"}},
        "spec": {"containers": [container], "nodeName": "lab-node"},
    }
    assert (await api("POST", PODS, body)).status == 201
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
    answer = await api("PATCH", f"{PODS}/{name}/status", {"status": status}, content_type=MERGE)
    assert answer.status == 200, answer.raw


def ready_addresses(slices: dict[str, Any], service: str = "web") -> set[str]:
    return {
        endpoint["addresses"][0]
        for each in slices.get("items", [])
        if each["metadata"]["labels"].get("kubernetes.io/service-name") == service
        for endpoint in each["endpoints"]
        if endpoint["conditions"]["ready"]
    }


async def test_endpoints_follow_pods(api: Api) -> None:
    async with running(api):
        await made(api)
        await make_pod(api, "a", "10.244.0.5")
        await make_pod(api, "b", "10.244.0.6", ready=False)
        slices = await until(api, SLICES, lambda body: len(body["items"]) > 0 and ready_addresses(body))
        assert ready_addresses(slices) == {"10.244.0.5"}
        found = await until(
            api, f"{ENDPOINTS}/web", lambda body: "notReadyAddresses" in (body.get("subsets") or [{}])[0]
        )
        (subset,) = found["subsets"]
        assert [each["ip"] for each in subset["addresses"]] == ["10.244.0.5"]
        assert subset["addresses"][0]["targetRef"]["name"] == "a"
        assert subset["addresses"][0]["nodeName"] == "lab-node"
        assert [each["ip"] for each in subset["notReadyAddresses"]] == ["10.244.0.6"]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        slices = await until(api, SLICES, lambda body: len(body["items"][0]["endpoints"]) == 2)
        (each,) = [each for each in slices["items"] if each["metadata"]["generateName"] == "web-"]
        assert each["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
        assert each["metadata"]["ownerReferences"][0]["kind"] == "Service"
        await api("DELETE", f"{PODS}/a?gracePeriodSeconds=0")
        await until(api, SLICES, lambda body: not ready_addresses(body))
        await api("DELETE", f"{SERVICES}/web")
        await until(api, SLICES, lambda body: not [each for each in body["items"] if "web-" in str(each["metadata"])])
        await until(api, f"{ENDPOINTS}/web", lambda body: body.get("code") == 404)


async def test_a_pod_that_ends_is_shown_as_such_and_gets_no_traffic(api: Api) -> None:
    async with running(api):
        await made(api)
        await make_pod(api, "a", "10.244.0.5")
        await until(api, SLICES, ready_addresses)
        await api("DELETE", f"{PODS}/a")
        slices = await until(api, SLICES, lambda body: body["items"][0]["endpoints"][0]["conditions"]["terminating"])
        conditions = slices["items"][0]["endpoints"][0]["conditions"]
        assert conditions == {"ready": False, "serving": True, "terminating": True}
        await until(api, f"{ENDPOINTS}/web", lambda body: not body.get("subsets"))


async def test_hand_made_endpoints_are_mirrored(api: Api) -> None:
    async with running(api):
        await made(api, selector=None)
        subset = {"addresses": [{"ip": "10.244.0.77"}], "ports": [{"port": 5432}]}
        await api.made(ENDPOINTS, {"metadata": {"name": "web"}, "subsets": [subset]})
        slices = await until(api, SLICES, ready_addresses)
        (mirror,) = [each for each in slices["items"] if ready_addresses({"items": [each]})]
        labels = mirror["metadata"]["labels"]
        assert labels["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
        assert mirror["ports"] == [{"name": "", "protocol": "TCP", "port": 5432}]
        await api("DELETE", f"{ENDPOINTS}/web")
        await until(api, SLICES, lambda body: not ready_addresses(body))


POD_COUNTER = itertools.count(1)


def pod(name: str = "", *, ready: bool = True, ending: bool = False, port: int = 8080, **spec: Any) -> dict[str, Any]:
    number = next(POD_COUNTER)
    meta: dict[str, Any] = {"name": name or f"p{number}", "namespace": "default", "uid": f"u{number}"}
    if ending:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": meta,
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": port}]}], **spec},
        "status": {
            "podIP": f"10.244.{number // 250 % 250}.{number % 250 + 1}",
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def groups(of: dict[str, Any], pods: list[dict[str, Any]]) -> list[state.Group]:
    return state.groups(found for each in pods if (found := state.backend(of, each)) is not None)


@pytest.mark.parametrize(
    ("ready", "ending", "publish", "conditions"),
    [
        pytest.param(True, False, False, (True, True, False), id="ready"),
        pytest.param(False, False, False, (False, False, False), id="not-ready"),
        pytest.param(True, True, False, (False, True, True), id="ending-and-still-serving"),
        pytest.param(False, True, False, (False, False, True), id="ending"),
        pytest.param(False, False, True, (True, True, False), id="published-though-not-ready"),
        pytest.param(True, True, True, (True, True, True), id="published-to-the-end"),
    ],
)
def test_conditions_say_ready_serving_and_terminating(
    ready: bool, ending: bool, publish: bool, conditions: tuple[bool, bool, bool]
) -> None:
    found = state.backend(service(publishNotReadyAddresses=publish), pod(ready=ready, ending=ending))
    assert found is not None
    assert (found.ready, found.serving, found.terminating) == conditions


def test_a_pod_without_an_address_or_past_its_end_is_no_endpoint() -> None:
    without, over = pod(), pod()
    del without["status"]["podIP"]
    over["status"]["phase"] = "Succeeded"
    assert [state.backend(service(), each) for each in (without, over)] == [None, None]


def test_a_named_port_may_differ_from_pod_to_pod() -> None:
    named = service(ports=[{"port": 80, "targetPort": "http"}])
    found = groups(named, [pod(port=8080), pod(port=9090)])
    assert [[port[1] for port in group.ports] for group in found] == [[8080], [9090]]
    assert len(state.slices(found)) == 2


def test_a_pod_of_a_headless_service_has_a_name_of_its_own() -> None:
    headless = {**service("db", clusterIP="None", clusterIPs=["None"])}
    headless["metadata"]["namespace"] = "default"
    found = groups(headless, [pod("db-0", hostname="db-0", subdomain="db")])
    assert state.slices(found)[0].endpoints[0]["hostname"] == "db-0"


@settings(max_examples=40, deadline=None)
@given(before=st.integers(0, 350), after=st.integers(0, 350), gone=st.sets(st.integers(0, 349), max_size=20))
def test_slices_hold_every_endpoint_once_and_settle(before: int, after: int, gone: set[int]) -> None:
    pods = [pod(f"p{number:03}") for number in range(max(before, after))]
    labels = {"a": "b"}

    def wanted(count: int, without: set[int]) -> list[state.Slice]:
        chosen = [each for number, each in enumerate(pods[:count]) if number not in without]
        return state.slices(groups(service(), chosen))

    def applied(present: list[dict[str, Any]], slices: list[state.Slice]) -> list[dict[str, Any]]:
        changes = state.differences(slices, present, labels)
        kept = [each for each in present if each not in changes.delete]
        for change in changes.update:
            kept[kept.index(change.old)] = body(change.new, change.old["metadata"]["name"])
        return kept + [body(each, f"n{len(kept) + number}") for number, each in enumerate(changes.create)]

    def body(each: state.Slice, name: str) -> dict[str, Any]:
        meta = {"name": name, "labels": labels}
        return {"metadata": meta, "ports": each.ports_body(), "endpoints": list(each.endpoints)}

    present = applied([], wanted(before, set()))
    final = wanted(after, gone)
    present = applied(present, final)
    assert state.differences(final, present, labels) == state.Changes()
    names = [endpoint["targetRef"]["name"] for each in present for endpoint in each["endpoints"]]
    assert sorted(names) == [f"p{number:03}" for number in range(after) if number not in gone]
    assert all(len(each["endpoints"]) <= state.MOST_PER_SLICE for each in present)


def test_a_change_of_one_pod_is_a_change_of_one_slice() -> None:
    pods = [pod(f"p{number:03}") for number in range(350)]
    made = state.differences(state.slices(groups(service(), pods)), [], {}).create
    present = [
        {"metadata": {"name": f"s{number}"}, "ports": each.ports_body(), "endpoints": list(each.endpoints)}
        for number, each in enumerate(made)
    ]
    changed = {**pods[120], "status": {**pods[120]["status"], "conditions": []}}
    added = pod("p120-5")

    def slices_written(chosen: list[dict[str, Any]]) -> list[tuple[str, int]]:
        changes = state.differences(state.slices(groups(service(), chosen)), present, {})
        assert (changes.create, changes.delete) == ((), ())
        return [(change.old["metadata"]["name"], len(change.new.endpoints)) for change in changes.update]

    assert slices_written([*pods[:120], changed, *pods[121:]]) == [("s1", 100)]
    assert slices_written([*pods[:120], *pods[121:]]) == [("s1", 99)]
    assert slices_written([*pods, added]) == [("s3", 51)]
    assert slices_written([*pods[:120], added, *pods[121:]]) == [("s1", 100)]


def test_hand_made_subsets_with_the_same_ports_share_slices() -> None:
    ports = [{"port": 80, "protocol": "TCP"}]
    subsets = [{"addresses": [{"ip": f"10.0.0.{number}"}], "ports": ports} for number in (1, 2)]
    (found,) = state.mirrored({"subsets": subsets})
    assert [each["addresses"] for each in found.endpoints] == [["10.0.0.1"], ["10.0.0.2"]]
