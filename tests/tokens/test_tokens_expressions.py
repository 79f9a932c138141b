"""Claims matching expressions: the language, and what its terms accept."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.tokens.expressions import BadExpression, Expression, Term, parse

SUB = "claims['sub'] matches 'repo:contoso/*:ref:refs/heads/main'"
ID = "claims['repository_id'] eq '456789'"


def parsed(text: str) -> Expression:
    found = parse(text)
    assert isinstance(found, Expression), found
    return found


def test_an_expression_is_its_terms_in_their_order() -> None:
    assert parsed(f"{SUB} and {ID}").terms == (
        Term("sub", "matches", "repo:contoso/*:ref:refs/heads/main"),
        Term("repository_id", "eq", "456789"),
    )


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        pytest.param("", "a term begins with", 0, id="empty"),
        pytest.param("sub eq 'a'", "a term begins with", 0, id="no-lookup"),
        pytest.param("claims[sub] eq 'a'", "a term begins with", 0, id="unquoted-name"),
        pytest.param("claims[\"sub\"] eq 'a'", "a term begins with", 0, id="double-quoted-name"),
        pytest.param("claims[''] eq 'a'", "a term begins with", 0, id="empty-name"),
        pytest.param("claims['sub']  eq 'a'", "an operator", 14, id="two-spaces"),
        pytest.param("claims['sub'] eq'a'", "an operator", 14, id="no-space"),
        pytest.param("claims['sub'] eq a", "an operator", 14, id="unquoted-comparand"),
        pytest.param("claims['sub'] startsWith 'a'", "'startsWith' is neither eq nor matches", 14, id="operator"),
        pytest.param("claims['sub'] EQ 'a'", "'EQ' is neither", 14, id="operator-in-capitals"),
        pytest.param("claims['sub'] eq 'a", "no closing quote", 18, id="open"),
        pytest.param("claims['sub'] eq 'a''", "no closing quote", 18, id="open-after-a-quote"),
        pytest.param("claims['sub'] eq ''", "is empty", 18, id="empty-comparand"),
        pytest.param("claims['sub'] eq 'a' or claims['sub'] eq 'b'", "only ' and '", 20, id="or"),
        pytest.param("claims['sub'] eq 'a' ", "only ' and '", 20, id="space-at-the-end"),
        pytest.param("claims['sub'] eq 'a' and ", "a term begins with", 25, id="nothing-after-and"),
        pytest.param("(claims['sub'] eq 'a')", "a term begins with", 0, id="brackets"),
        pytest.param(" claims['sub'] eq 'a'", "a term begins with", 0, id="space-first"),
    ],
)
def test_what_is_no_expression_is_told_where_and_why(text: str, reason: str, position: int) -> None:
    found = parse(text)
    assert isinstance(found, BadExpression)
    assert reason in found.reason
    assert found.position == position


@pytest.mark.parametrize(
    ("term", "value", "accepted"),
    [
        pytest.param("eq 'a*'", "a*", True, id="eq-is-literal"),
        pytest.param("eq 'a*'", "ab", False, id="eq-has-no-wildcards"),
        pytest.param("eq 'a'", "A", False, id="eq-letter-case"),
        pytest.param("matches 'a*'", "a", True, id="star-is-also-nothing"),
        pytest.param("matches 'a*'", "a/b:c\nd", True, id="star-crosses-everything"),
        pytest.param("matches 'a*'", "ba", False, id="from-the-beginning"),
        pytest.param("matches '*a'", "ab", False, id="to-the-end"),
        pytest.param("matches '*a'", "aba", True, id="last-one-counts"),
        pytest.param("matches 'a?c'", "abc", True, id="one-character"),
        pytest.param("matches 'a?c'", "ac", False, id="question-mark-is-not-nothing"),
        pytest.param("matches 'v?.*'", "v1.0", True, id="dots-are-dots"),
        pytest.param("matches 'v?.*'", "v10", False, id="no-regular-expression"),
        pytest.param("matches 'a.c'", "abc", False, id="dot-is-a-dot"),
        pytest.param("matches 'A*'", "a", False, id="matches-letter-case"),
        pytest.param("matches '**'", "x", True, id="two-stars"),
        pytest.param("matches '*'", "", False, id="an-empty-claim-never"),
        pytest.param("eq 'it''s'", "it's", True, id="doubled-quote"),
        pytest.param("matches 'system:serviceaccount:*:app'", "system:serviceaccount:shop:app", True, id="accounts"),
        pytest.param("matches 'a*b*a'", "aba", True, id="pieces-do-not-overlap"),
        pytest.param("matches 'ab*ba'", "aba", False, id="pieces-overlap"),
    ],
)
def test_a_term_accepts(term: str, value: str, accepted: bool) -> None:
    assert parsed(f"claims['sub'] {term}").accepts({"sub": value}) is accepted


@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"sub": ["a"]}, {"sub": 1}, {"Sub": "a"}])
def test_a_claim_that_is_no_text_is_missing(claims: dict[str, object]) -> None:
    assert not parsed("claims['sub'] matches '*'").accepts(claims)


def test_all_terms_must_hold() -> None:
    expression = parsed(f"{SUB} and {ID}")
    good = {"sub": "repo:contoso/app:ref:refs/heads/main", "repository_id": "456789"}
    assert expression.accepts(good)
    assert expression.refusing({**good, "repository_id": "1"}) == (Term("repository_id", "eq", "456789"),)
    assert expression.refusing({}) == expression.terms


def test_letter_case_alone_is_told_apart() -> None:
    (term,) = parsed(SUB).terms
    assert term.accepts_in_another_case({"sub": "repo:Contoso/app:ref:refs/heads/MAIN"})
    assert not term.accepts_in_another_case({"sub": "repo:fabrikam/app:ref:refs/heads/main"})


names = st.text(alphabet="ab_-.é", min_size=1, max_size=8)
texts = st.text(alphabet="ab'*?[]\\.é/\n ", min_size=1, max_size=12)
operators = st.sampled_from(("eq", "matches"))
expressions = st.builds(
    Expression, st.lists(st.builds(Term, names, operators, texts), min_size=1, max_size=4).map(tuple)
)


@given(expressions)
def test_an_expression_written_out_is_read_back(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@given(st.text(max_size=80) | st.text(alphabet="claims['] eqmthnd*?", max_size=80))
def test_any_text_is_an_expression_or_told_why_not(text: str) -> None:
    found = parse(text)
    if isinstance(found, Expression):
        assert str(found) == text
    else:
        assert 0 <= found.position <= len(text)


@given(st.text(alphabet="ab*?/", min_size=1, max_size=10), st.text(alphabet="ab/", min_size=1, max_size=12))
def test_matching_agrees_with_shell_patterns(comparand: str, value: str) -> None:
    assert Term("sub", "matches", comparand).accepts({"sub": value}) is fnmatch.fnmatchcase(value, comparand)


def test_no_comparand_takes_long() -> None:
    many = Term("sub", "matches", "*a?" * 190 + "z")
    assert not many.accepts({"sub": "a" * 16_000})
