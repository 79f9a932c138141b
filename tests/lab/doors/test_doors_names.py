import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.doors.names import BadPattern, Names, Nowhere, Route, normalise, printable


@pytest.mark.parametrize(
    ("host", "service", "label"),
    [
        ("login.microsoftonline.com", "entra", ""),
        ("login.windows.net", "entra", ""),
        ("login.microsoft.com", "entra", ""),
        ("sts.windows.net", "entra", ""),
        ("management.azure.com", "arm", ""),
        ("management.core.windows.net", "arm", ""),
        ("graph.microsoft.com", "graph", ""),
        ("shop.vault.azure.net", "keyvault", "shop"),
        ("westeurope.oic.prod-aks.azure.com", "issuer", "westeurope"),
        ("kubernetes.default.svc.cluster.local", "cluster", ""),
        ("kubernetes.default.svc", "cluster", ""),
        ("Shop.Vault.Azure.NET", "keyvault", "shop"),
        ("shop.vault.azure.net.", "keyvault", "shop"),
        ("shop.vault.azure.net:443", "keyvault", "shop"),
        ("shop.vault.azure.net.:8443", "keyvault", "shop"),
    ],
)
def test_name_of_azure_leads_to_its_service(host: str, service: str, label: str) -> None:
    route = Names().route(host)
    assert route is not None
    assert (route.service, route.label) == (service, label)
    assert route.host == normalise(host)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="dot"),
        pytest.param("example.com", id="unknown"),
        pytest.param("vault.azure.net", id="suffix-alone"),
        pytest.param(".vault.azure.net", id="empty-label"),
        pytest.param("a.b.vault.azure.net", id="star-is-one-label"),
        pytest.param("shopvault.azure.net", id="no-dot-before-suffix"),
        pytest.param("management.azure.com.example.com", id="known-name-as-prefix"),
        pytest.param("xmanagement.azure.com", id="known-name-as-suffix"),
        pytest.param("management.azure.com..", id="two-dots"),
        pytest.param("management.azure.com:0", id="port-zero"),
        pytest.param("management.azure.com:65536", id="port-too-large"),
        pytest.param("management.azure.com:44 3", id="port-with-space"),
        pytest.param("management.azure.com:443:443", id="two-ports"),
        pytest.param("management.azure.com/", id="slash"),
        pytest.param("user@management.azure.com", id="credentials"),
        pytest.param("*.vault.azure.net", id="pattern"),
        pytest.param("-a.vault.azure.net", id="leading-dash"),
        pytest.param("management.azure.com\n", id="newline"),
        pytest.param("mаnagement.azure.com", id="cyrillic-a"),
        pytest.param("a" * 64 + ".vault.azure.net", id="label-too-long"),
        pytest.param("127.0.0.1", id="address"),
        pytest.param("[::1]", id="address-v6"),
        pytest.param("::1", id="address-v6-bare"),
    ],
)
def test_anything_else_leads_nowhere(host: str) -> None:
    assert Names().route(host) is None
    assert isinstance(Names().resolve(host), Nowhere)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "a.0x", "1.2.3.4."])
def test_spellings_of_addresses_are_no_host_names(host: str) -> None:
    assert normalise(host) is None


def test_name_below_a_star_exists_while_its_thing_does() -> None:
    names, vaults = Names(), {"shop"}
    names.only_existing("keyvault", vaults.__contains__)
    assert isinstance(names.resolve("shop.vault.azure.net"), Route)
    assert names.resolve("other.vault.azure.net") == Nowhere(
        "other.vault.azure.net", "keyvault has nothing named 'other'"
    )
    assert names.route("other.vault.azure.net") is not None
    vaults.add("other")
    assert isinstance(names.resolve("other.vault.azure.net"), Route)


def test_exact_names_exist_whatever_their_service_says() -> None:
    names = Names({"login.microsoftonline.com": "entra"})
    names.only_existing("entra", lambda label: False)
    assert isinstance(names.resolve("login.microsoftonline.com"), Route)


def test_patterns_are_added_while_others_read() -> None:
    names = Names({})
    assert names.route("my.issuer.example") is None
    names.add("My.Issuer.Example", "issuer")
    names.add("*.storage.example", "storage")
    assert names.route("my.issuer.example") == Route("issuer", "", "my.issuer.example")
    assert names.route("a.storage.example") == Route("storage", "a", "a.storage.example")
    assert dict(names.patterns()) == {"my.issuer.example": "issuer", "*.storage.example": "storage"}


@pytest.mark.parametrize(
    "pattern", ["", "*", "*.", "*.*.example", "a.*.example", "http://a.example", "a:443", "1.2.3.4"]
)
def test_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Names().add(pattern, "arm")


def test_exact_name_wins_over_a_star() -> None:
    names = Names({"*.example.com": "arm", "a.example.com": "entra"})
    route = names.route("a.example.com")
    assert route is not None
    assert route.service == "entra"


@settings(deadline=None)
@given(st.text())
def test_any_text_is_routed_or_not_but_never_breaks(text: str) -> None:
    names = Names()
    route = names.route(text)
    if route is not None:
        assert names.route(route.host) == route
    shown = printable(text)
    assert shown.isascii()
    assert "\n" not in shown


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?", fullmatch=True))
def test_every_vault_name_is_a_label(vault: str) -> None:
    route = Names().route(f"{vault}.vault.azure.net")
    assert route is not None
    assert route.label == vault
