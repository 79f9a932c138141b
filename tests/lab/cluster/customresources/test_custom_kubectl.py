"""Stock kubectls on custom resources, over TLS: every command that a person defines and uses them with."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster.api_server import ApiServer, Ran, api_server, kubectls
from tests.lab.cluster.customresources.custom_resources import cron_tab, cron_tabs, definition, schema

pytestmark = pytest.mark.parametrize("binary", kubectls())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with api_server(tmp_path) as found:
        running = asyncio.create_task(found.cluster.run())
        yield found
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def done(server: ApiServer, binary: str, line: str, body: dict[str, Any] | str = "") -> str:
    ran = await server.kubectl(binary, *line.split(), stdin=body)
    assert ran.code == 0, ran.err
    return ran.out


async def refused(server: ApiServer, binary: str, line: str, body: dict[str, Any] | str = "") -> Ran:
    ran = await server.kubectl(binary, *line.split(), stdin=body)
    assert ran.code != 0, ran.out
    return ran


async def test_a_kind_is_defined_used_and_removed(server: ApiServer, binary: str) -> None:
    async def run(line: str, body: dict[str, Any] | str = "") -> str:
        return await done(server, binary, line, body)

    assert "created" in await run("apply -f -", cron_tabs())
    assert "met" in await run("wait --for=condition=Established --timeout=20s crd/crontabs.stable.example.com")
    resources = await run("api-resources --api-group=stable.example.com --no-headers")
    assert resources.split() == ["crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]
    assert "crontabs.stable.example.com" in await run("get crd")
    assert await run("apply -f -", cron_tab(replicas=2)) == "crontab.stable.example.com/a created\n"
    assert "unchanged" in await run("apply -f -", cron_tab(replicas=2))
    # A custom resource has no strategic merge: apply sends a merge patch.
    assert "configured" in await run("apply -f -", cron_tab(replicas=3))

    header, row = (await run("get ct")).splitlines()
    assert header.split() == ["NAME", "SPEC", "REPLICAS", "AGE"]
    assert row.split()[-2] == "3"
    assert "busybox" in await run("get crontabs.v1.stable.example.com -o wide")
    assert await run("get ct a -o jsonpath={.spec.image}") == "busybox"
    columns = "NAME:.metadata.name,IMAGE:.spec.image,NONE:.spec.none"
    assert (await run(f"get ct -o custom-columns={columns} --no-headers")).split() == ["a", "busybox", "<none>"]
    assert "crontab.stable.example.com/a" in await run("get all -o name")
    assert await run("get tabs -o name") == "crontab.stable.example.com/a\n"
    described = await run("describe ct a")
    assert "Cron Spec:  * * * * */5" in described
    explained = await run("explain ct.spec")
    assert "image\t<string>" in explained
    assert "What runs." in explained
    assert "cronSpec\t<string> -required-" in explained

    assert "scaled" in await run("scale ct/a --replicas=5")
    assert await run("get ct a -o jsonpath={.spec.replicas}") == "5"
    patch = json.dumps({"spec": {"image": "new"}}, separators=(",", ":"))
    assert "patched" in await run(f"patch ct a --type=merge -p {patch}")
    status = json.dumps({"status": {"replicas": 5}}, separators=(",", ":"))
    assert "patched" in await run(f"patch ct a --subresource=status --type=merge -p {status}")
    assert await run("get ct a -o jsonpath={.status.replicas}") == "5"
    assert "replicas: 5" in await run("get ct a --subresource=scale -o yaml")
    assert await run("get ct --field-selector spec.image=new -o name") == "crontab.stable.example.com/a\n"
    assert "labeled" in await run("label ct a app=x")
    assert "met" in await run("wait ct/a --for=jsonpath={.spec.replicas}=5 --timeout=20s")

    assert "deleted" in await run("delete crd crontabs.stable.example.com --timeout=20s")
    gone = await refused(server, binary, "get ct")
    # kubectl may still have its old list of resources.
    assert "the server doesn't have a resource type" in gone.err or "could not find the requested" in gone.err


async def test_what_is_refused_says_why(server: ApiServer, binary: str) -> None:
    await done(server, binary, "apply -f -", cron_tabs())
    await done(server, binary, "wait --for=condition=Established --timeout=20s crd/crontabs.stable.example.com")
    ran = await refused(server, binary, "create -f -", cron_tab(replicas=99))
    assert (
        'The CronTab "a" is invalid: spec.replicas: Invalid value: 99: spec.replicas in body should be less than or'
        " equal to 10"
    ) in ran.err
    ran = await refused(server, binary, "apply -f -", cron_tab(cronSpek="x"))
    assert 'strict decoding error: unknown field "spec.cronSpek"' in ran.err
    assert "created" in await done(server, binary, "apply --validate=ignore -f -", cron_tab(cronSpek="x"))
    ran = await refused(server, binary, "patch ct a -p {}")
    assert "application/merge-patch+json" in ran.err or "UnsupportedMediaType" in ran.err
    broken = definition("things.example.com", "Thing", schema=schema(spec={"properties": {"x": {"type": "string"}}}))
    ran = await refused(server, binary, "create -f -", broken)
    assert (
        "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified"
        " object fields"
    ) in ran.err


async def test_server_side_apply_says_who_is_in_the_way(server: ApiServer, binary: str) -> None:
    await done(server, binary, "apply -f -", cron_tabs())
    await done(server, binary, "wait --for=condition=Established --timeout=20s crd/crontabs.stable.example.com")
    apply = "apply --server-side --field-manager"
    assert "serverside-applied" in await done(server, binary, f"{apply}=one -f -", cron_tab(replicas=2))
    ran = await refused(server, binary, f"{apply}=two -f -", cron_tab(replicas=3))
    assert 'conflict with "one": .spec.replicas' in ran.err
    await done(server, binary, f"{apply}=two --force-conflicts -f -", cron_tab(replicas=3))
    assert await done(server, binary, "get ct a -o jsonpath={.spec.replicas}") == "3"
    shown = json.loads(await done(server, binary, "get ct a -o json --show-managed-fields"))
    owners = {each["manager"]: str(each["fieldsV1"]) for each in shown["metadata"]["managedFields"]}
    assert "f:replicas" in owners["two"]
    assert "f:replicas" not in owners["one"]
