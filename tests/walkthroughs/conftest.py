"""A shell that uses a lab with the documentation's scenario, of each walkthrough's own."""

from collections.abc import Iterator

import pytest

from tests.shell import Shell, shell_in_a_lab


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in_a_lab(tmp_path_factory.mktemp("walkthrough")) as shell:
        yield shell
