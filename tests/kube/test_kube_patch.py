"""The three patches."""

import contextlib
import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.merging import rules_for
from podpass.kube.patch import (
    MAX_COPIED_BYTES,
    PatchMalformed,
    PatchRefused,
    apply_json_patch,
    apply_merge_patch,
    apply_strategic_merge_patch,
)

POD = rules_for("", "Pod")
keys = st.sampled_from(["a", "b", "metadata", "spec", "containers", "name", "finalizers", "$patch", "$retainKeys"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396(document: Any, patch: Any, result: Any) -> None:
    assert apply_merge_patch(document, patch) == result


@given(documents, documents)
def test_a_json_patch_that_another_program_makes_leads_where_it_should(source: Any, target: Any) -> None:
    operations = jsonpatch.make_patch(source, target).patch
    before = copy.deepcopy(source)
    assert apply_json_patch(source, operations) == target
    assert source == before


@given(
    documents,
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
                "path": st.sampled_from(["", "/", "/a", "/a/b", "/a/-", "/a/0", "a", "/~", "/a/01"]),
                "from": st.sampled_from(["", "/a", "/b/c"]),
                "value": documents,
            },
        ),
        max_size=4,
    )
    | documents,
)
def test_no_json_patch_breaks_anything(document: Any, operations: Any) -> None:
    with contextlib.suppress(PatchMalformed, PatchRefused):
        apply_json_patch(document, operations)


@given(documents, documents)
def test_no_strategic_patch_breaks_anything(document: Any, patch: Any) -> None:
    before = copy.deepcopy(document)
    with contextlib.suppress(PatchMalformed):
        apply_strategic_merge_patch(document, patch, POD)
    assert document == before


def test_a_patch_of_copies_is_bounded() -> None:
    document = {"a": ["x" * 1000]}
    with pytest.raises(PatchRefused, match=str(MAX_COPIED_BYTES)):
        apply_json_patch(document, [{"op": "copy", "from": "/a", "path": "/a/-"}] * 100)


def test_a_patch_of_too_many_operations_is_refused() -> None:
    with pytest.raises(PatchMalformed, match="10000"):
        apply_json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)


def containers(*found: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(found)}}


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        pytest.param(
            containers({"name": "a", "image": "2"}),
            containers({"name": "a", "image": "2", "args": ["x"]}, {"name": "b"}),
            id="containers-merge-by-name",
        ),
        pytest.param(
            containers({"name": "c"}),
            containers({"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}, {"name": "c"}),
            id="a-new-item-is-appended",
        ),
        pytest.param(
            containers({"name": "a", "args": ["y"]}),
            containers({"name": "a", "image": "1", "args": ["y"]}, {"name": "b"}),
            id="args-are-replaced",
        ),
        pytest.param(containers({"$patch": "delete", "name": "a"}), containers({"name": "b"}), id="an-item-is-deleted"),
        pytest.param(
            containers({"$patch": "replace"}, {"name": "z"}), containers({"name": "z"}), id="the-list-is-replaced"
        ),
        pytest.param(
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b"}]}},
            containers({"name": "b"}, {"name": "a", "image": "1", "args": ["x"]}),
            id="the-order-is-set",
        ),
        pytest.param({"spec": None}, {}, id="null-deletes"),
        pytest.param({"spec": {"$patch": "replace", "x": 1}}, {"spec": {"x": 1}}, id="a-map-is-replaced"),
        pytest.param({"spec": {"$retainKeys": ["x"], "x": 1}}, {"spec": {"x": 1}}, id="only-some-keys-are-kept"),
    ],
)
def test_strategic_merge(patch: Any, result: Any) -> None:
    document = containers({"name": "a", "image": "1", "args": ["x"]}, {"name": "b"})
    assert apply_strategic_merge_patch(document, patch, POD) == result


def test_finalizers_are_a_set() -> None:
    document = {"metadata": {"finalizers": ["a/1", "b/2"]}}
    added = apply_strategic_merge_patch(document, {"metadata": {"finalizers": ["c/3", "a/1"]}}, POD)
    assert added["metadata"]["finalizers"] == ["a/1", "b/2", "c/3"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/1"]}}
    assert apply_strategic_merge_patch(document, patch, POD)["metadata"]["finalizers"] == ["b/2"]


def test_an_item_without_its_key_is_refused() -> None:
    with pytest.raises(PatchMalformed, match="does not contain declared merge key: name"):
        apply_strategic_merge_patch(containers(), containers({"image": "x"}), POD)


def test_replacing_a_member_that_is_missing_adds_it_as_the_api_server_does() -> None:
    assert apply_json_patch({"a": {}}, [{"op": "replace", "path": "/a/b", "value": 1}]) == {"a": {"b": 1}}
    with pytest.raises(PatchRefused):
        apply_json_patch({"a": []}, [{"op": "replace", "path": "/a/0", "value": 1}])
    with pytest.raises(PatchRefused):
        apply_json_patch({}, [{"op": "replace", "path": "/a/b", "value": 1}])
