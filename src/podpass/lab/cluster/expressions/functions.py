"""The functions that Kubernetes adds to CEL, as the engine takes them.

Contract: Kubernetes API surface, section 3.2.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from podpass.lab.cluster.expressions.addresses import ADDRESSES
from podpass.lab.cluster.expressions.authorizer import AUTHORIZER
from podpass.lab.cluster.expressions.lists import LISTS
from podpass.lab.cluster.expressions.quantities import QUANTITIES
from podpass.lab.cluster.expressions.regular_expressions import REGULAR_EXPRESSIONS
from podpass.lab.cluster.expressions.urls import URLS

_ALL = (*LISTS, *REGULAR_EXPRESSIONS, *URLS, *QUANTITIES, *ADDRESSES, *AUTHORIZER)


def _refusing(call: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with every fault of its arguments as the one error that the engine passes on."""

    def guarded(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except ValueError:
            raise
        except (TypeError, ArithmeticError, KeyError) as error:
            raise ValueError("no such overload") from error

    return guarded


@cache
def declarations() -> list[Any]:
    """Every function, as the engine takes it."""
    from cel_expr_python import cel

    overloads: dict[str, list[Any]] = {}
    for number, each in enumerate(_ALL):
        overloads.setdefault(each.name, []).append(
            cel.Overload(
                f"k8s_{number}",
                return_type=cel.Type(each.returns),
                parameters=[cel.Type(kind) for kind in each.parameters],
                is_member=each.member,
                impl=_refusing(each.call),
            )
        )
    return [cel.FunctionDecl(name, found) for name, found in overloads.items()]


@cache
def extensions() -> list[Any]:
    """The extensions of the language that the API server loads too."""
    from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

    return [
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
    ]
