"""What a token says of an account. Pure.

Contract: Kubernetes API surface, section 4.2; Azure workload identity, section 4.3.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj

EXTENDED_SECONDS = 3607
"""What the built-in token volume asks for, and by which the API server knows it."""
YEAR_SECONDS = 365 * 24 * 3600
PREFIX = "system:serviceaccount:"
LASTING_ISSUER = "kubernetes/serviceaccount"
"""Of tokens that live in Secrets, have no end, and hold as long as their Secret does."""
LASTING = "kubernetes.io/serviceaccount/"


@dataclass(frozen=True, slots=True)
class Bound:
    """The object that a token lives and dies with, and the node of a bound pod."""

    kind: str
    obj: Obj
    node: Obj | None = None
    node_name: str = ""


def account_groups(namespace: str) -> tuple[str, ...]:
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def build_claims(
    *,
    issuer: str,
    account: Obj,
    audiences: Collection[str],
    api_audiences: Collection[str],
    seconds: int,
    bound: Bound | None,
    now: int,
    token_id: str,
) -> dict[str, Any]:
    """The token's claims. Times are whole seconds since the epoch.

    The token of a pod's built-in volume lives for a year, with a mark of when it should have been renewed; clients
    of old never read the file again.
    """
    private: dict[str, Any] = {
        "namespace": objects.namespace(account),
        "serviceaccount": {"name": objects.name(account), "uid": objects.uid(account)},
    }
    if bound is not None:
        private[bound.kind.lower()] = {"name": objects.name(bound.obj), "uid": objects.uid(bound.obj)}
        if bound.node_name:
            private["node"] = {"name": bound.node_name}
            if bound.node is not None:
                private["node"]["uid"] = objects.uid(bound.node)
    expires = now + seconds
    extended = (
        bound is not None
        and bound.kind == "Pod"
        and seconds == EXTENDED_SECONDS
        and all(audience in api_audiences for audience in audiences)
    )
    if extended:
        private["warnafter"] = now + seconds
        expires = now + YEAR_SECONDS
    return {
        "aud": list(audiences),
        "exp": expires,
        "iat": now,
        "iss": issuer,
        "jti": token_id,
        "kubernetes.io": private,
        "nbf": now,
        "sub": f"{PREFIX}{objects.namespace(account)}:{objects.name(account)}",
    }
