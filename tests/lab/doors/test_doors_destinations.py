import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.doors.destinations import Forward, Intercept, TurnedAway, decide
from podpass.lab.doors.names import Names

NAMES = Names()


def connect(target: str) -> Intercept | Forward | TurnedAway:
    return decide("CONNECT", target, [], NAMES)


def plain(target: str, host: str | None = None) -> Intercept | Forward | TurnedAway:
    return decide("GET", target, [] if host is None else [host], NAMES)


@pytest.mark.parametrize("target", ["management.azure.com:443", "MANAGEMENT.azure.com.:443"])
def test_connect_to_an_emulated_host_is_intercepted(target: str) -> None:
    found = connect(target)
    assert isinstance(found, Intercept)
    assert (found.route.service, found.route.host) == ("arm", "management.azure.com")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://management.azure.com/a?b", "management.azure.com"),
        ("http://management.azure.com", "management.azure.com:80"),
        ("HTTP://Management.Azure.Com:80/", "management.azure.com"),
    ],
)
def test_absolute_form_for_an_emulated_host_is_forwarded(target: str, host: str) -> None:
    assert isinstance(plain(target, host), Forward)


@pytest.mark.parametrize(
    ("target", "status", "why"),
    [
        pytest.param("example.com:443", 502, "does not emulate", id="unknown"),
        pytest.param("example.com:22", 502, "does not emulate", id="unknown-on-another-port"),
        pytest.param("management.azure.com:8443", 403, "only port 443", id="port"),
        pytest.param("management.azure.com:0", 400, "host:port", id="port-zero"),
        pytest.param("management.azure.com", 400, "host:port", id="no-port"),
        pytest.param("management.azure.com:", 400, "host:port", id="empty-port"),
        pytest.param(":443", 400, "host:port", id="no-host"),
        pytest.param("::1:443", 400, "host:port", id="v6-without-brackets"),
        pytest.param("http://management.azure.com/:443", 400, "", id="url"),
        pytest.param("a@management.azure.com:443", 400, "credentials", id="credentials"),
        pytest.param("169.254.169.254:443", 403, "unreachable", id="link-local"),
        pytest.param("[fe80::a9fe:a9fe]:443", 403, "unreachable", id="link-local-v6"),
        pytest.param("[::ffff:a9fe:a9fe]:443", 403, "unreachable", id="link-local-mapped"),
        pytest.param("127.0.0.1:443", 403, "NO_PROXY", id="loopback"),
        pytest.param("127.9.9.9:443", 403, "NO_PROXY", id="loopback-net"),
        pytest.param("[::1]:443", 403, "NO_PROXY", id="loopback-v6"),
        pytest.param("[::ffff:127.0.0.1]:443", 403, "NO_PROXY", id="loopback-mapped"),
        pytest.param("LOCALHOST.:443", 403, "NO_PROXY", id="localhost"),
        pytest.param("a.localhost:443", 403, "NO_PROXY", id="below-localhost"),
        pytest.param("192.0.2.1:443", 403, "an address", id="address"),
        pytest.param("[2001:db8::1]:443", 403, "an address", id="address-v6"),
        pytest.param("0.0.0.0:443", 403, "an address", id="any-address"),
        pytest.param("2852039166:443", 403, "an address", id="decimal"),
        pytest.param("0xa9fea9fe:443", 403, "an address", id="hexadecimal"),
        pytest.param("0xa9.254.0251.0376:443", 403, "an address", id="mixed"),
    ],
)
def test_connect_to_anything_else_is_turned_away(target: str, status: int, why: str) -> None:
    found = connect(target)
    assert isinstance(found, TurnedAway)
    assert found.status == status
    assert why in found.why


@pytest.mark.parametrize(
    ("target", "host", "why"),
    [
        ("/metadata/identity/oauth2/token", "169.254.169.254", "this is a proxy"),
        ("*", "management.azure.com", "this is a proxy"),
        ("ftp://management.azure.com/", "management.azure.com", "only http://"),
        ("http://[::1/", "a", "not a URL"),
        ("http://management.azure.com:99999/", "management.azure.com", "not a URL"),
        ("http://a:b@management.azure.com/", "management.azure.com", "credentials"),
        ("http://management.azure.com/", "example.com", "does not agree"),
        ("http://management.azure.com/", None, "does not agree"),
    ],
)
def test_malformed_plain_request_is_turned_away(target: str, host: str | None, why: str) -> None:
    found = plain(target, host)
    assert isinstance(found, TurnedAway)
    assert found.status == 400
    assert why in found.why


def test_two_host_headers_are_turned_away() -> None:
    found = decide("GET", "http://management.azure.com/", ["management.azure.com"] * 2, NAMES)
    assert isinstance(found, TurnedAway)


def test_credentials_are_not_repeated() -> None:
    for found in (connect("user:geheim@a.example:443"), plain("http://user:geheim@a.example/", "a.example")):
        assert isinstance(found, TurnedAway)
        assert "geheim" not in found.why + found.what


def test_query_is_not_repeated() -> None:
    found = plain("http://a.example/path?code=geheim", "a.example")
    assert isinstance(found, TurnedAway)
    assert found.what == "GET http://a.example"


@settings(deadline=None)
@given(st.sampled_from(["CONNECT", "GET"]), st.text(st.characters(max_codepoint=255)), st.text())
def test_any_target_gets_a_decision_and_one_line(method: str, target: str, host: str) -> None:
    found = decide(method, target, [host], NAMES)
    if isinstance(found, TurnedAway):
        assert found.status in (400, 403, 502)
        assert (found.why + found.what).isascii()
        assert "\n" not in found.why + found.what
    else:
        assert NAMES.route(found.route.host) == found.route
