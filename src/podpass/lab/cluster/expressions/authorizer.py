"""The functions of CEL by which an expression asks what a user may do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from podpass.lab.cluster.expressions.function import MAP, Function, part

Asked = Callable[[dict[str, Any]], tuple[bool, str]]
_answering: ContextVar[Asked] = ContextVar("answering")


def authorizer(user: dict[str, Any]) -> dict[str, Any]:
    """The value of the variable `authorizer`: asks in the name of *user*, as AdmissionReview shows users."""
    return {"user": user}


@contextmanager
def asking(answer: Asked) -> Iterator[None]:
    """Inside, `check` is answered by *answer*: from the question's members to whether, and why."""
    token = _answering.set(answer)
    try:
        yield
    finally:
        _answering.reset(token)


def _with(member: str) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    return lambda place, value: {**place, member: value}


def _check(place: dict[str, Any], verb: str) -> dict[str, Any]:
    answer = _answering.get(None)
    if answer is None:
        raise ValueError("no authorizer is configured")
    part(place, "user")
    allowed, reason = answer({**place, "verb": verb})
    return {"decision": allowed, "reason": reason}


AUTHORIZER = (
    Function("path", (MAP, "string"), MAP, _with("path"), member=True),
    Function("group", (MAP, "string"), MAP, _with("group"), member=True),
    Function("resource", (MAP, "string"), MAP, _with("resource"), member=True),
    Function("subresource", (MAP, "string"), MAP, _with("subresource"), member=True),
    Function("namespace", (MAP, "string"), MAP, _with("namespace"), member=True),
    Function("name", (MAP, "string"), MAP, _with("name"), member=True),
    Function(
        "serviceAccount",
        (MAP, "string", "string"),
        MAP,
        lambda _, namespace, name: {
            "user": {
                "username": f"system:serviceaccount:{namespace}:{name}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            }
        },
        member=True,
    ),
    Function("check", (MAP, "string"), MAP, _check, member=True),
    Function("allowed", (MAP,), "bool", lambda decision: part(decision, "decision"), member=True),
    Function("reason", (MAP,), "string", lambda decision: part(decision, "reason"), member=True),
    Function("errored", (MAP,), "bool", lambda decision: part(decision, "decision") is None, member=True),
    Function("error", (MAP,), "string", lambda _: "", member=True),
)
