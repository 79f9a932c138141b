from collections.abc import Iterator

import pytest

from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import World


@pytest.fixture
def world(signing_key: SigningKey) -> Iterator[World]:
    made = World(signing_key)
    yield made
    made.store.close()
