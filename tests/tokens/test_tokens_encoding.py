"""base64url without padding."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.tokens.encoding import from_base64url, integer_from_base64url, integer_to_base64url, to_base64url


@given(st.binary(max_size=100))
def test_bytes_survive(data: bytes) -> None:
    assert from_base64url(to_base64url(data)) == data
    assert base64.urlsafe_b64decode(to_base64url(data) + "==") == data


@given(st.integers(0, 2**300))
def test_integers_survive(value: int) -> None:
    assert integer_from_base64url(integer_to_base64url(value)) == value


@pytest.mark.parametrize("text", ["a", "ab==", "YQ=", "YQ\n", " YQ", "Y+Q", "Y/Q", "Y!Q", "é", "YWJj=ZGVm"])
def test_what_is_not_base64url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|ascii"):
        from_base64url(text)


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        decoded = from_base64url(data)
    except ValueError:
        return
    assert len(decoded) == len(data) * 3 // 4
