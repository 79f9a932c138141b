"""Service-account tokens: issued on request, bound to objects, and believed only while those exist.

Contract: Kubernetes API surface, sections 4.1 to 4.3; Azure workload identity, section 4.3.
"""

import uuid
from collections.abc import Collection
from typing import Any, Protocol

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import Cause, StatusError, invalid
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.cluster.extension import Objects, SubresourceCall, User
from podpass.lab.cluster.fieldvalidation import typed_body
from podpass.lab.cluster.kinds.volume_validation import token_seconds
from podpass.lab.cluster.serviceaccounts.belief import (
    LEEWAY_SECONDS,
    Believed,
    Disbelieved,
    believe,
    believe_lasting,
    go_list,
)
from podpass.lab.cluster.serviceaccounts.claims import LASTING, LASTING_ISSUER, PREFIX, Bound, build_claims
from podpass.lab.journal import Hop, Journal
from podpass.telemetry.redaction import fingerprint
from podpass.tokens import claims as read
from podpass.tokens import jwt
from podpass.tokens.keys import JwkSet, SigningKey

DEFAULT_SECONDS = 3600
_API_VERSION = "authentication.k8s.io/v1"
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
                why=f"for {go_list(claims['aud'])}, {seconds} s" + (f", bound to {bound_to}" if bound_to else ""),
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
            f"{LASTING}namespace": namespace,
            f"{LASTING}secret.name": secret,
            f"{LASTING}service-account.name": name,
            f"{LASTING}service-account.uid": objects.uid(account),
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
            return believe_lasting(
                self._objects,
                token,
                claims,
                tuple(audiences) or self.api_audiences,
                self.api_audiences,
                self._clock.now(),
            )
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
            given = go_list(read.audiences(claims))
            return Disbelieved(f"token audiences {given} is invalid for the target audiences {go_list(wanted)}")
        return believe(self._objects, claims, meant, now)


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
