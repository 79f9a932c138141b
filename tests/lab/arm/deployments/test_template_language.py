"""The template expression language: its grammar, its functions, and what it refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.evaluation import BUILT_IN, Evaluation
from podpass.lab.arm.deployments.language.parsing import Call, Literal, Member, Node, escaped, parse
from podpass.lab.arm.deployments.language.registry import Function

NESTED = {"One": {"two": [1, {"three": "x"}]}, "true": True}
PLACE = {"nested": NESTED, "no": None, "list": [1, 2, 3]}


def find(call: Call) -> Function | None:
    if call.namespace == "own":
        return Function("own.twice", 1, 1, lambda text: text * 2)
    return Function("value", 1, 1, PLACE.__getitem__) if call.name == "value" and not call.namespace else None


def value_of(text: str) -> Any:
    return Evaluation(find).text(text)


def refusal_of(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        value_of(text)
    return str(caught.value)


# Examples of Azure's reference, each with the value that it states, and the rules around them.
VALUES = [
    ("plain text", "plain text"),
    ("[[not an expression]", "[not an expression]"),
    ("[[open", "[[open"),
    ("[1]", 1),
    ("[-12]", -12),
    ("['it''s']", "it's"),
    ("[ concat( 'a' , 'b' ) ]", "ab"),
    ("[CONCAT('a', 1, true())]", "a1True"),
    ("[concat(createArray(1), createArray(2, 3))]", [1, 2, 3]),
    ("[value('nested').one.TWO[1].three]", "x"),
    ("[value('nested')['One']['two'][0]]", 1),
    ("[own.twice('ab')]", "abab"),
    ("[base64('one, two, three')]", "b25lLCB0d28sIHRocmVl"),
    ("[base64ToString(base64('one, two, three'))]", "one, two, three"),
    ("[base64ToJson(base64('{''one'': ''a'', ''two'': ''b''}'))]", {"one": "a", "two": "b"}),
    ("[json('[1,2]')]", [1, 2]),
    ("[json('null')]", None),
    ("[dataUri('Hello')]", "data:text/plain;charset=utf8;base64,SGVsbG8="),
    ("[dataUriToString('data:;base64,SGVsbG8sIFdvcmxkIQ==')]", "Hello, World!"),
    ("[endsWith('abcdef', 'EF')]", True),
    ("[startsWith('abcdef', 'AB')]", True),
    (
        "[format('{0}, {1}. Formatted number: {2:N0}', 'Hello', 'User', 8175133)]",
        "Hello, User. Formatted number: 8,175,133",
    ),
    ("[format('{{{0}}}', 'x')]", "{x}"),
    ("[format('{0,5}|{0,-5}|{1:D4}|{1:x}|{1:000}', 'ab', 26)]", "   ab|ab   |0026|1a|026"),
    ("[guid('a', 'b')]", "2d796349-8c7e-55ec-9624-54ece82ed031"),
    ("[indexOf('abcdef', 'CD')]", 2),
    ("[lastIndexOf('test', 't')]", 3),
    ("[indexOf('abcdef', 'z')]", -1),
    ("[indexOf(createArray('a', 'b'), 'b')]", 1),
    ("[join(createArray('one', 'two', 3), '; ')]", "one; two; 3"),
    ("[padLeft('123', 10, '0')]", "0000000123"),
    ("[padLeft(7, 3)]", "  7"),
    ("[replace('123-123-1234', '-', '')]", "1231231234"),
    ("[split('one,two,three', ',')]", ["one", "two", "three"]),
    ("[split('one;two,three', createArray(',', ';'))]", ["one", "two", "three"]),
    ("[string(createArray('a', 'b', 1))]", '["a","b",1]'),
    ("[string(false())]", "False"),
    ("[substring('one two three', 4, 3)]", "two"),
    ("[substring('abc', 1)]", "bc"),
    ("[toUpper('One')]", "ONE"),
    ("[toLower('One')]", "one"),
    ("[trim('    one two   ')]", "one two"),
    ("[uri('http://contoso.org/firstpath', 'myscript.sh')]", "http://contoso.org/myscript.sh"),
    ("[uri('http://contoso.org/firstpath/', 'myscript.sh')]", "http://contoso.org/firstpath/myscript.sh"),
    (
        "[uriComponent('http://contoso.com/resources/nested/azuredeploy.json')]",
        "http%3A%2F%2Fcontoso.com%2Fresources%2Fnested%2Fazuredeploy.json",
    ),
    ("[uriComponentToString('a%2Fb')]", "a/b"),
    ("[array('a')]", ["a"]),
    ("[contains('OneTwoThree', 'two')]", False),
    ("[contains(createArray('a'), 'a')]", True),
    ("[contains(value('nested'), 'ONE')]", True),
    ("[empty('')]", True),
    ("[empty(value('no'))]", True),
    ("[first('One Two Three')]", "O"),
    ("[last(createArray('one', 'two'))]", "two"),
    ("[flatten(createArray(createArray(1), createArray(2)))]", [1, 2]),
    ("[intersection(createArray(1, 2, 3), createArray(3, 2))]", [2, 3]),
    ("[length(createArray(1, 2))]", 2),
    ("[max(0, 3, 2)]", 3),
    ("[min(value('list'))]", 1),
    ("[range(5, 3)]", [5, 6, 7]),
    ("[skip(value('list'), 2)]", [3]),
    ("[take('one two', 3)]", "one"),
    ("[union(createArray('one', 'two'), createArray('two', 'three'))]", ["one", "two", "three"]),
    ('[union(json(\'{"a":{"b":1}}\'), json(\'{"a":{"c":2}}\'))]', {"a": {"b": 1, "c": 2}}),
    ("[shallowMerge(createArray(createObject('a', 1), createObject('A', 2)))]", {"a": 2}),
    ("[items(createObject('b', 1, 'a', 2))]", [{"key": "a", "value": 2}, {"key": "b", "value": 1}]),
    ("[objectKeys(createObject('b', 1, 'a', 2))]", ["a", "b"]),
    ("[tryGet(value('nested'), 'one', 'missing')]", None),
    ("[tryGet(value('nested'), 'one', 'two', 0)]", 1),
    ("[indexFromEnd(value('list'), 1)]", 3),
    ("[add(5, 3)]", 8),
    ("[sub(7, 3)]", 4),
    ("[mul(5, 3)]", 15),
    ("[div(-7, 2)]", -3),
    ("[mod(-7, 2)]", -1),
    ("[int('4')]", 4),
    ("[bool('true')]", True),
    ("[coalesce(value('no'), 'x')]", "x"),
    ("[equals('a', 'A')]", False),
    ("[equals(createObject('a', createArray(1)), createObject('a', createArray(1)))]", True),
    ("[equals(true(), 1)]", False),
    ("[less('a', 'b')]", True),
    ("[greaterOrEquals(2, 2)]", True),
    ("[and(bool('true'), bool('false'))]", False),
    ("[or(true(), fail('never asked'))]", True),
    ("[not(bool('false'))]", True),
    ("[if(equals('a', 'a'), 'yes', fail('no'))]", "yes"),
    ("[dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y', 'yyyy-MM-dd')]", "2023-04-07"),
    ("[dateTimeAdd('2020-04-07T14:53:14Z', '-P9D')]", "2020-03-29T14:53:14Z"),
    ("[dateTimeAdd('2020-04-07T14:53:14Z', 'PT1H')]", "2020-04-07T15:53:14Z"),
    ("[dateTimeFromEpoch(1683040573)]", "2023-05-02T15:16:13Z"),
    ("[dateTimeToEpoch('2023-05-02T15:16:13Z')]", 1683040573),
    ("[map(value('list'), lambda('x', add(lambdaVariables('x'), 1)))]", [2, 3, 4]),
    ("[filter(value('list'), lambda('x', less(lambdaVariables('x'), 3)))]", [1, 2]),
    ("[sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]", [1, 2, 3]),
    ("[reduce(value('list'), 0, lambda('sum', 'x', add(lambdaVariables('sum'), lambdaVariables('x'))))]", 6),
    (
        "[toObject(createArray('a', 'b'), lambda('x', lambdaVariables('x')), lambda('y', toUpper('z')))]",
        {"a": "Z", "b": "Z"},
    ),
    (
        "[groupBy(createArray('ab', 'ac', 'b'), lambda('x', first(lambdaVariables('x'))))]",
        {"a": ["ab", "ac"], "b": ["b"]},
    ),
    ("[mapValues(createObject('a', 1), lambda('v', mul(lambdaVariables('v'), 2)))]", {"a": 2}),
]


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=lambda value: str(value)[:60])
def test_an_expression_has_its_value(text: str, expected: Any) -> None:
    found = value_of(text)
    assert found == expected
    assert type(found) is type(expected)


UNIQUE = [
    # What Azure's own library makes of these, as others have published it.
    (("test",), "rbgf3xv4ufgzg"),
    (("t",), "fsnwonksnm7cy"),
    (("te",), "o57ehhbytctgs"),
    (("tes",), "ebse57jls4qbc"),
    (("test", "test2", "test3"), "bqgd334z2uj64"),
    (("hello", "world"), "a7wkljktk6wne"),
    (("tyeth",), "zcztcwvu6iyg6"),
    (
        (
            "/subscriptions/31e9f9a0-9fd2-4294-a0a3-0101246d9700/resourceGroups/rg-modm201-20230913120256/providers/"
            "Microsoft.Compute/virtualMachines/bobjacmodm201",
        ),
        "yvjxno3je5on2",
    ),
    (
        (
            "/subscriptions/12345678-1234-1234-1234-123456789012/resourceGroups/my-rg",
            "Microsoft.Storage/storageAccounts",
        ),
        "z22rah77jfqry",
    ),
]


@pytest.mark.parametrize(("parts", "expected"), UNIQUE, ids=lambda value: str(value)[:40])
def test_unique_strings_are_those_that_azure_makes(parts: tuple[str, ...], expected: str) -> None:
    assert BUILT_IN["uniquestring"](list(parts)) == expected


REFUSALS = [
    ("[]", "expected token 'Identifier' and actual 'EndOfData'"),
    ("[concat('a']", "expected token 'RightParenthesis' and actual 'EndOfData'"),
    ("[concat('a' 'b')]", "expected token 'RightParenthesis' and actual 'LiteralString'"),
    ("[concat('a'))]", "expected token 'EndOfData' and actual 'RightParenthesis'"),
    ("[concat]", "expected token 'LeftParenthesis' and actual 'EndOfData'"),
    ("[concat('a').]", "expected token 'Identifier' and actual 'EndOfData'"),
    ("['open]", "the character ''' at position '1' is not expected"),
    ("[a + b]", "the character '+' at position '2' is not expected"),
    ("[nothing('x')]", "The template function 'nothing' is not valid."),
    ("[other.nothing('x')]", "The template function 'other.nothing' is not valid."),
    ("[toLower()]", "function requires 1 argument(s) while 0 were provided"),
    ("[toLower(1)]", "to be of type 'String'. The provided value is of type 'Integer'."),
    ("[if('yes', 1, 2)]", "to be of type 'Boolean'. The provided value is of type 'String'."),
    ("[value('nested').four]", "property 'four' doesn't exist, available properties are 'One, true'."),
    ("[value('list')[3]]", "array index '3' is out of bounds."),
    ("[value('list').length]", "array index must be an integer"),
    ("[value('no').name]", "the value before it is of type 'Null'"),
    ("[format('{1}', 'x')]", "Index (zero based)"),
    ("[substring('abc', 2, 5)]", "string length '3'"),
    ("[div(1, 0)]", "can't divide by zero"),
    ("[add(9223372036854775807, 1)]", "does not fit 64 bits"),
    ("[int('four')]", "cannot be converted to the target type"),
    ("[json('{')]", "invalid JSON"),
    ("[fail('as asked')]", "as asked"),
    ("[createObject('a')]", "an even number of parameters"),
    ("[map(value('list'), 'x')]", "expects a lambda"),
    ("[lambdaVariables('x')]", "'x' is not defined here"),
    ("[range(0, 99999)]", "a count from 0 to 10000"),
    ("[" + "not(" * 150 + "true()" + ")" * 150 + "]", "nested deeper than 100 levels"),
    ("['" + "a" * 25_000 + "']", "length limit exceeded"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSALS, ids=lambda value: str(value)[:40])
def test_what_has_no_value_says_why(text: str, reason: str) -> None:
    assert reason in refusal_of(text)


def test_a_text_can_not_grow_without_end() -> None:
    much = "replace(replace(replace('aaaaaaaaaa', 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa'), 'a', '{0}')"
    assert "longer than 131072" in refusal_of(f"[{much.format('a' * 1_000)}]")


NAMES = st.from_regex(r"[a-z][a-zA-Z0-9_]{0,8}", fullmatch=True)


def written(node: Node) -> str:
    match node:
        case Literal(str() as value):
            return "'" + value.replace("'", "''") + "'"
        case Literal(value):
            return str(value)
        case Member(target, key):
            return f"{written(target)}[{written(key)}]"
        case Call(name, arguments, namespace):
            full = f"{namespace}.{name}" if namespace else name
            return f"{full}({', '.join(map(written, arguments))})"


LITERALS = st.builds(Literal, st.text() | st.integers(-(10**9), 10**9))
NODES: st.SearchStrategy[Node] = st.recursive(
    LITERALS,
    lambda inner: (
        st.builds(Call, NAMES, st.lists(inner, max_size=3).map(tuple), st.just("") | NAMES)
        | st.builds(Member, st.builds(Call, NAMES), inner)
    ),
    max_leaves=12,
)


@given(NODES)
def test_what_is_written_is_read_back(node: Node) -> None:
    assert parse(f"[{written(node)}]") == node


@given(st.text())
def test_any_text_has_a_value_or_a_reason(text: str) -> None:
    try:
        value_of(f"[{text}]")
    except ExpressionError as error:
        assert str(error)


@given(st.text() | st.text().map(lambda text: f"[{text}]"))
def test_an_escaped_text_stands_for_itself(text: str) -> None:
    assert value_of(escaped(text)) == text


@given(st.lists(st.integers() | st.text() | st.none() | st.lists(st.integers())), st.sampled_from(sorted(BUILT_IN)))
def test_functions_answer_or_refuse_whatever_they_get(arguments: list[Any], name: str) -> None:
    try:
        BUILT_IN[name](arguments)
    except ExpressionError as error:
        assert str(error)
