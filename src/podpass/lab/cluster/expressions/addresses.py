"""The functions of CEL about IP addresses and the networks they are in."""

import ipaddress
from typing import Any

from podpass.lab.cluster.expressions.function import MAP, Function, makes, part

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    return _address(value if isinstance(value, str) else part(value, "ip"))


def _cidr(value: Any) -> Network:
    return _network(value if isinstance(value, str) else part(value, "cidr"))


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


ADDRESSES = (
    Function("ip", ("string",), MAP, lambda text: {"ip": str(_address(text))}),
    Function("isIP", ("string",), "bool", makes(_address)),
    Function("ip.isCanonical", ("string",), "bool", lambda text: str(_address(text)) == text),
    Function("family", (MAP,), "int", lambda ip: _ip(ip).version, member=True),
    Function("isUnspecified", (MAP,), "bool", lambda ip: _ip(ip).is_unspecified, member=True),
    Function("isLoopback", (MAP,), "bool", lambda ip: _ip(ip).is_loopback, member=True),
    Function("isLinkLocalUnicast", (MAP,), "bool", lambda ip: _ip(ip).is_link_local, member=True),
    Function("isLinkLocalMulticast", (MAP,), "bool", _is_local_multicast, member=True),
    Function("isGlobalUnicast", (MAP,), "bool", _is_global, member=True),
    Function("cidr", ("string",), MAP, lambda text: (_network(text), {"cidr": text})[1]),
    Function("isCIDR", ("string",), "bool", makes(_network)),
    Function("containsIP", (MAP, "string"), "bool", _contains_ip, member=True),
    Function("containsIP", (MAP, MAP), "bool", _contains_ip, member=True),
    Function("containsCIDR", (MAP, "string"), "bool", _contains, member=True),
    Function("containsCIDR", (MAP, MAP), "bool", _contains, member=True),
    Function("ip", (MAP,), MAP, lambda c: {"ip": part(c, "cidr").partition("/")[0]}, member=True),
    Function("prefixLength", (MAP,), "int", lambda c: _cidr(c).prefixlen, member=True),
    Function("masked", (MAP,), MAP, lambda c: {"cidr": str(_cidr(c))}, member=True),
)
