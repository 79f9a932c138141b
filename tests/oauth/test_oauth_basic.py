"""Client ids and secrets in the Authorization header."""

import base64
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.oauth.basic import client_of_header


def header(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param(header("id:secret"), ("id", "secret"), id="plain"),
        pytest.param(header("id:a%3Ab+c"), ("id", "a:b c"), id="escaped"),
        pytest.param(header("id:a:b"), ("id", "a:b"), id="second-colon"),
        pytest.param(header("id:secret").replace("Basic", "bASIC"), ("id", "secret"), id="letter-case"),
        pytest.param(header("id"), None, id="no-colon"),
        pytest.param(header("id:"), None, id="no-secret"),
        pytest.param(header(":secret"), None, id="no-id"),
        pytest.param(header("id:%ff"), None, id="not-utf8"),
        pytest.param("Basic !!!", None, id="not-base64"),
        pytest.param("Bearer aWQ6c2VjcmV0", None, id="another-scheme"),
        pytest.param("", None, id="none"),
        pytest.param(header("id:" + "a" * 5000), None, id="too-long"),
    ],
)
def test_a_basic_header_names_a_client(value: str, found: tuple[str, str] | None) -> None:
    assert client_of_header(value) == found


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_what_is_escaped_is_read_back(client_id: str, secret: str) -> None:
    assert client_of_header(header(f"{quote_plus(client_id)}:{quote_plus(secret)}")) == (client_id, secret)


@given(st.text(max_size=60))
def test_any_header_is_read_or_not(value: str) -> None:
    client_of_header(value)
    client_of_header(f"Basic {value}")
