"""Whether what a token says still holds: its account and what it is bound to are there, and are the same ones.

Contract: Kubernetes API surface, section 4.3.
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.lab.clock import seconds_of
from podpass.lab.cluster.extension import Objects, User
from podpass.lab.cluster.serviceaccounts.claims import LASTING, PREFIX, account_groups
from podpass.tokens import claims as read

LEEWAY_SECONDS = 60
_EXTRA = "authentication.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Believed:
    """A token that the API server accepts."""

    user: User
    audiences: tuple[str, ...]
    """Those asked for that the token is meant for."""


@dataclass(frozen=True, slots=True)
class Disbelieved:
    """A token that it does not accept, and why, in its own words."""

    reason: str


def believe_lasting(
    cluster: Objects,
    token: str,
    claims: read.Claims,
    wanted: tuple[str, ...],
    api_audiences: tuple[str, ...],
    now: float,
) -> Believed | Disbelieved:
    """Whether the Secret still holds the token, and still for the same account."""
    namespace = read.text(claims, f"{LASTING}namespace")
    name = read.text(claims, f"{LASTING}service-account.name")
    secret = cluster.find(resources.SECRETS, read.text(claims, f"{LASTING}secret.name"), namespace)
    # It has no audience of its own; only those who mean the API server itself may take it.
    meant = tuple(audience for audience in wanted if audience in api_audiences)
    if not meant:
        return Disbelieved(
            f"token audiences {go_list(api_audiences)} is invalid for the target audiences {go_list(wanted)}"
        )
    held = (secret or {}).get("data") or {}
    if secret is None or objects.being_deleted(secret) or held.get("token") != _encoded(token):
        return Disbelieved("service account token has been invalidated")
    account = cluster.find(resources.SERVICEACCOUNTS, name, namespace)
    uid = read.text(claims, f"{LASTING}service-account.uid")
    if account is None or _gone(account, now):
        return Disbelieved(f'serviceaccounts "{name}" not found')
    if objects.uid(account) != uid:
        return Disbelieved(f"service account UID ({objects.uid(account)}) does not match claim ({uid})")
    return Believed(User(f"{PREFIX}{namespace}:{name}", uid, account_groups(namespace)), meant)


def believe(cluster: Objects, claims: read.Claims, meant: tuple[str, ...], now: float) -> Believed | Disbelieved:
    """Whether the account of *claims*, and what they are bound to, are still there; *meant* are the audiences kept."""
    private = read.kubernetes(claims)
    namespace = read.text(private, "namespace")
    name, uid = _reference(private, "serviceaccount")
    account = cluster.find(resources.SERVICEACCOUNTS, name, namespace)
    if account is None:
        return Disbelieved(f'serviceaccounts "{name}" not found')
    if _gone(account, now):
        return Disbelieved("service account has been deleted")
    if objects.uid(account) != uid:
        return Disbelieved(f"service account UID ({objects.uid(account)}) does not match claim ({uid})")
    extra: dict[str, tuple[str, ...]] = {}
    if token_id := read.text(claims, "jti"):
        extra[f"{_EXTRA}credential-id"] = (f"JTI={token_id}",)
    for member, resource in (("pod", resources.PODS), ("secret", resources.SECRETS), ("node", resources.NODES)):
        bound_name, bound_uid = _reference(private, member)
        if not bound_name:
            continue
        if member != "secret":
            extra[f"{_EXTRA}{member}-name"] = (bound_name,)
            if bound_uid:
                extra[f"{_EXTRA}{member}-uid"] = (bound_uid,)
        if member == "node" and "pod" in private:
            # The pod's own life counts, its node is only information.
            continue
        found = cluster.find(resource, bound_name, namespace if resource.namespaced else "")
        if found is None or objects.uid(found) != bound_uid or _gone(found, now):
            return Disbelieved("service account token has been invalidated")
    user = User(f"{PREFIX}{namespace}:{name}", uid, account_groups(namespace), extra)
    return Believed(user, meant)


def _encoded(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


def _reference(private: read.Claims, member: str) -> tuple[str, str]:
    found = private.get(member)
    return (read.text(found, "name"), read.text(found, "uid")) if isinstance(found, dict) else ("", "")


def _gone(obj: Obj, now: float) -> bool:
    """Whether the object's end came longer ago than the leeway."""
    deleted = seconds_of(objects.metadata(obj).get("deletionTimestamp"))
    return deleted is not None and deleted < now - LEEWAY_SECONDS


def go_list(values: Collection[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
