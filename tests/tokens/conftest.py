import pytest

from podpass.tokens.keys import SigningKey


@pytest.fixture(scope="session")
def rsa_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture(scope="session")
def other_rsa_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture(scope="session")
def ec_key() -> SigningKey:
    return SigningKey.generate("EC")
