from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of keys that clusters share: making an RSA key is slow."""
    return tmp_path_factory.mktemp("cluster-keys")
