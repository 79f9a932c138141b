"""What a DELETE does to an object: removes it, marks it, or nothing. Pure decisions.

Contract: Kubernetes API surface, section 2.8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import NAMESPACES
from podpass.kube.status import Cause, StatusError, invalid, not_supported
from podpass.lab.clock import rfc3339, seconds_of
from podpass.lab.cluster.registry import Kind

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class Remove:
    """The object goes at once."""

    obj: Obj


@dataclass(frozen=True, slots=True)
class Mark:
    """The object stays, with its deletion written down: finalizers or a grace period hold it."""

    obj: Obj


@dataclass(frozen=True, slots=True)
class Nothing:
    """The deletion under way already does all that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """How an object is to be deleted, and which one it must be."""

    grace_period_seconds: int | None = None
    propagation: str = ""
    """Background, Foreground, Orphan; empty: the kind's default, which is Background."""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def delete_options(body: Mapping[str, Any] | None, query: Mapping[str, str]) -> DeleteOptions:
    """From the body, or from the query where there is none. Raises StatusError (400, 422)."""
    source: dict[str, Any] = dict(body or {})
    if not source:
        for name in ("gracePeriodSeconds", "propagationPolicy", "orphanDependents"):
            if query.get(name):
                source[name] = query[name]
    causes: list[Cause] = []
    grace = source.get("gracePeriodSeconds")
    if isinstance(grace, str):
        if not grace.removeprefix("-").isdecimal():
            raise StatusError.bad_request(f'strconv.ParseInt: parsing "{grace[:64]}": invalid syntax')
        grace = int(grace)
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise StatusError.bad_request("gracePeriodSeconds must be an integer")
    policy = source.get("propagationPolicy") or ""
    if policy and policy not in _POLICIES:
        causes.append(not_supported("propagationPolicy", policy, (*_POLICIES, "nil")))
    if policy and source.get("orphanDependents") is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid("propagationPolicy", policy, text))
    if not policy and "orphanDependents" in source:
        policy = "Orphan" if source["orphanDependents"] in (True, "true", "1") else "Background"
    preconditions = source.get("preconditions") or {}
    if not isinstance(preconditions, Mapping):
        raise StatusError.bad_request("preconditions must be an object")
    dry_run = source.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") and not body else [])
    if dry_run not in ([], ["All"]):
        causes.append(not_supported("dryRun", dry_run, ("All",)))
    if causes:
        raise StatusError.invalid_kind("meta.k8s.io", "DeleteOptions", "", causes)
    return DeleteOptions(
        grace_period_seconds=None if grace is None else min(grace, 2**31) if grace >= 0 else 1,
        propagation=policy,
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
        dry_run=bool(dry_run),
    )


def check_preconditions(kind: Kind, obj: Obj, options: DeleteOptions) -> None:
    """Raises StatusError 409 when *obj* is not the one the client meant."""
    name = objects.name(obj)
    if options.uid and options.uid != objects.uid(obj):
        raise StatusError.precondition_failed(
            kind.resource,
            name,
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({objects.uid(obj)})."
            " The object might have been deleted and then recreated",
        )
    version = objects.resource_version(obj)
    if options.resource_version and options.resource_version != version:
        raise StatusError.precondition_failed(
            kind.resource,
            name,
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion"
            f" in record ({version}). The object might have been modified",
        )


def uid_differs(wanted: str, found: str) -> str:
    return f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"


def decide(kind: Kind, obj: Obj, options: DeleteOptions, *, now: float) -> Remove | Mark | Nothing:
    """*obj* may be changed. *now* is in seconds since the epoch."""
    meta = obj["metadata"]
    finalizers = _finalizers(meta.get("finalizers") or [], options.propagation)
    usual = kind.grace_seconds(obj) or 0
    grace = 0 if not usual else usual if options.grace_period_seconds is None else options.grace_period_seconds
    if not objects.being_deleted(obj):
        _write_finalizers(meta, finalizers)
        if grace == 0 and not held(kind, obj):
            return Remove(obj)
        meta["deletionTimestamp"] = rfc3339(now + grace)
        meta["deletionGracePeriodSeconds"] = grace
        if kind.has_generation:
            meta["generation"] = int(meta.get("generation") or 0) + 1
        return Mark(obj)
    running = int(meta.get("deletionGracePeriodSeconds") or 0)
    shorter = options.grace_period_seconds is not None and grace < running
    if usual == 0 and running > 0:
        # The pod ended, or lost its node, while its grace period ran.
        shorter, grace = True, 0
    if shorter:
        asked = (seconds_of(meta["deletionTimestamp"]) or now) - running
        meta["deletionTimestamp"] = rfc3339(asked + grace)
        meta["deletionGracePeriodSeconds"] = grace
        return Mark(obj) if grace or held(kind, obj) else Remove(obj)
    if running == 0 and not held(kind, obj):
        return Remove(obj)
    return Nothing()


def held(kind: Kind, obj: Obj) -> bool:
    """Whether finalizers keep the object, a namespace's own ones in its spec included."""
    if objects.finalizers(obj):
        return True
    return kind.resource == NAMESPACES and bool(objects.spec(obj).get("finalizers"))


def may_go(kind: Kind, obj: Obj) -> bool:
    """Whether an object whose deletion was accepted has nothing left that holds it."""
    if not objects.being_deleted(obj) or held(kind, obj):
        return False
    return not objects.metadata(obj).get("deletionGracePeriodSeconds")


def _finalizers(current: list[str], propagation: str) -> list[str]:
    if not propagation:
        return current
    kept = [each for each in current if each not in (ORPHAN, FOREGROUND)]
    added = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(propagation, [])
    return kept + added


def _write_finalizers(meta: Obj, finalizers: list[str]) -> None:
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
