"""Label and field selectors."""

import contextlib
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.selectors import (
    FieldRequirement,
    FieldSelector,
    LabelSelector,
    Requirement,
    SelectorSyntax,
    from_object,
    parse_fields,
    parse_labels,
)

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=api", False),
        ("app!=api", True),
        ("app!=web", False),
        pytest.param("other!=x", True, id="not-equal-matches-when-absent"),
        ("app in (web, api)", True),
        ("app notin (web)", False),
        pytest.param("other notin (x)", True, id="notin-matches-when-absent"),
        ("app", True),
        ("other", False),
        ("!other", True),
        ("! app", False),
        ("n>4", True),
        ("n>5", False),
        ("n<6", True),
        ("app>1", False),
        ("empty=", True),
        ("app=", False),
        pytest.param("empty in (,x)", True, id="the-empty-value-in-a-set"),
        ("app=web,tier=front", True),
        ("app=web, tier = back", False),
    ],
)
def test_label_selector(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (b,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators,"),
        ("-a=b", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'),
        ("a/b/c", 'unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid label key must consist of'),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=-x", "unable to parse requirement: values[0][a]: Invalid value: "),
        ("a@b", 'unable to parse requirement: <nil>: Invalid value: "a@b": name part must consist of'),
    ],
)
def test_bad_label_selectors_are_refused_in_the_api_servers_words(text: str, reason: str) -> None:
    with pytest.raises(SelectorSyntax, match="^" + re.escape(reason)):
        parse_labels(text)


names = st.text(string.ascii_lowercase, min_size=1, max_size=8)
requirements = st.one_of(
    st.builds(lambda key: Requirement(key, "exists"), names),
    st.builds(lambda key: Requirement(key, "!"), names),
    st.builds(lambda key, value: Requirement(key, "=", (value,)), names, names | st.just("")),
    st.builds(lambda key, value: Requirement(key, "!=", (value,)), names, names),
    st.builds(lambda key, value: Requirement(key, ">", (str(value),)), names, st.integers(0, 99)),
    st.builds(
        lambda key, operator, values: Requirement(key, operator, tuple(sorted(values))),
        names,
        st.sampled_from(["in", "notin"]),
        st.sets(names, min_size=1, max_size=3),
    ),
).filter(lambda requirement: requirement.key not in ("in", "notin"))


@given(st.lists(requirements, max_size=4))
def test_a_label_selector_reads_back_what_it_writes(found: list[Requirement]) -> None:
    selector = LabelSelector(tuple(found))
    assert parse_labels(str(selector)) == selector


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_labels, parse_fields):
        with contextlib.suppress(SelectorSyntax):
            parse(text)


@given(st.lists(st.builds(FieldRequirement, st.sampled_from(["metadata.name", "type"]), st.text(), st.booleans())))
def test_a_field_selector_reads_back_what_it_writes(found: list[FieldRequirement]) -> None:
    selector = FieldSelector(tuple(found))
    assert parse_fields(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("metadata.name!=b,kind=Pod", True),
        pytest.param("absent=", True, id="an-absent-field-is-empty"),
        (r"odd=x\,y\=z\\", True),
    ],
)
def test_field_selector(text: str, matches: bool) -> None:
    fields = {"metadata.name": "a", "kind": "Pod", "odd": "x,y=z\\"}
    assert parse_fields(text).matches(fields) is matches


@pytest.mark.parametrize("text", ["a", "a=b=c", "a=\\q", "a=b\\"])
def test_bad_field_selectors_are_refused(text: str) -> None:
    with pytest.raises(SelectorSyntax):
        parse_fields(text)


def test_selector_of_an_object() -> None:
    selector = from_object(
        {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}]}
    )
    assert selector is not None
    assert selector.matches(LABELS)
    assert not selector.matches({**LABELS, "tier": "back"})
    assert from_object(None) is None
    empty = from_object({})
    assert empty is not None
    assert empty.matches({})


@pytest.mark.parametrize(
    "selector",
    [
        {"matchExpressions": [{"key": "a", "operator": "Near"}]},
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
        {"matchLabels": {"a": 1}},
        {"matchExpressions": [{"operator": "In"}]},
    ],
)
def test_a_selector_of_an_object_that_is_none_is_refused(selector: dict[str, object]) -> None:
    with pytest.raises(SelectorSyntax):
        from_object(selector)
