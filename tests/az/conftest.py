"""A shell in which the stock az is signed in as the lab's operator, with plain AzureCloud settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shell import SIGN_IN, Shell, shell_in_a_lab
from tests.stock_az import warm_az

SCENARIO = Path(__file__).with_name("scenario.yaml")


@pytest.fixture(scope="session")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One lab for all of a worker's tests, so each makes groups of its own."""
    lab = shell_in_a_lab(tmp_path_factory.mktemp("az"), scenario=SCENARIO)
    with lab as shell, warm_az(shell.environment) as directory:
        shell.put_first(directory)
        shell(SIGN_IN)
        yield shell
