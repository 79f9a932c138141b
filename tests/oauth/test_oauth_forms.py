"""Forms of token endpoints."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.oauth.forms import MAX_FORM_BYTES, MAX_MEMBERS, BadForm, parse_form
from podpass.oauth.responses import OAuthError, TokenResponse, status_of


@pytest.mark.parametrize(
    ("body", "members"),
    [
        pytest.param(b"", {}, id="empty"),
        pytest.param(b"a=1&b=2", {"a": "1", "b": "2"}, id="plain"),
        pytest.param(b"a=x+y%20z%2B", {"a": "x y z+"}, id="encoded"),
        pytest.param(b"a=&b=2&c", {"b": "2"}, id="without-a-value-is-not-sent"),
        pytest.param(b"&&a=1&", {"a": "1"}, id="empty-pairs"),
        pytest.param(b"a=b=c", {"a": "b=c"}, id="equals-in-value"),
        pytest.param(b"a=%zz", {"a": "%zz"}, id="bad-escape-stays"),
    ],
)
def test_forms_are_read(body: bytes, members: dict) -> None:
    assert parse_form(body) == members


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"a=1&a=1", "given twice", id="repeated"),
        pytest.param(b"a=&a=1", "given twice", id="repeated-once-empty"),
        pytest.param(b"%61=1&a=1", "given twice", id="repeated-encoded"),
        pytest.param(b"&".join(b"p%d=1" % number for number in range(MAX_MEMBERS + 1)), "more than", id="many"),
        pytest.param(b"a=" + b"x" * MAX_FORM_BYTES, "larger than", id="large"),
        pytest.param(b"a=%ff", "UTF-8", id="not-utf8"),
        pytest.param(b"a=%00", "zero byte", id="zero-byte"),
        pytest.param(b"n" * 300 + b"=1", "name is too long", id="long-name"),
    ],
)
def test_forms_beyond_the_bounds_are_refused(body: bytes, reason: str) -> None:
    refused = parse_form(body)
    assert isinstance(refused, BadForm)
    assert reason in refused.reason


@given(st.binary(max_size=500))
def test_any_bytes_give_members_or_a_reason(body: bytes) -> None:
    assert isinstance(parse_form(body), dict | BadForm)


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=30), max_size=10))
def test_what_a_client_encodes_is_read_back(members: dict) -> None:
    expected = not any("\0" in text for pair in members.items() for text in pair)
    result = parse_form(urlencode(members).encode())
    assert (result == members) if expected else isinstance(result, BadForm)


def test_a_token_response_hides_its_token() -> None:
    response = TokenResponse("secret-token", 3599)
    assert "secret-token" not in repr(response)
    assert response.to_dict() == {"token_type": "Bearer", "expires_in": 3599, "access_token": "secret-token"}
    assert TokenResponse("t", 7200, 3600).to_dict()["refresh_in"] == 3600


def test_an_unrecognised_client_is_unauthorized_and_the_rest_bad_requests() -> None:
    assert OAuthError("invalid_client").status == 401
    assert status_of("invalid_scope") == status_of("unauthorized_client") == status_of("whatever") == 400
    assert status_of("temporarily_unavailable") == 503
