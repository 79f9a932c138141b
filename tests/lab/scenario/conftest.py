from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podpass.tokens.keys import SigningKey
from tests.lab.scenario.clouds_world import Filled


@pytest.fixture
def make_clouds(signing_key: SigningKey, tmp_path: Path) -> Iterator[Callable[[], Filled]]:
    made: list[Filled] = []

    def make() -> Filled:
        made.append(Filled(signing_key, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.fixture
def clouds(make_clouds: Callable[[], Filled]) -> Filled:
    return make_clouds()
