"""A disk that fills up while the lab runs: each service says so in its own words, and goes on once there is room."""

from pathlib import Path

import pytest

from podpass import Lab
from podpass.kube.client import ApiError
from podpass.kube.resources import CONFIGMAPS
from podpass.lab.demo.client import ARM, VAULT_RESOURCE, Operator, operating
from podpass.lab.demo.plan import plan


async def call(operator: Operator, method: str, url: str, resource: str, body: object) -> tuple[int, dict]:  # type: ignore[type-arg]
    headers = {"Authorization": f"Bearer {await operator._token(resource)}"}
    async with operator.session.request(
        method, url, json=body, headers=headers, proxy=operator.endpoints.proxy, ssl=operator.tls
    ) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_services_refuse_writes_in_their_own_shape_until_there_is_room(tmp_path: Path) -> None:
    async with Lab("full", home=tmp_path, runtime="plain") as lab, operating(lab.endpoints, lab.paths) as operator:
        wanted = plan(issuer=lab.endpoints.issuer, suffix="full")
        await operator.set_up_cloud(wanted)
        group = f"{ARM}/subscriptions/{lab.endpoints.subscription_id}/resourceGroups"
        secret = f"{wanted.vault_url}/secrets/big?api-version=7.4"
        large = "x" * 20_000

        # SQLite's own limit stands for the disk's: it fails in the same place with the same error.
        connection = lab._store.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 1}")
        tags = {f"tag{number}": "x" * 250 for number in range(40)}
        body = {"location": "eastus", "tags": tags}
        refused = [await call(operator, "PUT", f"{group}/more-{n}?api-version=2024-11-01", ARM, body) for n in range(9)]
        status, content = refused[-1]
        assert (status, content["error"]["code"]) == (500, "InternalServerError")
        assert "full" in content["error"]["message"]
        status, content = await call(operator, "PUT", secret, VAULT_RESOURCE, {"value": large})
        assert (status, content["error"]["code"]) == (500, "InternalError")
        with pytest.raises(ApiError) as kept_out:
            await operator.kube.create(CONFIGMAPS, {"metadata": {"name": "m"}, "data": {"k": large}}, "default")
        assert kept_out.value.body["kind"] == "Status"

        connection.execute("PRAGMA max_page_count=1073741823")
        status, _ = await call(operator, "PUT", f"{group}/after?api-version=2024-11-01", ARM, body)
        assert status in (200, 201)
        status, content = await call(operator, "GET", secret, VAULT_RESOURCE, None)
        assert status == 404, "the refused secret left nothing behind"
        assert lab.journal.events(after=lab.journal.newest - 1), "events that waited for room are kept"
