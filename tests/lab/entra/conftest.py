from collections.abc import Iterator

import pytest

from podpass.lab.entra.signing import SigningIdentity
from podpass.tokens.keys import SigningKey
from tests.lab.entra.entra_world import World


@pytest.fixture(scope="session")
def signing() -> tuple[SigningIdentity, SigningIdentity]:
    """The key that signs, and the one that follows it."""
    return SigningIdentity.make(), SigningIdentity.make()


@pytest.fixture(scope="session")
def cluster_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture(scope="session")
def stray_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture
def world(signing: tuple[SigningIdentity, SigningIdentity], cluster_key: SigningKey) -> Iterator[World]:
    world = World(signing, cluster_key)
    yield world
    world.store.close()
