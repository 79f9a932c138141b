"""Custom resources over the API: definitions, objects, versions, subresources, and the end of them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.lab.cluster.core_api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, on_a_socket, opened
from tests.lab.cluster.customresources.custom_resources import (
    CRON_SPEC,
    CRON_TABS,
    DEFINITIONS,
    condition,
    cron_tab,
    cron_tabs,
    definition,
    established,
    gone,
    schema,
    until,
)

CRON_TAB_DEFINITION = f"{DEFINITIONS}/crontabs.stable.example.com"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with established(cluster_keys, cron_tabs()) as found:
        yield found


async def served(api: Api, *versions: dict[str, Any]) -> None:
    """Give the CronTabs these versions."""
    found = (await api("GET", CRON_TAB_DEFINITION)).body
    found["spec"]["versions"] = list(versions)
    answer = await api("PUT", CRON_TAB_DEFINITION, found)
    assert answer.status == 200, answer.raw


def version(name: str, spec: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": False, "schema": schema(spec=spec), **members}


# Definitions


async def test_a_definition_is_established_with_its_names(api: Api) -> None:
    found = (await api("GET", CRON_TAB_DEFINITION)).body
    assert [(each["type"], each["status"], each["reason"]) for each in found["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert found["status"]["acceptedNames"] == {
        "plural": "crontabs",
        "singular": "crontab",
        "shortNames": ["ct"],
        "kind": "CronTab",
        "listKind": "CronTabList",
        "categories": ["all", "tabs"],
    }
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["spec"]["conversion"] == {"strategy": "None"}


async def test_a_status_in_the_manifest_is_ignored(cluster_keys: Path) -> None:
    body = cron_tabs() | {"status": {"conditions": None, "storedVersions": ["v9"], "acceptedNames": {"kind": "X"}}}
    async with established(cluster_keys, body) as api:
        assert (await api("GET", CRON_TAB_DEFINITION)).body["status"]["storedVersions"] == ["v1"]


async def test_a_kind_is_in_discovery_before_anybody_sees_it_established(cluster_keys: Path) -> None:
    async with established(cluster_keys) as api:
        seen: list[int] = []

        def look(change: Any) -> None:
            if b'"InitialNamesAccepted"' in change.stored.body:
                seen.append(api.cluster.registry.find("stable.example.com", "v1", "crontabs") is not None)

        api.cluster.storage.listen(look)
        await api.made(DEFINITIONS, cron_tabs())
        await condition(api, "crontabs.stable.example.com", "Established")
        assert seen == [True]
        legacy = (await api("GET", "/apis/stable.example.com/v1")).body["resources"]
        assert [each["name"] for each in legacy] == ["crontabs", "crontabs/status", "crontabs/scale"]
        assert legacy[2]["group"], legacy[2]["kind"] == ("autoscaling", "Scale")
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        groups = (await api("GET", "/apis", accept=accept)).body["items"]
        (mine,) = (each for each in groups if each["metadata"].get("name") == "stable.example.com")
        (resource,) = mine["versions"][0]["resources"]
        assert (resource["shortNames"], resource["categories"]) == (["ct"], ["all", "tabs"])


@pytest.mark.parametrize(
    ("member", "names", "message"),
    [
        ("PluralConflict", {"plural": "ct", "kind": "Other"}, '"ct" is already in use'),
        (
            "SingularConflict",
            {"plural": "others", "singular": "crontab", "kind": "Other"},
            '"crontab" is already in use',
        ),
        (
            "ShortNamesConflict",
            {"plural": "others", "kind": "Other", "shortNames": ["x", "ct"]},
            '"ct" is already in use',
        ),
        (
            "KindConflict",
            {"plural": "others", "singular": "other", "kind": "CronTab", "listKind": "Others"},
            '"CronTab" is already in use',
        ),
        (
            "ListKindConflict",
            {"plural": "others", "kind": "Other", "listKind": "CronTabList"},
            '"CronTabList" is already in use',
        ),
    ],
)
async def test_a_name_that_is_taken_is_not_given_twice(
    api: Api, member: str, names: dict[str, Any], message: str
) -> None:
    other = definition(f"{names['plural']}.stable.example.com", schema=schema(spec=CRON_SPEC))
    other["spec"]["names"] = names
    await api.made(DEFINITIONS, other)
    found = await condition(api, other["metadata"]["name"], "NamesAccepted", "False")
    reasons = {
        each["type"]: (each["status"], each["reason"], each["message"]) for each in found["status"]["conditions"]
    }
    assert reasons["NamesAccepted"] == ("False", member, message)
    assert reasons["Established"] == ("False", "NotAccepted", "not all names are accepted")
    path = f"/apis/stable.example.com/v1/namespaces/default/{names['plural']}"
    assert (await api("GET", path)).status == 404
    # The names are free once the first definition is gone.
    await api("DELETE", CRON_TAB_DEFINITION)
    await condition(api, other["metadata"]["name"], "Established")
    assert (await api("GET", path)).status == 200


@pytest.mark.parametrize(
    ("annotation", "state"),
    [
        ("https://github.com/kubernetes/enhancements/pull/1111", ("True", "ApprovedAnnotation")),
        ("unapproved, legacy API", ("False", "UnapprovedAnnotation")),
    ],
)
async def test_groups_of_kubernetes_need_an_annotation(
    cluster_keys: Path, annotation: str, state: tuple[str, str]
) -> None:
    body = definition("widgets.apps.k8s.io", "Widget", schema=schema(spec=CRON_SPEC))
    async with established(cluster_keys) as api:
        refused = await api("POST", DEFINITIONS, body)
        assert refused.status == 422
        assert (
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups"
            in (refused.body["message"])
        )
        body["metadata"]["annotations"] = {"api-approved.kubernetes.io": annotation}
        await api.made(DEFINITIONS, body)
        found = await condition(api, "widgets.apps.k8s.io", "Established")
        approval = {each["type"]: (each["status"], each["reason"]) for each in found["status"]["conditions"]}
        assert approval["KubernetesAPIApprovalPolicyConformant"] == state


async def test_a_definition_is_replaced_only_by_who_knows_its_version(api: Api) -> None:
    answer = await api("PUT", CRON_TAB_DEFINITION, cron_tabs())
    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in answer.body["message"]


async def test_rules_in_cel_are_held_to(cluster_keys: Path) -> None:
    rules = [
        {"rule": "self.least <= self.most", "message": "least is above most"},
        {"rule": "self.most >= oldSelf.most", "messageExpression": "'most was ' + string(oldSelf.most)"},
    ]
    number = {"type": "integer"}
    spec = {"type": "object", "properties": {"least": number, "most": number}, "x-kubernetes-validations": rules}
    async with established(cluster_keys, definition(schema=schema(spec=spec))) as api:
        body = cron_tab() | {"spec": {"least": 2, "most": 1}}
        refused = await api("POST", CRON_TABS, body)
        assert refused.body["message"] == (
            'CronTab.stable.example.com "a" is invalid: spec: Invalid value: least is above most'
        )
        await api.made(CRON_TABS, body | {"spec": {"least": 1, "most": 5}})
        refused = await api("PATCH", f"{CRON_TABS}/a", {"spec": {"most": 4}}, content_type=MERGE)
        assert "spec: Invalid value: most was 5" in refused.body["message"]
        spec["x-kubernetes-validations"] = [{"rule": "self.least +"}]
        broken = definition("others.example.com", "Other", schema=schema(spec=spec))
        refused = await api("POST", DEFINITIONS, broken)
        assert refused.status == 422
        assert "x-kubernetes-validations[0].rule: Invalid value: " in refused.body["message"]


async def test_names_and_scope_stay_what_they_are(api: Api) -> None:
    patch = {"spec": {"scope": "Cluster", "names": {"kind": "Other", "plural": "others"}, "group": "other.example.com"}}
    answer = await api("PATCH", CRON_TAB_DEFINITION, patch, content_type=MERGE)
    assert answer.status == 422
    for place in ("spec.scope", "spec.names.kind", "spec.names.plural", "spec.group"):
        assert f"{place}: Invalid value: " in answer.body["message"]
        assert "field is immutable" in answer.body["message"]


async def test_unknown_members_of_a_definition_are_named(cluster_keys: Path) -> None:
    body = cron_tabs()
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["minimun"] = 1
    async with established(cluster_keys) as api:
        answer = await api("POST", f"{DEFINITIONS}?fieldValidation=Strict", body)
        assert (answer.status, answer.body["message"]) == (
            400,
            'CustomResourceDefinition in version "v1" cannot be handled as a CustomResourceDefinition: strict decoding'
            ' error: unknown field "spec.versions[0].schema.openAPIV3Schema.properties.spec.minimun"',
        )


async def test_formats_that_nobody_checks_are_warned_of(cluster_keys: Path) -> None:
    body = definition(schema=schema(spec={"type": "object", "properties": {"x": {"type": "string", "format": "odd"}}}))
    async with established(cluster_keys) as api:
        answer = await api("POST", DEFINITIONS, body)
        assert answer.headers["warning"] == r'299 - "unrecognized format \"odd\""'


# Objects


async def test_defaults_are_filled_in_and_unknown_members_go(api: Api) -> None:
    body = cron_tab(image=None, oops={"deep": 1})
    body["extra"], body["metadata"]["clusterName"] = 1, "x"
    answer = await api("POST", CRON_TABS, body)
    assert answer.status == 201
    assert answer.body["spec"] == {"cronSpec": "* * * * */5", "image": "busybox", "replicas": 1}
    assert "extra" not in answer.body
    assert "clusterName" not in answer.body["metadata"]
    assert (await api("GET", f"{CRON_TABS}/a")).body == answer.body


@pytest.mark.parametrize(
    ("media_type", "status", "message"),
    [
        pytest.param(
            "",
            400,
            'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.oops",'
            ' duplicate field "spec.image"',
            id="create",
        ),
        pytest.param(
            MERGE, 422, 'strict decoding error: unknown field "spec.oops", duplicate field "spec.image"', id="merge"
        ),
        pytest.param(
            APPLY,
            500,
            "failed to create typed patch object (/a; stable.example.com/v1, Kind=CronTab): .spec.oops: field not"
            " declared in schema",
            id="apply",
        ),
    ],
)
async def test_strict_validation_names_every_unknown_and_repeated_member(
    api: Api, media_type: str, status: int, message: str
) -> None:
    raw = json.dumps(cron_tab(oops=1)).replace('"oops": 1', '"oops": 1, "image": "a", "image": "b"').encode()
    if media_type:
        await api.made(CRON_TABS, cron_tab())
        path = f"{CRON_TABS}/a?fieldValidation=Strict&fieldManager=m"
        answer = await api("PATCH", path, raw, content_type=media_type)
    else:
        answer = await api("POST", f"{CRON_TABS}?fieldValidation=Strict", raw)
    assert answer.status == status
    assert answer.body["message"].endswith(message)
    ignored = await api("POST", f"{CRON_TABS}?fieldValidation=Ignore", raw.replace(b'"a"', b'"b"', 1))
    assert (ignored.status, "warning" in ignored.headers) == (201, False)


async def test_what_the_schema_refuses_is_refused_with_its_causes(api: Api) -> None:
    body = cron_tab(replicas=0, image=3)
    del body["spec"]["cronSpec"]
    answer = await api("POST", CRON_TABS, body)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
            "field": "spec.replicas",
        },
        {
            "reason": "FieldValueTypeInvalid",
            "message": 'Invalid value: "integer": spec.image in body must be of type string: "integer"',
            "field": "spec.image",
        },
        {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.cronSpec"},
    ]
    assert answer.body["message"].startswith('CronTab.stable.example.com "a" is invalid: [spec.replicas: ')
    assert (await api("GET", CRON_TABS)).body["items"] == []


async def test_patches_of_three_kinds_and_not_the_fourth(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    path = f"{CRON_TABS}/a"
    assert (await api("PATCH", path, {"spec": {"replicas": 2}}, content_type=MERGE)).body["spec"]["replicas"] == 2
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert (await api("PATCH", path, operations, content_type=JSON_PATCH)).body["spec"]["replicas"] == 3
    answer = await api("PATCH", path, {"spec": {"replicas": 4}}, content_type=STRATEGIC)
    assert answer.status == 415
    assert "strategic" not in answer.body["message"]


async def test_an_unchanged_value_that_became_invalid_may_stay(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab(replicas=9, image="old"))
    stricter = json.loads(json.dumps(CRON_SPEC))
    stricter["properties"]["replicas"]["maximum"] = 5
    await served(api, version("v1", stricter, storage=True))
    path = f"{CRON_TABS}/a"
    assert (await api("PATCH", path, {"spec": {"image": "new"}}, content_type=MERGE)).status == 200
    answer = await api("PATCH", path, {"spec": {"replicas": 8}}, content_type=MERGE)
    assert answer.status == 422
    assert "spec.replicas in body should be less than or equal to 5" in answer.body["message"]


async def test_generation_counts_changes_of_all_but_metadata_and_status(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    path = f"{CRON_TABS}/a"
    labelled = await api("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    assert labelled.body["metadata"]["generation"] == 1
    changed = await api("PATCH", path, {"spec": {"replicas": 2}}, content_type=MERGE)
    assert changed.body["metadata"]["generation"] == 2
    status = await api("PATCH", f"{path}/status", {"status": {"replicas": 2}}, content_type=MERGE)
    assert status.body["metadata"]["generation"] == 2


async def test_without_a_status_subresource_status_is_plain_data(cluster_keys: Path) -> None:
    status = {"type": "object", "properties": {"phase": {"type": "string"}}}
    body = definition(schema=schema(spec=CRON_SPEC, status=status), subresources={})
    async with established(cluster_keys, body) as api:
        made = await api.made(CRON_TABS, cron_tab() | {"status": {"phase": "x"}})
        assert made["status"] == {"phase": "x"}
        assert (await api("GET", f"{CRON_TABS}/a/status")).status == 404
        patched = await api("PATCH", f"{CRON_TABS}/a", {"status": {"phase": "y"}}, content_type=MERGE)
        assert (patched.body["status"], patched.body["metadata"]["generation"]) == ({"phase": "y"}, 2)


async def test_a_status_subresource_keeps_both_sides_apart(api: Api) -> None:
    made = await api.made(CRON_TABS, cron_tab() | {"status": {"replicas": 7}})
    assert "status" not in made
    path = f"{CRON_TABS}/a"
    both = {"spec": {"replicas": 5}, "status": {"replicas": 5}}
    answer = await api("PATCH", f"{path}/status", both, content_type=MERGE)
    assert (answer.body["spec"]["replicas"], answer.body["status"]) == (1, {"replicas": 5})
    answer = await api("PATCH", path, {"spec": {"replicas": 4}, "status": {"replicas": 4}}, content_type=MERGE)
    assert (answer.body["spec"]["replicas"], answer.body["status"]) == (4, {"replicas": 5})
    refused = await api("PATCH", f"{path}/status", {"status": {"replicas": "many"}}, content_type=MERGE)
    assert (
        'status.replicas: Invalid value: "string": replicas in body must be of type integer: "string"'
        in refused.body["message"]
    )


async def test_scale_shows_and_changes_the_replicas(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab(replicas=3))
    path = f"{CRON_TABS}/a"
    status = {"status": {"replicas": 2, "labelSelector": "app=a"}}
    await api("PATCH", f"{path}/status", status, content_type=MERGE)
    scale = (await api("GET", f"{path}/scale")).body
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "app=a"}
    scale["spec"]["replicas"] = 5
    assert (await api("PUT", f"{path}/scale", scale)).body["spec"] == {"replicas": 5}
    stale = await api("PUT", f"{path}/scale", scale)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    patched = await api("PATCH", f"{path}/scale", {"spec": {"replicas": 6}}, content_type=MERGE)
    assert patched.body["spec"] == {"replicas": 6}
    found = (await api("GET", path)).body
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (6, 3)
    for replicas in (-1, 11):
        assert (await api("PATCH", f"{path}/scale", {"spec": {"replicas": replicas}}, content_type=MERGE)).status == 422


async def test_selectable_fields_select(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab("a", image="x", replicas=2))
    await api.made(CRON_TABS, cron_tab("b", image="y", replicas=2))
    found = (await api("GET", f"{CRON_TABS}?fieldSelector=spec.image%3Dx,spec.replicas%3D2")).body["items"]
    assert [each["metadata"]["name"] for each in found] == ["a"]
    refused = await api("GET", f"{CRON_TABS}?fieldSelector=spec.cronSpec%3Dx")
    assert (refused.status, refused.body["message"]) == (400, "field label not supported: spec.cronSpec")


async def test_printer_columns_become_a_table(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    table = (await api("GET", CRON_TABS, accept=TABLE)).body
    columns = [(each["name"], each["type"], each["priority"]) for each in table["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0),
        ("Spec", "string", 0),
        ("Replicas", "integer", 0),
        ("Image", "string", 1),
        ("Age", "date", 0),
    ]
    assert table["rows"][0]["cells"] == ["a", "* * * * */5", 1, "busybox", "0s"]


async def test_apply_merges_by_the_list_types_of_the_schema(cluster_keys: Path) -> None:
    port = {
        "type": "object",
        "required": ["port"],
        "properties": {
            "port": {"type": "integer"},
            "protocol": {"type": "string", "default": "TCP"},
            "name": {"type": "string"},
        },
    }
    spec = {
        "type": "object",
        "properties": {
            "ports": {
                "type": "array",
                "items": port,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
            },
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "args": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        },
    }
    async with established(cluster_keys, definition(schema=schema(spec=spec))) as api:

        async def apply(manager: str, *, force: bool = False, **members: Any) -> Any:
            body = cron_tab() | {"spec": members}
            query = f"?fieldManager={manager}&force={str(force).lower()}"
            return await api("PATCH", f"{CRON_TABS}/a{query}", body, content_type=APPLY)

        first = await apply("one", ports=[{"port": 80, "name": "web"}], tags=["a"], args=["x"], labels={"a": "1"})
        assert first.status == 201
        second = await apply(
            "two", ports=[{"port": 81}, {"port": 80, "protocol": "UDP"}], tags=["b"], labels={"b": "2"}
        )
        assert second.status == 200, second.raw
        ports = {(each["port"], each["protocol"]) for each in second.body["spec"]["ports"]}
        assert ports == {(80, "TCP"), (81, "TCP"), (80, "UDP")}
        assert sorted(second.body["spec"]["tags"]) == ["a", "b"]
        assert second.body["spec"]["labels"] == {"a": "1", "b": "2"}
        clash = await apply("two", ports=[{"port": 80, "protocol": "TCP", "name": "other"}], args=["y"])
        assert clash.status == 409
        fields = [each["field"] for each in clash.body["details"]["causes"]]
        assert fields == [".spec.args", '.spec.ports[port=80,protocol="TCP"].name']
        taken = await apply("one", ports=[], tags=["a"], args=["x"])
        assert {(each["port"], each["protocol"]) for each in taken.body["spec"]["ports"]} == {(81, "TCP"), (80, "UDP")}
        assert taken.body["spec"]["labels"] == {"b": "2"}
        again = await apply("one", whole={"a": "1"})
        assert again.body["spec"]["whole"] == {"a": "1"}
        assert (await apply("two", whole={"b": "1"})).status == 409
        forced = await apply("two", force=True, whole={"b": "1"})
        assert forced.body["spec"]["whole"] == {"b": "1"}


async def test_duplicates_in_sets_and_keyed_lists_are_refused(cluster_keys: Path) -> None:
    item = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    spec = {
        "type": "object",
        "properties": {
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "items": {
                "type": "array",
                "items": item,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        },
    }
    async with established(cluster_keys, definition(schema=schema(spec=spec))) as api:
        body = cron_tab() | {"spec": {"tags": ["a", "b", "a"], "items": [{"name": "x"}, {"name": "x"}]}}
        answer = await api("POST", CRON_TABS, body)
        assert answer.body["details"]["causes"] == [
            {"reason": "FieldValueDuplicate", "message": 'Duplicate value: "a"', "field": "spec.tags[2]"},
            {"reason": "FieldValueDuplicate", "message": 'Duplicate value: {"name":"x"}', "field": "spec.items[1]"},
        ]


async def test_cluster_scoped_objects_have_no_namespace(cluster_keys: Path) -> None:
    body = definition("realms.example.com", "Realm", scope="Cluster", schema=schema(spec={"type": "object"}))
    async with established(cluster_keys, body) as api:
        made = await api.made(
            "/apis/example.com/v1/realms", {"apiVersion": "example.com/v1", "kind": "Realm", "metadata": {"name": "r"}}
        )
        assert "namespace" not in made["metadata"]
        assert (await api("GET", "/apis/example.com/v1/namespaces/default/realms")).status == 404


async def test_finalizers_without_a_domain_are_warned_of(api: Api) -> None:
    body = cron_tab()
    body["metadata"]["finalizers"] = ["plain"]
    answer = await api("POST", CRON_TABS, body)
    assert (answer.status, "prefer a domain-qualified finalizer name" in answer.headers["warning"]) == (201, True)


# Versions


async def test_versions_show_the_same_objects_each_with_its_own_schema(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    newer = json.loads(json.dumps(CRON_SPEC))
    newer["properties"]["zone"] = {"type": "string", "default": "UTC"}
    await served(
        api,
        version("v1beta1", CRON_SPEC, deprecated=True),
        version("v1", CRON_SPEC, storage=True),
        version("v2", newer),
    )
    groups = (await api("GET", "/apis/stable.example.com")).body
    assert [each["version"] for each in groups["versions"]] == ["v2", "v1", "v1beta1"]
    assert groups["preferredVersion"]["version"] == "v2"
    v2 = CRON_TABS.replace("/v1/", "/v2/")
    found = (await api("GET", f"{v2}/a")).body
    assert (found["apiVersion"], found["spec"]["zone"]) == ("stable.example.com/v2", "UTC")
    assert "zone" not in (await api("GET", f"{CRON_TABS}/a")).body["spec"]
    await api.made(v2, cron_tab("b", zone="CET") | {"apiVersion": "stable.example.com/v2"})
    listed = (await api("GET", CRON_TABS)).body["items"]
    assert [(each["apiVersion"], each["metadata"]["name"]) for each in listed] == [
        ("stable.example.com/v1", "a"),
        ("stable.example.com/v1", "b"),
    ]
    old = await api("GET", f"{CRON_TABS.replace('/v1/', '/v1beta1/')}/b")
    assert old.body["apiVersion"] == "stable.example.com/v1beta1"
    assert old.headers["warning"] == (
        '299 - "stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v2 CronTab"'
    )


async def test_a_new_storage_version_is_remembered_and_the_old_one_must_stay(api: Api) -> None:
    await served(api, version("v1", CRON_SPEC), version("v2", CRON_SPEC, storage=True))
    found = (await api("GET", CRON_TAB_DEFINITION)).body
    assert found["status"]["storedVersions"] == ["v1", "v2"]
    found["spec"]["versions"] = found["spec"]["versions"][1:]
    refused = await api("PUT", CRON_TAB_DEFINITION, found)
    assert refused.status == 422
    assert 'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions' in refused.body["message"]
    patch = {"status": {"storedVersions": ["v2"]}}
    assert (await api("PATCH", f"{CRON_TAB_DEFINITION}/status", patch, content_type=MERGE)).status == 200
    found = (await api("GET", CRON_TAB_DEFINITION)).body
    found["spec"]["versions"] = found["spec"]["versions"][1:]
    assert (await api("PUT", CRON_TAB_DEFINITION, found)).status == 200
    assert (await api("GET", CRON_TABS)).status == 404


async def test_a_version_that_is_no_longer_served_is_not_found(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    await served(api, version("v1", CRON_SPEC, storage=True, served=False), version("v2", CRON_SPEC))
    assert (await api("GET", f"{CRON_TABS}/a")).status == 404
    assert (await api("GET", f"{CRON_TABS.replace('/v1/', '/v2/')}/a")).body["spec"]["replicas"] == 1
    assert (await api("GET", "/openapi/v3/apis/stable.example.com/v1")).status == 404


async def test_versions_that_a_webhook_would_convert_are_refused_and_not_made_up(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    found = (await api("GET", CRON_TAB_DEFINITION)).body
    found["spec"]["versions"] = [version("v1", CRON_SPEC, storage=True), version("v2", CRON_SPEC)]
    webhook = {"clientConfig": {"url": "https://example.com/convert"}, "conversionReviewVersions": ["v1"]}
    found["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    found = (await api("PUT", CRON_TAB_DEFINITION, found)).body
    assert (await api("GET", f"{CRON_TABS}/a")).status == 200
    v2 = CRON_TABS.replace("/v1/", "/v2/")
    for answer in (await api("GET", f"{v2}/a"), await api("GET", v2), await api("POST", v2, cron_tab("b"))):
        assert (answer.status, answer.body["reason"]) == (501, "NotImplemented")
        assert "can be asked for in version v1 alone" in answer.body["message"]
    for each in found["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    refused = await api("PUT", CRON_TAB_DEFINITION, found)
    assert refused.status == 422
    assert "spec.versions: Forbidden: conversion webhooks are not emulated" in refused.body["message"]


async def test_new_defaults_show_in_old_objects(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab())
    newer = json.loads(json.dumps(CRON_SPEC))
    newer["properties"]["zone"] = {"type": "string", "default": "UTC"}
    del newer["properties"]["replicas"]
    await served(api, version("v1", newer, storage=True))
    expected = {"cronSpec": "* * * * */5", "image": "busybox", "zone": "UTC"}
    assert (await api("GET", f"{CRON_TABS}/a")).body["spec"] == expected
    assert (await api("GET", CRON_TABS)).body["items"][0]["spec"] == expected
    assert (await api("GET", CRON_TABS, accept="application/yaml")).raw.count(b"zone: UTC") == 1


async def test_openapi_documents_hold_the_schema_and_follow_it(api: Api) -> None:
    index = (await api("GET", "/openapi/v3")).body["paths"]
    place = "apis/stable.example.com/v1"
    document = (await api("GET", f"/openapi/v3/{place}")).body
    shown = document["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert shown["x-kubernetes-group-version-kind"] == [
        {"group": "stable.example.com", "version": "v1", "kind": "CronTab"}
    ]
    assert shown["properties"]["spec"]["properties"]["image"]["description"] == "What runs."
    reference = shown["properties"]["metadata"]["allOf"][0]["$ref"].rpartition("/")[2]
    assert "labels" in document["components"]["schemas"][reference]["properties"]
    newer = json.loads(json.dumps(CRON_SPEC))
    newer["properties"]["zone"] = {"type": "string"}
    await served(api, version("v1", newer, storage=True))
    after = (await api("GET", "/openapi/v3")).body["paths"]
    assert after[place] != index[place]
    assert after["api/v1"] == index["api/v1"]
    document = (await api("GET", f"/openapi/v3/{place}")).body
    assert "zone" in str(document["components"]["schemas"]["com.example.stable.v1.CronTab"])


# The end


@contextlib.asynccontextmanager
async def watching(api: Api, path: str) -> AsyncIterator[Callable[[], Awaitable[list[dict[str, Any]]]]]:
    """A watch over a socket; gives what reads it to its end, which the server has to bring about."""
    headers = {"Authorization": f"Bearer {api.cluster.admin_token}"}
    async with (
        on_a_socket(api) as address,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{address}{path}?watch=true&resourceVersion={api.cluster.storage.rv}") as answer,
    ):

        async def to_the_end() -> list[dict[str, Any]]:
            async with asyncio.timeout(20):
                return [json.loads(line) async for line in answer.content]

        yield to_the_end


async def test_deleting_a_definition_removes_its_objects_and_ends_its_watches(api: Api) -> None:
    await api.made(CRON_TABS, cron_tab("a"))
    await api.made(CRON_TABS, cron_tab("b"))
    async with watching(api, CRON_TABS) as to_the_end:
        answer = await api("DELETE", CRON_TAB_DEFINITION)
        assert answer.body["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        await gone(api, CRON_TAB_DEFINITION)
        events = await to_the_end()
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in events] == [
        ("DELETED", "a"),
        ("DELETED", "b"),
    ]
    assert (await api("GET", CRON_TABS)).status == 404
    groups = (await api("GET", "/apis")).body["groups"]
    assert "stable.example.com" not in [each["name"] for each in groups]
    # What comes later under the same names begins empty.
    await api.made(DEFINITIONS, cron_tabs())
    await condition(api, "crontabs.stable.example.com", "Established")
    assert (await api("GET", CRON_TABS)).body["items"] == []


async def test_a_definition_waits_for_objects_that_are_held(api: Api) -> None:
    body = cron_tab()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.made(CRON_TABS, body)
    await api("DELETE", CRON_TAB_DEFINITION)
    found = await condition(api, "crontabs.stable.example.com", "Terminating")

    async def marked() -> bool | None:
        return "deletionTimestamp" in (await api("GET", f"{CRON_TABS}/a")).body["metadata"] or None

    await until(api, marked)
    refused = await api("POST", CRON_TABS, cron_tab("b"))
    assert (refused.status, refused.body["reason"]) == (405, "MethodNotAllowed")
    applied = await api("PATCH", f"{CRON_TABS}/c?fieldManager=m", cron_tab("c"), content_type=APPLY)
    assert applied.status == 405
    assert found["metadata"]["deletionTimestamp"]
    await api("PATCH", f"{CRON_TABS}/a", {"metadata": {"finalizers": None}}, content_type=MERGE)
    await gone(api, CRON_TAB_DEFINITION)


async def test_a_changed_definition_ends_watches_so_that_they_begin_anew(api: Api) -> None:
    async with watching(api, CRON_TABS) as to_the_end:
        await served(api, version("v1", CRON_SPEC, storage=True))
        assert await to_the_end() == []


async def test_deleting_a_namespace_takes_custom_objects_along(api: Api) -> None:
    await api.made("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    await api.made(CRON_TABS.replace("default", "shop"), cron_tab())
    await api("DELETE", "/api/v1/namespaces/shop")
    await gone(api, "/api/v1/namespaces/shop")
    assert (await api("GET", "/apis/stable.example.com/v1/crontabs")).body["items"] == []


async def test_kinds_and_objects_are_there_right_after_a_restart(cluster_keys: Path, tmp_path: Path) -> None:
    database = tmp_path / "db"
    async with established(cluster_keys, cron_tabs(), database=database) as api:
        made = await api.made(CRON_TABS, cron_tab())
    # No controller runs: what is served comes from what is stored.
    async with opened(cluster_keys, database=database) as api:
        assert (await api("GET", f"{CRON_TABS}/a")).body == made
        answer = await api("POST", CRON_TABS, cron_tab("b", replicas=0))
        assert answer.status == 422
        table = (await api("GET", CRON_TABS, accept=TABLE)).body
        assert table["rows"][0]["cells"][:3] == ["a", "* * * * */5", 1]
