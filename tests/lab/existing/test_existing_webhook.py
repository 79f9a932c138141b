"""Whether a cluster's API server calls the lab's webhook is found out, not assumed."""

from typing import Any

import pytest

from podpass.kube.client import ApiError, Unreachable
from podpass.lab.existing import client as existing


class ApiServer:
    """Answers dry runs of a pod in turn; the last answer stays."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def create(self, resource: Any, obj: dict[str, Any], namespace: str, *, dry_run: bool) -> dict[str, Any]:
        assert dry_run
        self.asked.append(obj)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {**obj, **answer}


UNTOUCHED = {"spec": {"containers": [{"name": "probe"}]}}
CHANGED = {"spec": {"containers": [{"name": "probe", "env": [{"name": "AZURE_TENANT_ID", "value": "t"}]}]}}
NO_ACCOUNT = ApiError(403, "Forbidden", 'pods "podpass-probe" is forbidden: serviceaccount "operator" not found')
NOT_REACHED = ApiError(500, "InternalError", 'failed calling webhook "mutation": dial tcp 127.0.0.1:1: refused')


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(existing, "CALLED_WITHIN_SECONDS", 0.05)


@pytest.mark.parametrize(
    "answers",
    [(CHANGED,), (UNTOUCHED, UNTOUCHED, CHANGED), (NO_ACCOUNT, CHANGED), (Unreachable("s", "cut"), CHANGED)],
    ids=["at-once", "after-a-moment", "the-account-is-new", "a-cut-connection"],
)
async def test_a_webhook_that_changes_the_pod_is_called(answers: tuple) -> None:
    server = ApiServer(*answers)
    assert await existing.calls_the_webhook(server) == ""
    assert server.asked[0]["metadata"]["labels"] == {"azure.workload.identity/use": "true"}


@pytest.mark.parametrize(
    ("answer", "why", "times"),
    [
        (NOT_REACHED, "dial tcp 127.0.0.1:1: refused", 1),
        (UNTOUCHED, "without calling it", None),
        (NO_ACCOUNT, "not found", None),
    ],
    ids=["not-reached", "not-called", "never-an-account"],
)
async def test_one_that_is_not_called_says_why(answer: Any, why: str, times: int | None) -> None:
    server = ApiServer(answer)
    assert why in await existing.calls_the_webhook(server)
    assert times is None or len(server.asked) == times
