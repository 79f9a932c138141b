from pathlib import Path

import pytest

from podpass.tokens.keys import SigningKey


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """One RSA key for all tests here: making them is slow."""
    return SigningKey.generate()


@pytest.fixture(scope="session")
def cluster_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of keys that clusters share: making an RSA key is slow."""
    return tmp_path_factory.mktemp("cluster-keys")
