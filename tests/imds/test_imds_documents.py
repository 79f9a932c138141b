"""The instance document: versions, paths, formats."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.imds.documents import read
from podpass.imds.errors import ImdsError

DOCUMENT: dict[str, Any] = {
    "compute": {"name": "vm-1", "location": "eastus", "resourceId": "/x", "tagsList": [{"name": "a", "value": "b"}]},
    "network": {"interface": []},
}


def ask(path: str, version: str = "2021-02-01", **more: str) -> Any:
    return read(DOCUMENT, path, {"api-version": version, **more})


def test_an_old_version_lacks_what_came_later() -> None:
    assert ask("", "2017-08-01")["compute"] == {"name": "vm-1", "location": "eastus"}
    assert ask("/compute/resourceId", "2019-03-11", format="text") == "/x"
    assert ask("/compute/resourceId", "2019-02-01", format="text").status == 404


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "compute/\nnetwork/"),
        ("/compute", "name\nlocation\nresourceId\ntagsList/"),
        ("/compute/name", "vm-1"),
        ("/compute/tagsList", "0/"),
        ("/compute/tagsList/0/value", "b"),
        ("/network/interface", ""),
    ],
)
def test_a_path_walks_the_document_as_text(path: str, text: str) -> None:
    assert ask(path, format="text") == text


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/compute/name", {}, 400),
        ("/compute", {"format": "xml"}, 400),
        ("/compute", {"api-version": "2017-01-01"}, 400),
        ("/compute", {"api-version": ""}, 400),
        ("/compute/nothing", {}, 404),
        ("/compute/tagsList/9", {}, 404),
        ("/compute/tagsList/9999999999999999999", {}, 404),
        ("/compute/../network", {}, 404),
    ],
)
def test_what_is_not_there_is_refused(path: str, query: dict[str, str], status: int) -> None:
    found = read(DOCUMENT, path, {"api-version": "2021-02-01", **query})
    assert isinstance(found, ImdsError)
    assert found.status == status


@given(path=st.text(max_size=60), form=st.sampled_from(["json", "text", ""]))
def test_an_arbitrary_path_breaks_nothing(path: str, form: str) -> None:
    read(DOCUMENT, path, {"api-version": "2021-02-01", "format": form})
