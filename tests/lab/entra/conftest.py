from collections.abc import Iterator

import pytest

from podpass.lab.entra.signing import SigningIdentity, load_or_create
from podpass.tokens.keys import SigningKey
from tests.lab.entra.entra_world import World


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    return load_or_create(tmp_path_factory.mktemp("entra"))


@pytest.fixture(scope="session")
def cluster_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture(scope="session")
def stray_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture
def world(signing: SigningIdentity, cluster_key: SigningKey) -> Iterator[World]:
    world = World(signing, cluster_key)
    yield world
    world.store.close()
