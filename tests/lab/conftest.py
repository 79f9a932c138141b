import pytest

from podpass.tokens.keys import SigningKey


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """One RSA key for all tests of the lab's parts: making them is slow."""
    return SigningKey.generate("RSA")
