import pytest

from tests.lab.arm.azure_world import World
from tests.lab.arm.deployments.deploying import Deploying


@pytest.fixture
def deploying(world: World) -> Deploying:
    return Deploying(world)
