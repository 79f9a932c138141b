"""The functions that Kubernetes adds to CEL: lists, sets, patterns, URLs, quantities, addresses, the authorizer.

The engine has no types of our own making, so a URL, a quantity, an address and a place to ask the authorizer about are
maps with one marking member; equal ones are equal maps. `indexOf` of lists is missing: the engine's strings extension
has that name. Contract: Kubernetes API surface, section 3.2.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from podpass.kube.quantity import parse_quantity

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Asked = Callable[[dict[str, Any]], tuple[bool, str]]

INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    parameters: tuple[str, ...]
    """Their CEL types; of a member function, the receiver's first."""
    returns: str
    call: Callable[..., Any]
    member: bool = False


_LIST, _MAP = "list<dyn>", "map<string, dyn>"


# Lists and sets


def _same(one: Any, other: Any) -> bool:
    # In Python True equals 1, in CEL it does not.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _has(elements: Iterable[Any], wanted: Any) -> bool:
    return any(_same(each, wanted) for each in elements)


def _is_sorted(elements: list[Any]) -> bool:
    return all(one <= other for one, other in pairwise(elements))


def _sum(elements: list[Any]) -> Any:
    if not elements:
        return 0
    total = elements[0]
    for each in elements[1:]:
        total = total + each
    if isinstance(total, int) and total not in INT64:
        raise ValueError("integer overflow")
    return total


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def found(elements: list[Any]) -> Any:
        if not elements:
            raise ValueError(f"{name} called on empty list")
        return choose(elements)

    return found


_LISTS = (
    _Function("isSorted", (_LIST,), "bool", _is_sorted, member=True),
    _Function("sum", (_LIST,), "dyn", _sum, member=True),
    _Function("min", (_LIST,), "dyn", _extreme("min", min), member=True),
    _Function("max", (_LIST,), "dyn", _extreme("max", max), member=True),
    _Function("sets.contains", (_LIST, _LIST), "bool", lambda a, b: all(_has(a, each) for each in b)),
    _Function("sets.intersects", (_LIST, _LIST), "bool", lambda a, b: any(_has(a, each) for each in b)),
    _Function(
        "sets.equivalent",
        (_LIST, _LIST),
        "bool",
        lambda a, b: all(_has(a, each) for each in b) and all(_has(b, each) for each in a),
    ),
)


# Regular expressions, in time linear to the text


@cache
def _re2() -> Any:
    import re2

    return re2


def _pattern(text: str) -> Any:
    options = _re2().Options()
    options.log_errors = False
    try:
        return _re2().compile(text, options)
    except _re2().error as error:
        raise ValueError(f"Illegal regex: {error}") from error


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return found.group(0) if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = (each.group(0) for each in _pattern(pattern).finditer(text))
    return [each for index, each in enumerate(found) if limit < 0 or index < limit]


_REGEX = (
    _Function("find", ("string", "string"), "string", _find, member=True),
    _Function("findAll", ("string", "string"), "list<string>", _find_all, member=True),
    _Function("findAll", ("string", "string", "int"), "list<string>", _find_all, member=True),
)


# URLs


def _split(text: str) -> SplitResult:
    """As Go reads a request's URI: absolute, or a path that begins with a slash."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: {error}") from error
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return parts


def _is(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def valid(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return valid


def _url(text: str) -> dict[str, Any]:
    _split(text)
    return {"url": text}


def _part(value: dict[str, Any], member: str) -> Any:
    try:
        return value[member]
    except (KeyError, TypeError) as error:
        raise ValueError("no such overload") from error


def _of_url(read: Callable[[SplitResult], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda value: read(_split(_part(value, "url")))


_URLS = (
    _Function("url", ("string",), _MAP, _url),
    _Function("isURL", ("string",), "bool", _is(_split)),
    _Function("getScheme", (_MAP,), "string", _of_url(lambda parts: parts.scheme), member=True),
    _Function("getHost", (_MAP,), "string", _of_url(lambda parts: parts.netloc.rpartition("@")[2]), member=True),
    _Function("getHostname", (_MAP,), "string", _of_url(lambda parts: parts.hostname or ""), member=True),
    _Function("getPort", (_MAP,), "string", _of_url(lambda parts: str(parts.port or "")), member=True),
    _Function("getEscapedPath", (_MAP,), "string", _of_url(lambda parts: parts.path), member=True),
    _Function(
        "getQuery",
        (_MAP,),
        "map<string, list<string>>",
        _of_url(lambda parts: parse_qs(parts.query, keep_blank_values=True)),
        member=True,
    ),
)


# Quantities


def _quantity(text: str) -> dict[str, Any]:
    return {"quantity": str(parse_quantity(text).normalize())}


def _amount(value: dict[str, Any]) -> Decimal:
    return Decimal(_part(value, "quantity"))


def _made(amount: Decimal) -> dict[str, Any]:
    return {"quantity": str(amount.normalize())}


def _is_integer(value: dict[str, Any]) -> bool:
    amount = _amount(value)
    return amount == amount.to_integral_value() and int(amount) in INT64


def _as_integer(value: dict[str, Any]) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_amount(value))


_QUANTITIES = (
    _Function("quantity", ("string",), _MAP, _quantity),
    _Function("isQuantity", ("string",), "bool", _is(parse_quantity)),
    _Function("isInteger", (_MAP,), "bool", _is_integer, member=True),
    _Function("asInteger", (_MAP,), "int", _as_integer, member=True),
    _Function("asApproximateFloat", (_MAP,), "double", lambda q: float(_amount(q)), member=True),
    _Function("sign", (_MAP,), "int", lambda q: int(_amount(q).compare(Decimal(0))), member=True),
    _Function("add", (_MAP, _MAP), _MAP, lambda q, other: _made(_amount(q) + _amount(other)), member=True),
    _Function("add", (_MAP, "int"), _MAP, lambda q, other: _made(_amount(q) + other), member=True),
    _Function("sub", (_MAP, _MAP), _MAP, lambda q, other: _made(_amount(q) - _amount(other)), member=True),
    _Function("sub", (_MAP, "int"), _MAP, lambda q, other: _made(_amount(q) - other), member=True),
    _Function("compareTo", (_MAP, _MAP), "int", lambda q, other: int(_amount(q).compare(_amount(other))), member=True),
    _Function("isGreaterThan", (_MAP, _MAP), "bool", lambda q, other: _amount(q) > _amount(other), member=True),
    _Function("isLessThan", (_MAP, _MAP), "bool", lambda q, other: _amount(q) < _amount(other), member=True),
)


# Addresses


def _address(text: str) -> Address:
    found = ipaddress.ip_address(text)
    if isinstance(found, ipaddress.IPv6Address) and (found.ipv4_mapped is not None or found.scope_id):
        raise ValueError(f"IPv4-mapped IPv6 address and zones are not allowed: {text}")
    return found


def _network(text: str) -> Network:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text}")
    return ipaddress.ip_network(text, strict=False)


def _ip(value: Any) -> Address:
    return _address(value if isinstance(value, str) else _part(value, "ip"))


def _cidr(value: Any) -> Network:
    return _network(value if isinstance(value, str) else _part(value, "cidr"))


def _contains(network: Any, inner: Any) -> bool:
    outer = _cidr(network)
    if isinstance(inner, dict) and "ip" in inner:
        address = _ip(inner)
        return address.version == outer.version and address in outer
    other = _cidr(inner)
    return other.version == outer.version and other.subnet_of(outer)  # type: ignore[arg-type]


def _contains_ip(network: Any, address: Any) -> bool:
    return _contains(network, {"ip": str(_ip(address))})


def _is_local_multicast(value: Any) -> bool:
    address = _ip(value)
    local = ("224.0.0.0/24", "ff02::/16")["46".index(str(address.version))]
    return address in ipaddress.ip_network(local)


def _is_global(value: Any) -> bool:
    address = _ip(value)
    apart = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not apart and str(address) != "255.255.255.255"


_ADDRESSES = (
    _Function("ip", ("string",), _MAP, lambda text: {"ip": str(_address(text))}),
    _Function("isIP", ("string",), "bool", _is(_address)),
    _Function("ip.isCanonical", ("string",), "bool", lambda text: str(_address(text)) == text),
    _Function("family", (_MAP,), "int", lambda ip: _ip(ip).version, member=True),
    _Function("isUnspecified", (_MAP,), "bool", lambda ip: _ip(ip).is_unspecified, member=True),
    _Function("isLoopback", (_MAP,), "bool", lambda ip: _ip(ip).is_loopback, member=True),
    _Function("isLinkLocalUnicast", (_MAP,), "bool", lambda ip: _ip(ip).is_link_local, member=True),
    _Function("isLinkLocalMulticast", (_MAP,), "bool", _is_local_multicast, member=True),
    _Function("isGlobalUnicast", (_MAP,), "bool", _is_global, member=True),
    _Function("cidr", ("string",), _MAP, lambda text: (_network(text), {"cidr": text})[1]),
    _Function("isCIDR", ("string",), "bool", _is(_network)),
    _Function("containsIP", (_MAP, "string"), "bool", _contains_ip, member=True),
    _Function("containsIP", (_MAP, _MAP), "bool", _contains_ip, member=True),
    _Function("containsCIDR", (_MAP, "string"), "bool", _contains, member=True),
    _Function("containsCIDR", (_MAP, _MAP), "bool", _contains, member=True),
    _Function("ip", (_MAP,), _MAP, lambda c: {"ip": _part(c, "cidr").partition("/")[0]}, member=True),
    _Function("prefixLength", (_MAP,), "int", lambda c: _cidr(c).prefixlen, member=True),
    _Function("masked", (_MAP,), _MAP, lambda c: {"cidr": str(_cidr(c))}, member=True),
)


# The authorizer

_answering: ContextVar[Asked] = ContextVar("answering")


def authorizer(user: dict[str, Any]) -> dict[str, Any]:
    """The value of the variable `authorizer`: asks in the name of *user*, as AdmissionReview shows users."""
    return {"user": user}


@contextmanager
def asking(answer: Asked) -> Iterator[None]:
    """Inside, `check` is answered by *answer*: from the question's members to whether, and why."""
    token = _answering.set(answer)
    try:
        yield
    finally:
        _answering.reset(token)


def _with(member: str) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    return lambda place, value: {**place, member: value}


def _check(place: dict[str, Any], verb: str) -> dict[str, Any]:
    answer = _answering.get(None)
    if answer is None:
        raise ValueError("no authorizer is configured")
    _part(place, "user")
    allowed, reason = answer({**place, "verb": verb})
    return {"decision": allowed, "reason": reason}


_AUTHORIZER = (
    _Function("path", (_MAP, "string"), _MAP, _with("path"), member=True),
    _Function("group", (_MAP, "string"), _MAP, _with("group"), member=True),
    _Function("resource", (_MAP, "string"), _MAP, _with("resource"), member=True),
    _Function("subresource", (_MAP, "string"), _MAP, _with("subresource"), member=True),
    _Function("namespace", (_MAP, "string"), _MAP, _with("namespace"), member=True),
    _Function("name", (_MAP, "string"), _MAP, _with("name"), member=True),
    _Function(
        "serviceAccount",
        (_MAP, "string", "string"),
        _MAP,
        lambda _, namespace, name: {
            "user": {
                "username": f"system:serviceaccount:{namespace}:{name}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            }
        },
        member=True,
    ),
    _Function("check", (_MAP, "string"), _MAP, _check, member=True),
    _Function("allowed", (_MAP,), "bool", lambda decision: _part(decision, "decision"), member=True),
    _Function("reason", (_MAP,), "string", lambda decision: _part(decision, "reason"), member=True),
    _Function("errored", (_MAP,), "bool", lambda decision: _part(decision, "decision") is None, member=True),
    _Function("error", (_MAP,), "string", lambda _: "", member=True),
)

_ALL = (*_LISTS, *_REGEX, *_URLS, *_QUANTITIES, *_ADDRESSES, *_AUTHORIZER)


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
