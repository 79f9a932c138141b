"""CEL: what compiles, what an expression's value is, and in which words it fails."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.cluster.expressions import engine
from podpass.lab.cluster.expressions.authorizer import asking, authorizer
from podpass.lab.cluster.expressions.engine import Expression, Failed, NotCompiled, compiled

OBJECT = {
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"replicas": 3, "containers": [{"name": "a", "image": "x:1"}, {"name": "b"}], "empty": None, "ratio": 0.5},
}


def value(text: str, **variables: Any) -> Any:
    given = {"object": OBJECT, **variables}
    expression = compiled(text, dict.fromkeys(given, "dyn"))
    assert isinstance(expression, Expression), expression
    return expression.evaluate(given)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("object.spec.replicas <= 5", True, id="comparison"),
        pytest.param("object.spec.containers.all(c, has(c.name))", True, id="all"),
        pytest.param("object.spec.containers.filter(c, has(c.image)).map(c, c.name)", ["a"], id="filter-map"),
        pytest.param("object.spec.?strategy.orValue('none')", "none", id="optional-member"),
        pytest.param("has(object.spec.empty)", True, id="null-is-there"),
        pytest.param("object.spec.ratio < 1", True, id="numbers-of-two-kinds"),
        pytest.param("cel.bind(n, object.metadata.name, n + n)", "webweb", id="bind"),
        pytest.param("'a,b'.split(',')", ["a", "b"], id="strings"),
        pytest.param("'%s has %d'.format([object.metadata.name, 3])", "web has 3", id="format"),
        pytest.param("[1, 3, 2].isSorted()", False, id="is-sorted"),
        pytest.param("[1, 2, 3].sum()", 6, id="sum"),
        pytest.param("[2, 9, 4].max() - [2, 9, 4].min()", 7, id="extremes"),
        pytest.param("sets.contains([1], [true])", False, id="true-is-not-one"),
        pytest.param("sets.contains([1, 2, 3], [2])", True, id="sets"),
        pytest.param("sets.equivalent([1, 2], [2, 1, 1])", True, id="sets-equivalent"),
        pytest.param("'abc123'.find('[0-9]+')", "123", id="find"),
        pytest.param("'1 2 3'.findAll('[0-9]', 2)", ["1", "2"], id="find-all"),
        pytest.param("url('https://a.example:8443/p?q=1&q=2').getPort()", "8443", id="url-port"),
        pytest.param("url('https://a.example/p?q=1&q=2').getQuery()['q']", ["1", "2"], id="url-query"),
        pytest.param("isURL('nope')", False, id="url-invalid"),
        pytest.param("quantity('1Gi').isGreaterThan(quantity('1G'))", True, id="quantity"),
        pytest.param("quantity('1000m') == quantity('1')", True, id="quantity-equal"),
        pytest.param("quantity('1').add(quantity('500m')).compareTo(quantity('1500m'))", 0, id="quantity-add"),
        pytest.param("isQuantity('1Gib')", False, id="quantity-invalid"),
        pytest.param("ip('10.0.0.1').family()", 4, id="ip"),
        pytest.param("cidr('10.0.0.0/8').containsIP('10.2.3.4')", True, id="cidr"),
        pytest.param("cidr('10.0.0.0/8').containsCIDR('10.2.0.0/16')", True, id="cidr-in-cidr"),
        pytest.param("isIP('::ffff:1.2.3.4')", False, id="mapped-address"),
        pytest.param("duration('1h') > duration('59m')", True, id="duration"),
    ],
)
def test_expressions_have_the_values_that_the_api_server_gives_them(text: str, wanted: Any) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("object.spec.nope == 1", "no such key: nope", id="missing-key"),
        pytest.param("object.spec.containers[7].name", "index out of bounds: 7", id="index"),
        pytest.param("object.spec.replicas / 0", "division by zero", id="division"),
        pytest.param("object.metadata.name > 1", "no such overload", id="overload"),
        pytest.param("9223372036854775807 + object.spec.replicas", "integer overflow", id="overflow"),
        pytest.param("[].min()", "min called on empty list", id="empty"),
        pytest.param("'a'.find('(')", "Illegal regex: ", id="pattern"),
        pytest.param("quantity('x') == quantity('1')", "'x' is not a quantity", id="quantity"),
        pytest.param("object.getHost()", "no such overload", id="a-map-that-is-no-url"),
    ],
)
def test_an_evaluation_error_is_a_value_in_the_api_servers_words(text: str, why: str) -> None:
    found = value(text)
    assert isinstance(found, Failed)
    assert found.why.startswith(why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("nope == 1", "undeclared reference to 'nope' (in container '')\n | nope == 1\n | ^", id="name"),
        pytest.param(
            "1 == params.limit.most",
            "<input>:1:6: undeclared reference to 'params' (in container '')\n | 1 == params.limit.most\n | .....^",
            id="first-of-a-chain",
        ),
        pytest.param("'a' + 1", "found no matching overload for '_+_' applied to '(string, int)'", id="types"),
        pytest.param("object.", "Syntax error: ", id="syntax"),
        pytest.param("object.spec.replicas + 1", "must evaluate to bool but got", id="not-bool"),
        pytest.param("'a' + 'b'", "must evaluate to bool but got string", id="string"),
        pytest.param("true && " * 2000 + "true", "expression code point size exceeds limit: size: 16004", id="long"),
        pytest.param("(" * 500 + "true" + ")" * 500, "recursion limit exceeded", id="deep"),
    ],
)
def test_what_does_not_compile_says_why(text: str, why: str) -> None:
    found = compiled(text, {"object": "dyn"}, ("bool",))
    assert isinstance(found, NotCompiled)
    assert why in found.why


def test_only_true_holds() -> None:
    for text in ("object.missing", "[1]", "'yes'"):
        expression = compiled(text, {"object": "dyn"})
        assert isinstance(expression, Expression)
        assert expression.holds({"object": {}}) is not True


def test_an_evaluation_is_cut_off_when_it_takes_too_many_turns() -> None:
    many = list(range(1000))
    found = value("n.all(a, n.all(b, n.all(c, true)))", n=many)
    assert found == Failed(engine.OVER_BUDGET, over_budget=True)


def test_variables_with_dotted_names_are_type_checked() -> None:
    kinds = {"variables.limit": "int"}
    expression = compiled("variables.limit * 2", kinds)
    assert isinstance(expression, Expression)
    assert expression.evaluate({"variables.limit": 4}) == 8
    assert isinstance(compiled("variables.limit + 'a'", kinds), NotCompiled)
    assert isinstance(compiled("variables.other", kinds), NotCompiled)


def test_the_authorizer_is_asked_about_what_the_expression_says() -> None:
    asked: list[dict[str, Any]] = []

    def answer(question: dict[str, Any]) -> tuple[bool, str]:
        asked.append(question)
        return question["name"] == "web", "because"

    text = "authorizer.group('apps').resource('deployments').namespace('shop').name({}).check('get').allowed()"
    with asking(answer):
        for name, wanted in (("web", True), ("db", False)):
            expression = compiled(text.replace("{}", repr(name)), {"authorizer": "map<string, dyn>"}, ("bool",))
            assert isinstance(expression, Expression)
            assert expression.holds({"authorizer": authorizer({"username": "u"})}) is wanted
    expected = {"user": {"username": "u"}, "group": "apps", "resource": "deployments", "namespace": "shop"}
    assert asked[0] == {**expected, "name": "web", "verb": "get"}


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [("^a+$", "aaa", True), ("^a+$", "ab", False), ("(", "a", None), ("(?=a)", "a", None)],
)
def test_patterns_are_those_of_re2(pattern: str, text: str, wanted: bool | None) -> None:
    assert engine.matches(pattern, text) is wanted


def test_no_pattern_takes_more_than_linear_time() -> None:
    started = time.process_time()
    assert engine.matches("^(a+)+$", "a" * 50_000 + "b") is False
    assert value("s.find('(a+)+$')", s="a" * 50_000 + "b") == ""
    assert time.process_time() - started < 2


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_the_engine(text: str) -> None:
    found = compiled(text, {"object": "dyn"})
    if isinstance(found, Expression):
        found.evaluate({"object": OBJECT})
