"""Issuers' addresses and documents."""

import pytest

from podpass.tokens.discovery import (
    BadMetadata,
    discovery_url,
    is_loopback,
    issuer_document,
    jwks_url,
    read_metadata,
    unfederatable,
    unfetchable,
)

ISSUER = "https://issuer.example.test/c1/"


def test_the_document_is_what_an_api_server_publishes() -> None:
    assert issuer_document(ISSUER, ISSUER + "openid/v1/jwks", ["RS256", "ES256", "RS256"]) == {
        "issuer": ISSUER,
        "jwks_uri": "https://issuer.example.test/c1/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
    }


def test_a_slash_at_the_end_of_the_issuer_is_not_doubled() -> None:
    assert discovery_url(ISSUER) == discovery_url(ISSUER[:-1]) == ISSUER + ".well-known/openid-configuration"
    assert jwks_url(ISSUER) == jwks_url(ISSUER[:-1]) == ISSUER + "openid/v1/jwks"


@pytest.mark.parametrize(
    ("issuer", "jwks_uri"),
    [
        pytest.param(ISSUER, ISSUER + "keys", id="same-host"),
        pytest.param(ISSUER, "https://ISSUER.example.test:443/keys", id="default-port-and-letter-case"),
    ],
)
def test_keys_on_the_issuers_own_host_are_taken(issuer: str, jwks_uri: str) -> None:
    assert read_metadata(issuer_document(issuer, jwks_uri, ["RS256"]), issuer) == jwks_uri


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param([], "not a JSON object", id="not-an-object"),
        pytest.param({"issuer": ISSUER}, "lacks jwks_uri", id="no-jwks-uri"),
        pytest.param({"jwks_uri": ISSUER}, "lacks issuer", id="no-issuer"),
        pytest.param({"issuer": ISSUER[:-1], "jwks_uri": ISSUER}, "is for issuer", id="issuer-without-slash"),
        pytest.param({"issuer": ISSUER, "jwks_uri": "https://evil.example/k"}, "not on the issuer's host", id="host"),
        pytest.param({"issuer": ISSUER, "jwks_uri": "http://issuer.example.test/k"}, "not on", id="scheme"),
        pytest.param({"issuer": ISSUER, "jwks_uri": "https://issuer.example.test:8443/k"}, "not on", id="port"),
        pytest.param({"issuer": ISSUER, "jwks_uri": "https://issuer.example.test:x/k"}, "not on", id="no-port"),
        pytest.param({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}, "not on", id="file"),
        pytest.param({"issuer": ISSUER, "jwks_uri": 7}, "lacks jwks_uri", id="not-text"),
    ],
)
def test_a_document_that_leads_elsewhere_is_refused(document: object, reason: str) -> None:
    with pytest.raises(BadMetadata, match=reason):
        read_metadata(document, ISSUER)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://issuer.example.test/", True),
        ("http://issuer.example.test/", False),
        ("http://127.0.0.1:8000/", False),
        ("https://user@issuer.example.test/", False),
        ("ftp://issuer.example.test/", False),
        ("https:///path", False),
        ("https://[", False),
        ("https://host:99999/", False),
        ("", False),
    ],
)
def test_only_https_is_fetched(url: str, allowed: bool) -> None:
    assert (unfetchable(url) == "") is allowed


def test_http_is_fetched_from_this_machine_only_and_only_when_allowed() -> None:
    assert unfetchable("http://127.0.0.1:8000/", allow_http_loopback=True) == ""
    assert unfetchable("http://[::1]:8000/", allow_http_loopback=True) == ""
    assert unfetchable("http://127.0.0.1.example.test/", allow_http_loopback=True)
    assert unfetchable("http://10.0.0.1/", allow_http_loopback=True)


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        (ISSUER, ""),
        ("http://issuer.example.test/", "does not use HTTPS"),
        ("https://issuer.example.test/?a=b", "has a query or a fragment"),
        ("https://issuer.example.test/#", "has a query or a fragment"),
        ("https://127.0.0.1/", "is a loopback address"),
        ("https://localhost:6443", "is a loopback address"),
        ("https://[::1]/", "is a loopback address"),
        ("kubernetes/serviceaccount", "is not a URL"),
    ],
)
def test_issuers_that_cannot_be_federated_with(issuer: str, reason: str) -> None:
    assert unfederatable(issuer) == reason


def test_loopback_is_told_by_the_spelling() -> None:
    assert is_loopback("127.9.9.9")
    assert not is_loopback("127.0.0.1.nip.example")
