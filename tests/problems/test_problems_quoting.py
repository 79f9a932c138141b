"""Values in causes and remedies."""

from podpass.problems import Problem, problem

COMMAND = Problem("PP999", "t", cause="{name} is wrong", remedy="az do --name {name!q} --group {group!q}")


def test_values_are_quoted_for_a_shell_where_the_remedy_says_so() -> None:
    assert COMMAND.remedy_for(name="it's; rm", group="rg") == """az do --name 'it'"'"'s; rm' --group rg"""
    assert COMMAND.cause_for(name="it's; rm") == "it's; rm is wrong"


def test_a_value_that_is_not_known_leaves_its_name_standing() -> None:
    assert COMMAND.remedy_for(name="orders") == "az do --name orders --group {group}"
    assert COMMAND.remedy_for() == "az do --name {name} --group {group}"


def test_a_value_cannot_name_another_value() -> None:
    assert COMMAND.cause_for(name="{group}", group="x") == "{group} is wrong"


def test_a_value_in_braces_is_quoted_too() -> None:
    assert COMMAND.remedy_for(name="{$(id)}", group="x") == "az do --name '{$(id)}' --group x"


def test_an_entry_is_found_by_its_code() -> None:
    assert problem("PP201").wire == "AADSTS700211"
