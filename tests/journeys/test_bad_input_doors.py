"""What attackers and broken clients send through the doors gets the service's error, soon, and changes nothing."""

import asyncio
import base64
import hashlib
import hmac
import io
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from podpass.kube.resources import CONFIGMAPS, SERVICEACCOUNTS
from podpass.lab.demo.client import ARM, VAULT_RESOURCE, Identity, Operator
from podpass.lab.demo.plan import AUDIENCE, Plan, plan
from podpass.tokens import jwt
from podpass.tokens.keys import SigningKey
from tests.running_lab import RunningLab

LOGIN = "https://login.microsoftonline.com"
SECONDS = 3.0
"""Far above what any refusal takes, far below what unbounded work would."""
GROWTH_KIB = 48 * 1024
JSON_TYPE = {"Content-Type": "application/json"}
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


def encoded(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class World:
    """A lab with one identity that trusts one service account, and a good token of it."""

    operator: Operator
    lab: RunningLab
    plan: Plan
    identity: Identity
    token: str = field(repr=False)
    strays: list[str] = field(default_factory=list)

    async def send(self, method: str, url: str, data: Any = None, **headers: str) -> tuple[int, bytes]:
        began = time.monotonic()
        if isinstance(data, str | bytes):
            data = io.BytesIO(data if isinstance(data, bytes) else data.encode())
        proxy = None if url.startswith(self.lab.endpoints.api) else self.lab.endpoints.proxy
        async with self.operator.session.request(
            method,
            URL(url, encoded=True),
            data=data,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            ssl=self.operator.tls,
            proxy=proxy,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
        if (took := time.monotonic() - began) > SECONDS:
            self.strays.append(f"{method} {url[:80]} took {took:.1f} s")
        return answer.status, body

    @property
    def token_url(self) -> str:
        return f"{LOGIN}/{self.lab.endpoints.tenant_id}/oauth2/v2.0/token"

    async def exchange(self, assertion: str) -> tuple[int, str]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.identity.client_id,
            "scope": f"{VAULT_RESOURCE}/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        status, body = await self.send("POST", self.token_url, urlencode(form), **FORM_TYPE)
        answer = json.loads(body)
        if status == 200:
            return status, ""
        assert answer["error"]
        return status, answer["error_description"].partition(":")[0]

    async def fingerprint(self) -> str:
        """Everything that bad input could have changed."""
        headers = {"Authorization": f"Bearer {await self.operator._token(ARM)}"}
        vault = {"Authorization": f"Bearer {await self.operator._token(VAULT_RESOURCE)}"}
        subscription = f"{ARM}/subscriptions/{self.lab.endpoints.subscription_id}"
        parts = [
            await self.send("GET", f"{subscription}/resources?api-version=2021-04-01", **headers),
            await self.send("GET", f"{subscription}/resourceGroups?api-version=2021-04-01", **headers),
            await self.send(
                "GET", f"{ARM}{self.identity.id}/federatedIdentityCredentials?api-version=2024-11-30", **headers
            ),
            await self.send("GET", f"{self.plan.vault_url}/secrets?api-version=7.4", **vault),
        ]
        assert [status for status, _ in parts] == [200] * 4
        listing = await self.operator.kube.list(CONFIGMAPS, self.plan.namespace)
        names = sorted(item["metadata"]["name"] for item in listing.items)
        return hashlib.sha256(repr((parts, names)).encode()).hexdigest()


def memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def attack(lab: RunningLab, work: Any) -> None:
    """Do *work* with a World and check that the lab took no harm."""

    async def go(operator: Operator) -> None:
        wanted = plan(issuer=lab.endpoints.issuer, suffix="attacked")
        identity, _ = await operator.set_up_cloud(wanted)
        await operator.set_up_cluster(wanted, identity)
        spec = {"audiences": [AUDIENCE], "expirationSeconds": 3600}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = await operator.kube.create_subresource(
            SERVICEACCOUNTS, wanted.service_account, "token", request, wanted.namespace
        )
        world = World(operator, lab, wanted, identity, made["status"]["token"])
        assert await world.exchange(world.token) == (200, "")
        pid = lab.control.status()["pid"]
        before, state = memory_kib(pid), await world.fingerprint()
        await work(world)
        assert await world.fingerprint() == state, "bad input changed something"
        assert await world.exchange(world.token) == (200, ""), "and what is good still works"
        assert memory_kib(pid) - before < GROWTH_KIB
        assert world.strays == []
        assert all(loop["failures"] == 0 for loop in lab.control.status()["loops"].values())

    lab.operate(go)


@pytest.fixture(scope="module")
def forger() -> SigningKey:
    return SigningKey.generate("RSA")


def test_forged_and_malformed_assertions_are_refused(running_lab: RunningLab, forger: SigningKey) -> None:
    async def work(world: World) -> None:
        header, claims = jwt.decode(world.token).header, jwt.decode(world.token).claims
        _, payload, signature = world.token.split(".")
        _, keys = await world.send("GET", f"{world.lab.endpoints.issuer}openid/v1/jwks")
        (key, *_) = json.loads(keys)["keys"]
        number = int.from_bytes(base64.urlsafe_b64decode(key["n"] + "=="), "big")
        public = rsa.RSAPublicNumbers(65537, number).public_key()

        def hs256(encoding: Encoding) -> str:
            signed = f"{encoded({'alg': 'HS256', 'kid': header['kid']})}.{payload}"
            secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
            return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"

        def with_header(**members: object) -> str:
            return f"{encoded({'alg': 'RS256', **members})}.{payload}.{signature}"

        def forged(**members: object) -> str:
            return jwt.sign({**claims, **members}, forger, header={"kid": header["kid"]})

        unreadable, unsigned, unknown_key = (400, "AADSTS50027"), (400, "AADSTS5002730"), (401, "AADSTS7000272")
        wrong_signature, no_issuer = (401, "AADSTS700027"), (401, "AADSTS700211")
        cases = [
            (f"{encoded({'alg': 'none'})}.{payload}.", unsigned),
            (f"{encoded({'alg': 'None', 'kid': header['kid']})}.{payload}.{signature}", unsigned),
            (hs256(Encoding.PEM), unsigned),
            (hs256(Encoding.DER), unsigned),
            (f'{encoded(b"""{"alg":"RS256","alg":"none"}""")}.{payload}.{signature}', unsigned),
            *(
                (with_header(kid=kid), unknown_key)
                for kid in ("../../../../etc/passwd", "/dev/zero", "https://evil.example/keys", "' OR 1=1 --", "\0")
            ),
            *((with_header(kid=kid), unreadable) for kid in ("x" * 5_000, 5, None, {"a": 1})),
            (with_header(kid=header["kid"], crit=["b64"], b64=False), unreadable),
            # Keys that the token brings along are not looked at.
            (jwt.sign(claims, forger, header={"kid": header["kid"], "jwk": forger.public.to_jwk()}), wrong_signature),
            (jwt.sign(claims, forger, header={"kid": header["kid"], "jku": "https://evil.example/k"}), wrong_signature),
            *((forged(iss=issuer), no_issuer) for issuer in ("https://evil.example/", "file:///etc/passwd", 5, None)),
            (forged(iss=f"{claims['iss']}../x"), no_issuer),
            (forged(sub="x" * 8_000), (401, "AADSTS700213")),
            (forged(aud=5), (401, "AADSTS700212")),
            (forged(exp=1e308), wrong_signature),
            (forged(aud=["a"] * 4_000), unreadable),
            (f"{encoded({'alg': 'RS256'})}.{encoded(b'[' * 5_000 + b']' * 5_000)}.AA", unreadable),
            (f"{encoded({'alg': 'RS256', 'kid': 'a'})}.{encoded(b'''{'iss':1}''')}.AA", unreadable),
            (forged(**{f"claim{count}": count for count in range(10_000)}), (400, "AADSTS90013")),
            ("a" * (1 << 20), (400, "AADSTS90013")),
            ("." * (1 << 20), (400, "AADSTS90013")),
        ]
        for assertion, expected in cases:
            assert await world.exchange(assertion) == expected, assertion[:60]

    attack(running_lab, work)


def test_issuers_that_are_none_are_refused(running_lab: RunningLab, forger: SigningKey) -> None:
    """Trusted by name, so that the authority really goes and asks: other services, unknown hosts, forbidden ones."""

    async def work(world: World) -> None:
        path = f"{ARM}{world.identity.id}/federatedIdentityCredentials/foreign?api-version=2024-11-30"
        headers = {"Authorization": f"Bearer {await world.operator._token(ARM)}", **JSON_TYPE}
        for issuer, code in (
            ("https://management.azure.com/", "AADSTS50166"),
            (world.plan.vault_url, "AADSTS50166"),
            ("https://nowhere.vault.azure.net/", "AADSTS50166"),
            ("https://evil.example/", "AADSTS50166"),
            ("https://169.254.169.254/", "AADSTS50166"),
            ("https://2130706433/", "AADSTS50166"),
            ("https://eastus.oic.prod-aks.azure.com/", "AADSTS50166"),
            ("https://kubernetes.default.svc/", "AADSTS50166"),
            ("https://user:pass@evil.example/", "AADSTS50166"),
            ("http://evil.example/", "AADSTS70022"),
            ("https://127.0.0.1/", "AADSTS70022"),
            ("https://[::1]/", "AADSTS70022"),
            ("https://evil.example/?x", "AADSTS70022"),
            ("kubernetes.default.svc", "AADSTS70022"),
        ):
            properties = {"issuer": issuer, "subject": "someone", "audiences": [AUDIENCE]}
            status, _ = await world.send("PUT", path, json.dumps({"properties": properties}), **headers)
            assert status in (200, 201), issuer
            now = int(time.time())
            claims = {"iss": issuer, "sub": "someone", "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600}
            status, said = await world.exchange(jwt.sign(claims, forger))
            assert (status >= 400, said) == (True, code), issuer
        await world.send("DELETE", path, **headers)

    attack(running_lab, work)


def test_malformed_forms_are_refused(running_lab: RunningLab) -> None:
    async def work(world: World) -> None:
        good = urlencode({"grant_type": "client_credentials", "client_id": world.identity.client_id})
        for body, content_type in (
            ("", FORM_TYPE),
            ("{}", JSON_TYPE),
            (f"{good}&client_id=other", FORM_TYPE),
            (f"{good}&client_assertion=%zz%", FORM_TYPE),
            (f"{good}&client_assertion=%00", FORM_TYPE),
            (f"{good}&client_assertion=%ff%fe", FORM_TYPE),
            ("&".join(f"name{count}=1" for count in range(100_000)), FORM_TYPE),
            ("a=" + "b" * (8 << 20), FORM_TYPE),
            (good.encode("utf-16"), {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"}),
            ("--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
            (b"\x1f\x8b" + b"0" * 100, {**FORM_TYPE, "Content-Encoding": "gzip"}),
        ):
            status, answer = await world.send("POST", world.token_url, body, **content_type)
            assert status == 400, body[:60]
            assert json.loads(answer)["error"] in ("invalid_request", "invalid_client", "unauthorized_client")

    attack(running_lab, work)


BODIES: tuple[str | bytes, ...] = (
    "",
    "null",
    "[]",
    '"x"',
    "[" * 100_000 + "]" * 100_000,
    '{"properties":' + '{"a":' * 50_000 + "1" + "}" * 100_000,
    b'{"location":"\xff\xfe"}',
    b"\xef\xbb\xbf{}",
    '{"location":NaN}',
    '{"location":' + "9" * 100_000 + "}",
    '{"location":"\\ud800"}',
    '{"location":{"a":[1]},"tags":5,"properties":"x","value":5}',
    '{"location":"' + "x" * (4 << 20) + '"}',
    "{} x",
)


def test_malformed_bodies_are_refused_by_the_clouds(running_lab: RunningLab) -> None:
    async def work(world: World) -> None:
        arm, vault = await world.operator._token(ARM), await world.operator._token(VAULT_RESOURCE)
        group = f"{ARM}/subscriptions/{world.lab.endpoints.subscription_id}/resourceGroups"
        providers = f"{group}/{world.plan.group}/providers"
        role = "Microsoft.Authorization/roleAssignments/11111111-1111-1111-1111-111111111111"
        for token, url in (
            (arm, f"{group}/bad?api-version=2024-11-01"),
            (arm, f"{providers}/Microsoft.ManagedIdentity/userAssignedIdentities/bad-one?api-version=2024-11-30"),
            (arm, f"{ARM}{world.identity.id}/federatedIdentityCredentials/bad-one?api-version=2024-11-30"),
            (arm, f"{providers}/Microsoft.KeyVault/vaults/bad-vault?api-version=2026-02-01"),
            (arm, f"{providers}/{role}?api-version=2022-04-01"),
            (vault, f"{world.plan.vault_url}/secrets/bad?api-version=7.4"),
        ):
            for body in BODIES:
                status, answer = await world.send("PUT", url, body, Authorization=f"Bearer {token}", **JSON_TYPE)
                assert 400 <= status < 500, (url, body[:60])
                assert json.loads(answer)["error"]["code"], (url, body[:60])

    attack(running_lab, work)


def test_malformed_bodies_are_refused_by_the_cluster(running_lab: RunningLab) -> None:
    async def work(world: World) -> None:
        import yaml

        (user,) = yaml.safe_load(world.lab.paths.kubeconfig.read_text())["users"]
        headers = {"Authorization": f"Bearer {user['user']['token']}"}
        namespace = f"{world.lab.endpoints.api}/api/v1/namespaces/{world.plan.namespace}"
        unnamed = ('{"metadata":[]}', '{"metadata":{"name":"../../x"}}', '{"metadata":{"name":["a"],"labels":5}}')
        for plural in ("configmaps", "pods", "serviceaccounts"):
            for body in (*BODIES, *unnamed):
                status, answer = await world.send("POST", f"{namespace}/{plural}", body, **headers, **JSON_TYPE)
                assert 400 <= status < 500, (plural, body[:60])
                assert json.loads(answer)["kind"] == "Status"
        for content_type, body in (
            ("application/apply-patch+yaml", "[" * 50_000),
            ("application/apply-patch+yaml", "a: &a [*a]"),
            ("application/apply-patch+yaml", "- a\n" * 700_000),
            ("application/json-patch+json", json.dumps([{"op": "add", "path": "/data", "value": {}}] * 20_000)),
            ("application/json-patch+json", '[{"op":"replace","path":"","value":5}]'),
            ("application/merge-patch+json", '{"a":' * 50_000 + "1" + "}" * 50_000),
            ("application/strategic-merge-patch+json", '{"$retainKeys":5}'),
            ("application/vnd.kubernetes.protobuf", b"k8s\0" + b"\xff" * 200),
            ("text/plain", "{}"),
        ):
            url = f"{namespace}/serviceaccounts/{world.plan.service_account}?fieldManager=x"
            status, answer = await world.send("PATCH", url, body, Content_Type=content_type, **headers)
            assert 400 <= status < 500, (content_type, body[:60])
            assert json.loads(answer)["kind"] == "Status"

    attack(running_lab, work)


def test_absurd_paths_and_queries_are_refused(running_lab: RunningLab) -> None:
    async def work(world: World) -> None:
        arm, vault = await world.operator._token(ARM), await world.operator._token(VAULT_RESOURCE)
        paths = ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc", "/%00", "/%ff", "/" + "x/" * 3_000, "/" + "a" * 7_000, "//")
        queries = (
            "?api-version=7.4&maxresults=-1",
            "?api-version=%00",
            "?api-version=a&api-version=b",
            "?" + "a=b&" * 1_800,
        )
        for origin, token in (
            (LOGIN, ""),
            (f"{ARM}/subscriptions", arm),
            (f"{world.plan.vault_url}/secrets", vault),
            (world.lab.endpoints.issuer.rstrip("/"), ""),
            (f"{world.lab.endpoints.api}/api/v1", ""),
        ):
            for path in (*paths, *(queries if token else ())):
                status, _ = await world.send("GET", origin + path, Authorization=f"Bearer {token}")
                assert 400 <= status < 500, (origin, path[:60])
        for authorization in ("Bearer", "Basic x", "Bearer a.b.c", "Bearer " + "a" * 15_000):
            status, _ = await world.send("GET", f"{world.plan.vault_url}/secrets", Authorization=authorization)
            assert status == 401

    attack(running_lab, work)


def test_watches_that_are_cut_are_let_go(running_lab: RunningLab) -> None:
    """Watches that are cut do not stay with the lab, and an unknown host is refused, never tunnelled."""

    async def work(world: World) -> None:
        import yaml

        (user,) = yaml.safe_load(world.lab.paths.kubeconfig.read_text())["users"]
        headers = {"Authorization": f"Bearer {user['user']['token']}"}

        async def cut() -> None:
            url = f"{world.lab.endpoints.api}/api/v1/configmaps?watch=true"
            async with world.operator.session.get(url, headers=headers, ssl=world.operator.tls) as answer:
                assert answer.status == 200
                answer.close()

        await asyncio.gather(*(cut() for _ in range(60)))
        with pytest.raises(aiohttp.ClientError):
            await world.send("GET", "https://nobody.example/")

    attack(running_lab, work)
