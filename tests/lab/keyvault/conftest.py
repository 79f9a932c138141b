from collections.abc import Iterator

import pytest
from tests.lab.arm.azure_world import World

from podpass.tokens.keys import SigningKey


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    return SigningKey.generate("RSA")


@pytest.fixture
def world(signing_key: SigningKey) -> Iterator[World]:
    made = World(signing_key)
    yield made
    made.store.close()
