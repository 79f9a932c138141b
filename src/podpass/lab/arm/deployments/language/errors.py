"""Why an expression has no value, worded as Resource Manager words it."""

USAGE = "Please see https://aka.ms/arm-template-expressions for usage details."


class ExpressionError(Exception):
    """The expression can't be parsed, or has no value."""


class RuntimeNeeded(ExpressionError):
    """The expression asks for the state of a resource, in a place where none is at hand."""

    def __init__(self, function: str) -> None:
        super().__init__(f"The template function '{function}' is not expected at this location. {USAGE}.")
        self.function = function


def wrong_count(function: str, wanted: str, given: int) -> ExpressionError:
    return ExpressionError(
        f"Unable to evaluate template language function '{function}': function requires {wanted} argument(s) while "
        f"{given} were provided. Please see https://aka.ms/arm-template-expressions/#{function} for usage details."
    )


def wrong_type(function: str, wanted: str, given: str) -> ExpressionError:
    return ExpressionError(
        f"The template language function '{function}' expects its parameter to be of type '{wanted}'. The provided "
        f"value is of type '{given}'. Please see https://aka.ms/arm-template-expressions/#{function} for usage details."
    )


def unknown_function(name: str) -> ExpressionError:
    return ExpressionError(f"The template function '{name}' is not valid. {USAGE}")
