import copy
import json
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podpass.kube import resources
from podpass.kube.status import StatusError
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.access.authentication import Authenticator
from podpass.lab.cluster.access.authorization import Authorizer
from podpass.lab.cluster.access.default_roles import default_access
from podpass.lab.cluster.extension import ANONYMOUS, SubresourceCall, User
from podpass.lab.cluster.kinds.identities import service_accounts
from podpass.lab.cluster.kinds.reviews import review_kinds
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.serviceaccounts.belief import Believed, Disbelieved
from podpass.lab.cluster.serviceaccounts.issuer import Issuer
from podpass.lab.cluster.serviceaccounts.signing_keys import SIGNING_FILE, SigningKeys
from podpass.lab.cluster.serviceaccounts.tokens import ServiceAccountTokens
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.asgi import Request
from podpass.tokens import jwt
from podpass.tokens.keys import SigningKey
from tests.lab.cluster.memory_objects import MemoryObjects

NOW = 1_800_000_000
ISSUER = "https://eastus.oic.prod-aks.azure.com/tenant/cluster/"
KUBELET = User("system:node:lab-node", groups=("system:nodes",))
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
ANN = User("ann", groups=("system:authenticated",))


@pytest.fixture(scope="session")
def another_key() -> SigningKey:
    return SigningKey.generate()


class Time:
    def __init__(self) -> None:
        self.now_seconds = float(NOW)

    def now(self) -> float:
        return self.now_seconds


def meta(name: str, uid: str, namespace: str = "shop") -> dict[str, Any]:
    return {"name": name, "uid": uid, **({"namespace": namespace} if namespace else {})}


class World:
    """A cluster with one account, one pod on one node, and a secret."""

    def __init__(self, directory: Path, key: SigningKey, **options: Any) -> None:
        self.clock = Time()
        self.objects = MemoryObjects(default_access())
        self.objects.put(resources.SERVICEACCOUNTS, {"metadata": meta("orders", "u-orders")})
        self.objects.put(resources.SERVICEACCOUNTS, {"metadata": meta("other", "u-other")})
        pod = {"metadata": meta("web", "u-web"), "spec": {"serviceAccountName": "orders", "nodeName": "lab-node"}}
        self.objects.put(resources.PODS, pod)
        self.objects.put(resources.NODES, {"metadata": meta("lab-node", "u-node", "")})
        self.objects.put(resources.SECRETS, {"metadata": meta("db", "u-db")})
        self.keys = SigningKeys(directory, key)
        self.journal = Journal(Store.open(None), self.clock)
        self.tokens = ServiceAccountTokens(self.objects, self.keys, self.clock, self.journal, issuer=ISSUER, **options)
        self.warnings: list[str] = []

    async def request(self, spec: dict[str, Any], account: str = "orders", **metadata: str) -> dict[str, Any]:
        body = {"metadata": metadata, "spec": spec}
        return await self.tokens.create(self.call(service_accounts(), body, name=account, subresource="token"))

    async def issue(self, account: str = "orders", **spec: Any) -> str:
        return str((await self.request(spec, account))["status"]["token"])

    def call(self, kind: Kind, body: dict[str, Any], user: User = KUBELET, **members: str) -> SubresourceCall:
        return SubresourceCall(
            kind=kind,
            namespace=members.get("namespace", "shop"),
            name=members.get("name", ""),
            subresource=members.get("subresource", ""),
            verb="create",
            user=user,
            request=Request("POST", "/", "/", "", {}),
            body=body,
            warnings=self.warnings,
        )


@pytest.fixture
def world(tmp_path: Path, signing_key: SigningKey) -> World:
    return World(tmp_path, signing_key)


POD = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "u-web"}


async def test_a_token_carries_what_the_contract_says(world: World) -> None:
    answer = await world.request({"audiences": ["api://AzureADTokenExchange"], "boundObjectRef": POD})
    token = jwt.decode(answer["status"]["token"])
    assert token.header == {"alg": "RS256", "kid": world.keys.signing.kid}
    token_id = token.claims.pop("jti")
    assert len(token_id) == 36
    assert token.claims == {
        "aud": ["api://AzureADTokenExchange"],
        "exp": NOW + 3600,
        "iat": NOW,
        "nbf": NOW,
        "iss": ISSUER,
        "sub": "system:serviceaccount:shop:orders",
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "orders", "uid": "u-orders"},
            "pod": {"name": "web", "uid": "u-web"},
            "node": {"name": "lab-node", "uid": "u-node"},
        },
    }
    assert answer["status"]["expirationTimestamp"] == rfc3339(NOW + 3600)
    assert answer["metadata"]["name"] == "orders"
    assert answer["spec"]["audiences"] == ["api://AzureADTokenExchange"]


async def test_without_audiences_a_token_is_for_the_api_server(world: World) -> None:
    assert jwt.decode(await world.issue()).claims["aud"] == [ISSUER]


async def test_the_token_of_the_built_in_volume_lives_for_a_year(world: World) -> None:
    answer = await world.request({"expirationSeconds": 3607, "boundObjectRef": POD})
    claims = jwt.decode(answer["status"]["token"]).claims
    assert claims["exp"] == NOW + 31_536_000
    assert claims["kubernetes.io"]["warnafter"] == NOW + 3607
    assert answer["status"]["expirationTimestamp"] == rfc3339(NOW + 3607)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"expirationSeconds": 3607}, id="not-bound"),
        pytest.param({"expirationSeconds": 3600, "boundObjectRef": POD}, id="another-lifetime"),
        pytest.param({"expirationSeconds": 3607, "boundObjectRef": POD, "audiences": ["x"]}, id="another-audience"),
        pytest.param({"expirationSeconds": 3607, "boundObjectRef": POD, "audiences": [ISSUER, "x"]}, id="one-more"),
    ],
)
async def test_no_other_token_is_extended(world: World, spec: dict[str, Any]) -> None:
    claims = jwt.decode(await world.issue(**spec)).claims
    assert claims["exp"] == NOW + spec["expirationSeconds"]
    assert "warnafter" not in claims["kubernetes.io"]


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        pytest.param(
            {"expirationSeconds": 599},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not'
            " specify a duration less than 10 minutes",
            id="too-short",
        ),
        pytest.param(
            {"expirationSeconds": (1 << 32) + 1},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may'
            " not specify a duration larger than 2^32 seconds",
            id="too-long",
        ),
        pytest.param({"boundObjectRef": {**POD, "name": "gone"}}, 404, 'pods "gone" not found', id="missing-pod"),
        pytest.param(
            {"boundObjectRef": {**POD, "uid": "u-before"}},
            409,
            'Operation cannot be fulfilled on Pod "web": the UID in the bound object reference (u-before) does not'
            " match the UID in record. The object might have been deleted and then recreated",
            id="another-uid",
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}},
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
            id="another-kind",
        ),
    ],
)
async def test_a_refused_request(world: World, spec: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        await world.request(spec)
    assert (caught.value.code, caught.value.message) == (code, message)
    assert world.journal.events()[-1].hop.outcome == "refused"


async def test_a_pod_of_another_account_can_not_be_bound(world: World) -> None:
    with pytest.raises(StatusError, match='cannot bind token for serviceaccount "other" to pod') as caught:
        await world.request({"boundObjectRef": POD}, account="other")
    assert caught.value.code == 400


async def test_a_missing_account_is_not_found(world: World) -> None:
    with pytest.raises(StatusError, match='serviceaccounts "nobody" not found'):
        await world.request({}, account="nobody")


async def test_a_body_that_contradicts_its_url(world: World) -> None:
    with pytest.raises(StatusError, match="must match the service account name if specified") as caught:
        await world.request({}, name="other")
    assert caught.value.code == 422
    with pytest.raises(StatusError) as caught:
        await world.request({}, uid="u-before")
    assert caught.value.code == 409


async def test_a_maximum_shortens_with_a_warning(tmp_path: Path, signing_key: SigningKey) -> None:
    world = World(tmp_path, signing_key, max_seconds=86_400)
    assert jwt.decode(await world.issue(expirationSeconds=90_000)).claims["exp"] == NOW + 86_400
    assert world.warnings == ["requested expiration of 90000 seconds shortened to 86400 seconds"]


async def test_the_journal_knows_the_token_but_does_not_hold_it(world: World) -> None:
    token = await world.issue(audiences=["a"])
    event = world.journal.events()[-1]
    assert event.hop.decision["subject"] == "system:serviceaccount:shop:orders"
    assert event.hop.decision["kid"] == world.keys.signing.kid
    assert token not in str(event)


async def test_a_good_token_is_believed(world: World) -> None:
    found = world.tokens.check(await world.issue(boundObjectRef=POD))
    assert isinstance(found, Believed)
    assert found.user.name == "system:serviceaccount:shop:orders"
    assert found.user.uid == "u-orders"
    assert found.user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    extra = dict(found.user.extra)
    assert extra.pop("authentication.kubernetes.io/credential-id")[0].startswith("JTI=")
    assert extra == {
        "authentication.kubernetes.io/pod-name": ("web",),
        "authentication.kubernetes.io/pod-uid": ("u-web",),
        "authentication.kubernetes.io/node-name": ("lab-node",),
        "authentication.kubernetes.io/node-uid": ("u-node",),
    }
    assert found.audiences == (ISSUER,)


def deleted(world: World, seconds_ago: int) -> None:
    pod = copy.deepcopy(world.objects.get(resources.PODS, "web", "shop"))
    pod["metadata"]["deletionTimestamp"] = rfc3339(world.clock.now() - seconds_ago)
    world.objects.put(resources.PODS, pod)


def recreated(world: World, resource: resources.Resource, name: str) -> None:
    obj = copy.deepcopy(world.objects.get(resource, name, "shop"))
    obj["metadata"]["uid"] = "u-again"
    world.objects.put(resource, obj)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda world: world.objects.remove(resources.PODS, "web", "shop"),
            "service account token has been invalidated",
            id="pod-deleted",
        ),
        pytest.param(
            lambda world: recreated(world, resources.PODS, "web"),
            "service account token has been invalidated",
            id="pod-recreated",
        ),
        pytest.param(
            lambda world: deleted(world, 61), "service account token has been invalidated", id="deleted-long-ago"
        ),
        pytest.param(
            lambda world: world.objects.remove(resources.SERVICEACCOUNTS, "orders", "shop"),
            'serviceaccounts "orders" not found',
            id="account-deleted",
        ),
        pytest.param(
            lambda world: recreated(world, resources.SERVICEACCOUNTS, "orders"),
            "service account UID (u-again) does not match claim (u-orders)",
            id="account-recreated",
        ),
        pytest.param(
            lambda world: setattr(world.clock, "now_seconds", NOW + 3661.0),
            "service account token has expired",
            id="expired",
        ),
        pytest.param(
            lambda world: setattr(world.clock, "now_seconds", NOW - 61.0),
            "service account token is not valid yet",
            id="from-the-future",
        ),
    ],
)
async def test_a_token_ends_with_what_it_is_bound_to(world: World, change: Any, reason: str) -> None:
    token = await world.issue(boundObjectRef=POD)
    change(world)
    assert world.tokens.check(token) == Disbelieved(reason)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda world: deleted(world, 30), id="deleted-just-now"),
        pytest.param(lambda world: world.objects.remove(resources.NODES, "lab-node"), id="node-gone"),
        pytest.param(lambda world: setattr(world.clock, "now_seconds", NOW + 3650.0), id="expired-within-the-leeway"),
    ],
)
async def test_what_does_not_end_a_token(world: World, change: Any) -> None:
    token = await world.issue(boundObjectRef=POD)
    change(world)
    assert isinstance(world.tokens.check(token), Believed)


async def test_a_token_for_others_is_not_for_the_api_server(world: World) -> None:
    token = await world.issue(audiences=["a", "b"])
    assert isinstance(world.tokens.check(token), Disbelieved)
    found = world.tokens.check(token, audiences=["b", "c"])
    assert isinstance(found, Believed)
    assert found.audiences == ("b",)


async def test_tokens_of_other_keys_and_issuers_are_not_believed(
    world: World, tmp_path: Path, another_key: SigningKey
) -> None:
    foreign = await World(tmp_path, another_key).issue()
    assert isinstance(world.tokens.check(foreign), Disbelieved)
    claims = jwt.decode(await world.issue()).claims
    for issuer in (ISSUER.rstrip("/"), "https://example.test/"):
        forged = jwt.sign({**claims, "iss": issuer}, world.keys.signing)
        assert isinstance(world.tokens.check(forged), Disbelieved)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_is_not_believed(world: World, token: str) -> None:
    assert isinstance(world.tokens.check(token), Disbelieved)


async def test_keys_survive_a_restart_and_a_rotation(tmp_path: Path) -> None:
    keys = await SigningKeys.open(tmp_path / "keys")
    first = keys.signing.kid
    file = tmp_path / "keys" / SIGNING_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await SigningKeys.open(tmp_path / "keys")).signing.kid == first
    second = (await keys.rotate()).kid
    assert keys.published.kids == (second, first)
    again = await SigningKeys.open(tmp_path / "keys")
    assert (again.signing.kid, again.published.kids) == (second, (second, first))
    assert not again.withdraw(second)
    assert again.withdraw(first)
    assert (await SigningKeys.open(tmp_path / "keys")).published.kids == (second,)
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {SIGNING_FILE}


async def test_a_token_outlives_a_rotation_until_its_key_is_withdrawn(world: World) -> None:
    token, old = await world.issue(), world.keys.signing.kid
    await world.keys.rotate()
    assert isinstance(world.tokens.check(token), Believed)
    world.keys.withdraw(old)
    assert isinstance(world.tokens.check(token), Disbelieved)


# The issuer's documents


async def fetch(issuer: Issuer, path: str, method: str = "GET") -> tuple[int, dict[str, str], Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    await issuer.app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = sent[1]["body"]
    return sent[0]["status"], headers, msgspec.json.decode(body) if body[:1] == b"{" else None


async def test_the_public_host_serves_the_documents_below_the_issuers_path(world: World) -> None:
    issuer = Issuer(ISSUER, world.keys, world.journal)
    status, headers, document = await fetch(issuer, "/tenant/cluster/.well-known/openid-configuration")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert headers["Cache-Control"] == "public, max-age=3600"
    assert document == {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
    status, headers, keys = await fetch(issuer, "/tenant/cluster/openid/v1/jwks")
    assert (status, headers["Content-Type"]) == (200, "application/jwk-set+json")
    assert headers["Cache-Control"] == "public, max-age=3600"
    assert list(keys["keys"][0]) == ["use", "kty", "kid", "alg", "n", "e"]
    assert keys["keys"][0]["kid"] == world.keys.signing.kid


async def test_the_public_host_serves_each_change_of_the_keys_at_once(world: World) -> None:
    issuer, path = Issuer(ISSUER, world.keys), "/tenant/cluster/openid/v1/jwks"

    async def kids() -> list[str]:
        return [key["kid"] for key in (await fetch(issuer, path))[2]["keys"]]

    first = world.keys.signing.kid
    assert await kids() == [first]
    second = (await world.keys.rotate()).kid
    assert await kids() == [second, first]
    world.keys.withdraw(first)
    assert await kids() == [second]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/openid-configuration",
        "/openid/v1/jwks",
        "/tenant/cluster/",
        "/tenant/cluster/openid/v1/jwks/",
    ],
)
async def test_the_public_host_serves_nothing_else(world: World, path: str) -> None:
    assert (await fetch(Issuer(ISSUER, world.keys), path))[0] == 404


async def test_the_documents_are_only_read(world: World) -> None:
    assert (await fetch(Issuer(ISSUER, world.keys), "/tenant/cluster/openid/v1/jwks", "POST"))[0] == 405


@pytest.mark.parametrize("issuer", ["http://a.test/", "https://", "https://a.test/?q", "https://a.test/#f", "a.test"])
def test_an_issuer_is_https_without_query_and_fragment(world: World, issuer: str) -> None:
    with pytest.raises(ValueError, match="an issuer is an https URL"):
        Issuer(issuer, world.keys)


def test_an_issuer_without_a_slash_keeps_its_form(world: World) -> None:
    answer = Issuer("https://a.test/c", world.keys).document("/.well-known/openid-configuration")
    assert answer is not None
    found = json.loads(answer.body)
    assert (found["issuer"], found["jwks_uri"]) == ("https://a.test/c", "https://a.test/c/openid/v1/jwks")


# Authentication and the reviews


def request(token: str = "", **headers: str) -> Request:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        given["authorization"] = f"Bearer {token}"
    return Request("GET", "/", "/", "", given)


@pytest.fixture
def authenticator(world: World) -> Authenticator:
    return Authenticator({"admin-token": ADMIN, "ann-token": ANN}, world.tokens, Authorizer(world.objects))


async def test_who_asks(world: World, authenticator: Authenticator) -> None:
    assert authenticator.authenticate(request()) == ANONYMOUS
    assert authenticator.authenticate(request("admin-token")) == ADMIN
    assert authenticator.authenticate(request("wrong")) is None
    assert authenticator.authenticate(request(authorization="Basic YTpi")) == ANONYMOUS
    found = authenticator.authenticate(request(await world.issue()))
    assert found is not None
    assert found.name == "system:serviceaccount:shop:orders"
    assert authenticator.authenticate(request(await world.issue(audiences=["elsewhere"]))) is None


async def test_a_refused_token_leaves_its_reason_but_not_itself(world: World, authenticator: Authenticator) -> None:
    token = await world.issue(boundObjectRef=POD)
    world.objects.remove(resources.PODS, "web", "shop")
    assert authenticator.authenticate(request(token)) is None
    hop = world.journal.events()[-1].hop
    assert (hop.outcome, hop.why) == ("refused", "service account token has been invalidated")
    assert token not in str(hop)


def test_an_administrator_takes_another_name(authenticator: Authenticator) -> None:
    found = authenticator.authenticate(
        request("admin-token", impersonate_user="bob", impersonate_group="ops, dev", impersonate_extra_scopes="a,b")
    )
    assert found == User("bob", "", ("ops", "dev", "system:authenticated"), {"scopes": ("a", "b")})
    account = authenticator.authenticate(request("admin-token", impersonate_user="system:serviceaccount:shop:orders"))
    assert account is not None
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (
            {"impersonate_user": "bob"},
            'users "bob" is forbidden: User "ann" cannot impersonate resource "users" in API group ""'
            " at the cluster scope",
        ),
        (
            {"impersonate_user": "system:serviceaccount:shop:orders"},
            'serviceaccounts "orders" is forbidden: User "ann" cannot impersonate resource "serviceaccounts" in API'
            ' group "" in the namespace "shop"',
        ),
    ],
)
def test_others_take_no_other_name(authenticator: Authenticator, headers: dict[str, str], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        authenticator.authenticate(request("ann-token", **headers))
    assert (caught.value.code, caught.value.message) == (403, message)


def test_a_group_without_a_user_is_refused(authenticator: Authenticator) -> None:
    with pytest.raises(StatusError) as caught:
        authenticator.authenticate(request("admin-token", impersonate_group="ops"))
    assert caught.value.code == 400


class Reviews:
    def __init__(self, world: World) -> None:
        self._world = world
        rights = Authorizer(world.objects)
        authenticator = Authenticator({"admin-token": ADMIN}, world.tokens, rights)
        kinds = review_kinds(rights, authenticator, world.clock)
        self._kinds = {kind.resource.kind: kind for kind in kinds}

    async def ask(self, name: str, spec: dict[str, Any], user: User = ANN, namespace: str = "") -> Any:
        kind = self._kinds[name]
        assert kind.answer_create is not None
        return await kind.answer_create(
            self._world.call(kind, {"metadata": {}, "spec": spec}, user, namespace=namespace)
        )


@pytest.fixture
def reviews(world: World) -> Reviews:
    return Reviews(world)


def access(verb: str, resource: str, **members: str) -> dict[str, Any]:
    return {"resourceAttributes": {"verb": verb, "resource": resource, **members}}


async def test_whose_token_a_static_one_is(reviews: Reviews) -> None:
    found = (await reviews.ask("TokenReview", {"token": "admin-token"}))["status"]
    assert (found["authenticated"], found["user"]["username"]) == (True, ADMIN.name)
    elsewhere = {"token": "admin-token", "audiences": ["elsewhere"]}
    assert (await reviews.ask("TokenReview", elsewhere))["status"]["authenticated"] is False


async def test_who_am_i(reviews: Reviews) -> None:
    found = await reviews.ask("SelfSubjectReview", {})
    assert found["status"] == {"userInfo": {"username": "ann", "groups": ["system:authenticated"]}}
    assert found["metadata"]["creationTimestamp"] == rfc3339(NOW)


async def test_may_i(reviews: Reviews) -> None:
    no = await reviews.ask("SelfSubjectAccessReview", access("get", "pods", namespace="shop"))
    assert no["status"] == {"allowed": False}
    yes = await reviews.ask("SelfSubjectAccessReview", access("get", "pods"), user=ADMIN)
    assert yes["status"]["allowed"] is True
    path = await reviews.ask("SelfSubjectAccessReview", {"nonResourceAttributes": {"verb": "get", "path": "/api"}})
    assert path["status"]["allowed"] is True
    assert "system:discovery" in path["status"]["reason"]


@pytest.mark.parametrize("spec", [{}, {**access("get", "pods"), "nonResourceAttributes": {"path": "/", "verb": "get"}}])
async def test_a_question_asks_about_one_thing(reviews: Reviews, spec: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as caught:
        await reviews.ask("SelfSubjectAccessReview", spec)
    assert caught.value.code == 422


async def test_may_they(reviews: Reviews) -> None:
    spec = {**access("get", "nodes"), "user": "bob", "groups": ["system:masters"]}
    assert (await reviews.ask("SubjectAccessReview", spec))["status"]["allowed"] is True
    with pytest.raises(StatusError, match="at least one of user or group must be specified"):
        await reviews.ask("SubjectAccessReview", access("get", "nodes"))
    local = {**access("get", "pods", namespace="other"), "user": "bob"}
    with pytest.raises(StatusError, match=r"must match metadata\.namespace"):
        await reviews.ask("LocalSubjectAccessReview", local, namespace="shop")


async def test_what_may_i(reviews: Reviews) -> None:
    found = (await reviews.ask("SelfSubjectRulesReview", {"namespace": "shop"}))["status"]
    assert found["incomplete"] is False
    assert {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]} in found[
        "resourceRules"
    ]
    assert all("nonResourceURLs" in rule for rule in found["nonResourceRules"])


async def test_whose_token_is_this(world: World, reviews: Reviews) -> None:
    token = await world.issue(audiences=["a", "b"])
    found = (await reviews.ask("TokenReview", {"token": token, "audiences": ["b", "c"]}))["status"]
    assert (found["authenticated"], found["audiences"]) == (True, ["b"])
    assert found["user"]["username"] == "system:serviceaccount:shop:orders"
    bad = (await reviews.ask("TokenReview", {"token": "x"}))["status"]
    assert bad["authenticated"] is False
    assert bad["error"]
    other = (await reviews.ask("TokenReview", {"token": token}))["status"]
    assert other["authenticated"] is False
