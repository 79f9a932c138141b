"""Service-account tokens: issued on request, bound to objects, and believed only while those exist.

Contract: Kubernetes API surface, sections 4.1 to 4.3; Azure workload identity, section 4.3.
"""

import base64
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import Cause, StatusError, invalid
from podpass.lab.clock import Clock, rfc3339, seconds_of
from podpass.lab.cluster.extension import Objects, SubresourceCall, User
from podpass.lab.cluster.fieldvalidation import typed_body
from podpass.lab.cluster.kinds.volume_validation import token_seconds
from podpass.lab.journal import Hop, Journal
from podpass.telemetry.redaction import fingerprint
from podpass.tokens import claims as read
from podpass.tokens import jwt
from podpass.tokens.keys import JwkSet, SigningKey

DEFAULT_SECONDS = 3600
EXTENDED_SECONDS = 3607
"""What the built-in token volume asks for, and by which the API server knows it."""
YEAR_SECONDS = 365 * 24 * 3600
LEEWAY_SECONDS = 60
PREFIX = "system:serviceaccount:"
LASTING_ISSUER = "kubernetes/serviceaccount"
"""Of tokens that live in Secrets, have no end, and hold as long as their Secret does."""
_LASTING = "kubernetes.io/serviceaccount/"
_API_VERSION = "authentication.k8s.io/v1"
_EXTRA = "authentication.kubernetes.io/"
_BINDABLE = {
    ("v1", "Pod"): resources.PODS,
    ("v1", "Secret"): resources.SECRETS,
    ("v1", "Node"): resources.NODES,
}


class Keys(Protocol):
    @property
    def signing(self) -> SigningKey: ...

    @property
    def published(self) -> JwkSet: ...


@dataclass(frozen=True, slots=True)
class Bound:
    """The object that a token lives and dies with, and the node of a bound pod."""

    kind: str
    obj: Obj
    node: Obj | None = None
    node_name: str = ""


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


class ServiceAccountTokens:
    """Issues and checks tokens against the objects of one cluster."""

    def __init__(
        self,
        cluster: Objects,
        keys: Keys,
        clock: Clock,
        journal: Journal,
        *,
        issuer: str,
        api_audiences: Collection[str] = (),
        max_seconds: int | None = None,
    ) -> None:
        self.issuer = issuer
        self.api_audiences = tuple(api_audiences) or (issuer,)
        self._objects = cluster
        self._keys = keys
        self._clock = clock
        self._journal = journal
        self._max_seconds = max_seconds

    async def create(self, call: SubresourceCall) -> Obj:
        """Answer a TokenRequest. Raises StatusError as the API server would."""
        body = typed_body(call.body, _API_VERSION, "TokenRequest")
        account = self._objects.get(resources.SERVICEACCOUNTS, call.name, call.namespace)
        spec = objects.spec(body)
        seconds = spec.get("expirationSeconds")
        seconds = DEFAULT_SECONDS if seconds is None else int(seconds)
        what = f"token for {PREFIX}{call.namespace}:{call.name}"
        try:
            _check_request(call, body, account, seconds)
            bound = self._bound(spec.get("boundObjectRef"), call)
        except StatusError as error:
            self._journal.record(
                Hop(who=call.user.name, whom="cluster", what=what, outcome="refused", why=str(error), wire=error.reason)
            )
            raise
        if self._max_seconds is not None and seconds > self._max_seconds:
            call.warnings.append(f"requested expiration of {seconds} seconds shortened to {self._max_seconds} seconds")
            seconds = self._max_seconds
        now = int(self._clock.now())
        claims = build_claims(
            issuer=self.issuer,
            account=account,
            audiences=spec.get("audiences") or self.api_audiences,
            api_audiences=self.api_audiences,
            seconds=seconds,
            bound=bound,
            now=now,
            token_id=str(uuid.uuid4()),
        )
        bound_to = "" if bound is None else f"{bound.kind.lower()}/{objects.name(bound.obj)}"
        key = self._keys.signing
        token = jwt.sign(claims, key)
        self._journal.record(
            Hop(
                who=call.user.name,
                whom="cluster",
                what=what,
                outcome="granted",
                why=f"for {_go_list(claims['aud'])}, {seconds} s" + (f", bound to {bound_to}" if bound_to else ""),
                decision={
                    "issuer": self.issuer,
                    "subject": claims["sub"],
                    "audiences": claims["aud"],
                    "expires": claims["exp"],
                    "kid": key.kid,
                    "token_id": claims["jti"],
                    "bound_to": bound_to,
                },
            )
        )
        requested = {"audiences": claims["aud"], "expirationSeconds": seconds}
        if spec.get("boundObjectRef"):
            requested["boundObjectRef"] = spec["boundObjectRef"]
        return {
            "kind": "TokenRequest",
            "apiVersion": _API_VERSION,
            "metadata": {
                "name": call.name,
                "namespace": call.namespace,
                "uid": objects.uid(account),
                "creationTimestamp": rfc3339(now),
            },
            "spec": requested,
            "status": {"token": token, "expirationTimestamp": rfc3339(now + seconds)},
        }

    def lasting(self, account: Obj, secret: str) -> str:
        """The token of *account* that the Secret of that name is to hold."""
        namespace, name = objects.key(account)
        claims = {
            "iss": LASTING_ISSUER,
            f"{_LASTING}namespace": namespace,
            f"{_LASTING}secret.name": secret,
            f"{_LASTING}service-account.name": name,
            f"{_LASTING}service-account.uid": objects.uid(account),
            "sub": f"{PREFIX}{namespace}:{name}",
        }
        key = self._keys.signing
        decision = {"issuer": LASTING_ISSUER, "subject": claims["sub"], "kid": key.kid, "bound_to": f"secret/{secret}"}
        self._journal.record(
            Hop(
                who="tokens-controller",
                whom="cluster",
                what=f"token for {claims['sub']}",
                outcome="granted",
                why=f"for as long as secret {secret} is there",
                decision=decision,
            )
        )
        return jwt.sign(claims, key)

    def _bound(self, reference: Any, call: SubresourceCall) -> Bound | None:
        if not isinstance(reference, dict):
            return None
        api_version, kind = reference.get("apiVersion") or "v1", reference.get("kind") or ""
        resource = _BINDABLE.get((api_version, kind))
        if resource is None:
            group, _, version = api_version.rpartition("/")
            raise StatusError.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        name = reference.get("name") or ""
        namespace = call.namespace if resource.namespaced else ""
        obj = self._objects.get(resource, name, namespace)
        if kind == "Pod" and objects.spec(obj).get("serviceAccountName") != call.name:
            raise StatusError.bad_request(
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different serviceaccount name.'
            )
        wanted = reference.get("uid") or ""
        if wanted and wanted != objects.uid(obj):
            # The API server names the kind here where other conflicts name the resource.
            shown = Resource(resource.group, resource.version, kind, kind, resource.namespaced)
            raise StatusError.conflict(
                shown,
                name,
                f"the UID in the bound object reference ({wanted}) does not match the UID in record."
                " The object might have been deleted and then recreated",
            )
        node_name = objects.spec(obj).get("nodeName") or "" if kind == "Pod" else ""
        node = self._objects.find(resources.NODES, node_name) if node_name else None
        return Bound(kind, obj, node, node_name)

    def authenticate(self, token: str) -> User | None:
        """The account that sends *token* to the API server; None, with the reason in the journal, for a bad one."""
        match self.check(token):
            case Believed(user):
                return user
            case Disbelieved(reason):
                self._journal.record(
                    Hop(
                        who=f"the holder of token {fingerprint(token)}",
                        whom="cluster",
                        what="authenticate",
                        outcome="refused",
                        why=reason,
                        wire="Unauthorized",
                    )
                )
                return None

    def check(self, token: str, *, audiences: Collection[str] = ()) -> Believed | Disbelieved:
        """Whether the API server believes *token* now. Without *audiences*, its own are meant."""
        try:
            claims = jwt.verify_signature(token, self._keys.published, algorithms=jwt.ASYMMETRIC).claims
        except jwt.InvalidToken as error:
            return Disbelieved(f"invalid bearer token: {error}")
        if read.issuer(claims) == LASTING_ISSUER:
            return self._believe_lasting(token, claims, tuple(audiences) or self.api_audiences)
        if read.issuer(claims) != self.issuer:
            return Disbelieved("invalid bearer token: the token was issued by another issuer")
        now = self._clock.now()
        problem = jwt.check_times(claims, now=now, leeway_seconds=LEEWAY_SECONDS)
        if problem is not None:
            expired = problem.kind != "not-yet-valid"
            return Disbelieved(
                "service account token has expired" if expired else "service account token is not valid yet"
            )
        wanted = tuple(audiences) or self.api_audiences
        meant = tuple(audience for audience in wanted if audience in read.audiences(claims))
        if not meant:
            given = _go_list(read.audiences(claims))
            return Disbelieved(f"token audiences {given} is invalid for the target audiences {_go_list(wanted)}")
        return self._believe(claims, meant, now)

    def _believe_lasting(self, token: str, claims: read.Claims, wanted: tuple[str, ...]) -> Believed | Disbelieved:
        """Whether the Secret still holds the token, and still for the same account."""
        namespace = read.text(claims, f"{_LASTING}namespace")
        name = read.text(claims, f"{_LASTING}service-account.name")
        secret = self._objects.find(resources.SECRETS, read.text(claims, f"{_LASTING}secret.name"), namespace)
        now = self._clock.now()
        # It has no audience of its own; only those who mean the API server itself may take it.
        meant = tuple(audience for audience in wanted if audience in self.api_audiences)
        if not meant:
            return Disbelieved(
                f"token audiences {_go_list(self.api_audiences)} is invalid for the target audiences {_go_list(wanted)}"
            )
        held = (secret or {}).get("data") or {}
        if secret is None or objects.being_deleted(secret) or held.get("token") != _encoded(token):
            return Disbelieved("service account token has been invalidated")
        account = self._objects.find(resources.SERVICEACCOUNTS, name, namespace)
        uid = read.text(claims, f"{_LASTING}service-account.uid")
        if account is None or _gone(account, now):
            return Disbelieved(f'serviceaccounts "{name}" not found')
        if objects.uid(account) != uid:
            return Disbelieved(f"service account UID ({objects.uid(account)}) does not match claim ({uid})")
        return Believed(User(f"{PREFIX}{namespace}:{name}", uid, account_groups(namespace)), meant)

    def _believe(self, claims: read.Claims, meant: tuple[str, ...], now: float) -> Believed | Disbelieved:
        private = read.kubernetes(claims)
        namespace = read.text(private, "namespace")
        name, uid = _reference(private, "serviceaccount")
        account = self._objects.find(resources.SERVICEACCOUNTS, name, namespace)
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
            found = self._objects.find(resource, bound_name, namespace if resource.namespaced else "")
            if found is None or objects.uid(found) != bound_uid or _gone(found, now):
                return Disbelieved("service account token has been invalidated")
        user = User(f"{PREFIX}{namespace}:{name}", uid, account_groups(namespace), extra)
        return Believed(user, meant)


def _encoded(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


def _check_request(call: SubresourceCall, body: Obj, account: Obj, seconds: int) -> None:
    """Raises StatusError for a request that says something else than its URL, or asks for too little or too much."""
    causes: list[Cause] = []
    for member, expected in (("name", call.name), ("namespace", call.namespace)):
        given = objects.metadata(body).get(member) or ""
        if given and given != expected:
            causes.append(invalid(f"metadata.{member}", given, f"must match the service account {member} if specified"))
    if causes:
        raise StatusError.invalid_kind("authentication.k8s.io", "TokenRequest", call.name, causes)
    given = objects.uid(body)
    if given and given != objects.uid(account):
        raise StatusError.conflict(
            resources.SERVICEACCOUNTS,
            call.name,
            f"the UID in the token request ({given}) does not match the UID of the service account"
            f" ({objects.uid(account)})",
        )
    causes = list(token_seconds("spec.expirationSeconds", seconds))
    if causes:
        raise StatusError.invalid_kind("authentication.k8s.io", "TokenRequest", "", causes)


def _reference(private: read.Claims, member: str) -> tuple[str, str]:
    found = private.get(member)
    return (read.text(found, "name"), read.text(found, "uid")) if isinstance(found, dict) else ("", "")


def _gone(obj: Obj, now: float) -> bool:
    """Whether the object's end came longer ago than the leeway."""
    deleted = seconds_of(objects.metadata(obj).get("deletionTimestamp"))
    return deleted is not None and deleted < now - LEEWAY_SECONDS


def _go_list(values: Collection[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
