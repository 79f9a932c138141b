"""The kinds that are only a question: who am I, may I, may they, whose token is this.

Contract: Kubernetes API surface, sections 4.3 and 6.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, Protocol

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import Cause, StatusError, invalid
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.cluster.access.authorization import Grant
from podpass.lab.cluster.extension import Allowed, Attributes, Denied, SubresourceCall, User
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.serviceaccounts.belief import Believed, Disbelieved


class Rights(Protocol):
    def authorize(self, user: User, attributes: Attributes) -> Allowed | Denied: ...

    def grants(self, user: User, namespace: str = "") -> Iterable[Grant]: ...


class TokenChecker(Protocol):
    def check(self, token: str, *, audiences: Collection[str] = ()) -> Believed | Disbelieved: ...


def attributes_of(spec: Obj) -> Attributes | None:
    """What a review's *spec* asks about; None unless it has exactly one kind of attributes."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        return None
    if resource is None:
        assert path is not None
        return Attributes(verb=path.get("verb") or "", path=path.get("path") or "")
    return Attributes(
        verb=resource.get("verb") or "",
        group=resource.get("group") or "",
        version=resource.get("version") or "",
        resource=resource.get("resource") or "",
        subresource=resource.get("subresource") or "",
        namespace=resource.get("namespace") or "",
        name=resource.get("name") or "",
    )


def _answer(call: SubresourceCall, status: Obj) -> Obj:
    body = call.body or {}
    return {
        "kind": call.kind.resource.kind,
        "apiVersion": call.kind.resource.api_version,
        "metadata": objects.metadata(body),
        "spec": body.get("spec") or {},
        "status": status,
    }


def _asked(call: SubresourceCall) -> Attributes:
    attributes = attributes_of(objects.spec(call.body or {}))
    if attributes is None:
        path = objects.spec(call.body or {}).get("nonResourceAttributes")
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        shown = None if path is None else {"Path": path.get("path") or "", "Verb": path.get("verb") or ""}
        raise _unnamed_kind(call, invalid("spec", shown, text))
    return attributes


def _unnamed_kind(call: SubresourceCall, cause: Cause) -> StatusError:
    return StatusError.invalid_kind(call.kind.resource.group, "", "", [cause])


def _access(rights: Rights, user: User, attributes: Attributes) -> Obj:
    match rights.authorize(user, attributes):
        case Allowed(reason):
            return {"allowed": True, "reason": reason} if reason else {"allowed": True}
        case Denied():
            # The API server's RBAC gives no reason for a no; kubectl would print one.
            return {"allowed": False}


def _subject(spec: Obj) -> User:
    return User(
        spec.get("user") or "",
        spec.get("uid") or "",
        tuple(spec.get("groups") or ()),
        {key: tuple(values) for key, values in (spec.get("extra") or {}).items()},
    )


def _question(resource: Resource, answer: Callable[[SubresourceCall], Awaitable[Obj]]) -> Kind:
    return Kind(resource=resource, verbs=("create",), answer_create=answer)


def review_kinds(rights: Rights, tokens: TokenChecker, clock: Clock) -> tuple[Kind, ...]:
    """The review kinds, answering from *rights* and *tokens*."""

    async def whoami(call: SubresourceCall) -> Obj:
        found = _answer(call, {"userInfo": call.user.info()})
        found.pop("spec")
        found["metadata"] = {"creationTimestamp": rfc3339(clock.now())}
        return found

    async def self_access(call: SubresourceCall) -> Obj:
        return _answer(call, _access(rights, call.user, _asked(call)))

    async def access(call: SubresourceCall) -> Obj:
        spec = objects.spec(call.body or {})
        attributes = _asked(call)
        if not spec.get("user") and not spec.get("groups"):
            raise _unnamed_kind(call, invalid("spec.user", "", "at least one of user or group must be specified"))
        if call.kind.resource.namespaced and attributes.namespace != call.namespace:
            text = "must match metadata.namespace"
            raise _unnamed_kind(call, invalid("spec.resourceAttributes.namespace", attributes.namespace, text))
        return _answer(call, _access(rights, _subject(spec), attributes))

    async def self_rules(call: SubresourceCall) -> Obj:
        namespace = objects.spec(call.body or {}).get("namespace") or ""
        if not namespace:
            raise StatusError.bad_request("no namespace on request")
        rules = [rule.to_dict() for grant in rights.grants(call.user, namespace) for rule in grant.rules]
        return _answer(
            call,
            {
                "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
                "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
                "incomplete": False,
            },
        )

    async def token(call: SubresourceCall) -> Obj:
        spec = objects.spec(call.body or {})
        given: Any = spec.get("token") or ""
        if not given:
            raise StatusError.bad_request("token is required for TokenReview in authentication")
        match tokens.check(given, audiences=spec.get("audiences") or ()):
            case Believed(user, audiences):
                return _answer(call, {"authenticated": True, "user": user.info(), "audiences": list(audiences)})
            case Disbelieved(reason):
                return _answer(call, {"user": {}, "authenticated": False, "error": reason})

    return (
        _question(resources.SELFSUBJECTREVIEWS, whoami),
        _question(resources.SELFSUBJECTACCESSREVIEWS, self_access),
        _question(resources.SUBJECTACCESSREVIEWS, access),
        _question(resources.LOCALSUBJECTACCESSREVIEWS, access),
        _question(resources.SELFSUBJECTRULESREVIEWS, self_rules),
        _question(resources.TOKENREVIEWS, token),
    )
