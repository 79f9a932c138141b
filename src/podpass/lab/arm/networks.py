"""Virtual networks and their subnets: address spaces that fit into each other. Nothing runs in them.

A network shows its subnets, and a subnet is a resource of its own; a write to either carries to the other.
Contract: Azure HTTP surface, section 4.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from podpass.lab.arm import errors
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.model import Body, Draft, NameRule, Resource, ResourceType, Shaped

NETWORK = "Microsoft.Network/virtualNetworks"
SUBNET = f"{NETWORK}/subnets"
API_VERSIONS = ("2025-05-01", "2024-07-01", "2024-05-01", "2023-11-01")

Range = ipaddress.IPv4Network | ipaddress.IPv6Network


class _AddressSpace(msgspec.Struct, frozen=True, rename="camel"):
    address_prefixes: list[str]


class _NamedSubnet(msgspec.Struct, frozen=True):
    name: str
    properties: dict[str, Any] = msgspec.field(default_factory=dict)


class _NetworkProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    address_space: _AddressSpace
    subnets: list[_NamedSubnet] | None = None
    dhcp_options: dict[str, Any] | None = None
    enable_ddos_protection: bool = False


class NetworkBody(Body, frozen=True, kw_only=True, rename="camel"):
    """A PUT's body."""

    properties: _NetworkProperties


class SubnetBody(Body, frozen=True, kw_only=True, rename="camel"):
    """A PUT's body."""

    properties: dict[str, Any]


def _shape_network(estate: Estate, draft: Draft) -> Shaped:
    del estate
    given: _NetworkProperties = draft.body.properties
    space = _ranges(given.address_space.address_prefixes, draft.id.name)
    if not space:
        raise errors.invalid_request("The address space of a virtual network can't be empty.", "InvalidRequestFormat")
    before: Mapping[str, Any] = draft.existing.properties if draft.existing else {}
    subnets: Sequence[Mapping[str, Any]] = before.get("subnets", [])
    if given.subnets is not None:
        base = draft.existing.id if draft.existing else str(draft.id)
        subnets = [_shown(f"{base}/subnets/{one.name}", one.name, one.properties) for one in given.subnets]
    _check_fit(subnets, space, draft.id.name)
    properties: dict[str, Any] = {
        "provisioningState": "Succeeded",
        "resourceGuid": draft.guid("resourceGuid"),
        "addressSpace": {"addressPrefixes": given.address_space.address_prefixes},
        "subnets": subnets,
        "virtualNetworkPeerings": [],
        "enableDdosProtection": given.enable_ddos_protection,
    }
    if given.dhcp_options:
        properties["dhcpOptions"] = given.dhcp_options
    return Shaped(properties=properties)


def _network_written(estate: Estate, network: Resource, before: Resource | None) -> None:
    """Have a resource for each subnet that the network shows, and for no other."""
    del before
    wanted = {str(one["id"]).lower(): one for one in network.properties["subnets"]}
    for present in estate.below(parsed_id(network.id), SUBNET):
        if present.id.lower() not in wanted:
            estate.delete(parsed_id(present.id))
    for one in wanted.values():
        estate.keep(Resource(id=one["id"], name=one["name"], type=SUBNET, properties=one["properties"]))


def _shape_subnet(estate: Estate, draft: Draft) -> Shaped:
    network = estate.require(draft.id.parent)
    given = dict(draft.body.properties)
    others = [one for one in network.properties["subnets"] if one["name"].lower() != draft.id.name.lower()]
    name = draft.existing.name if draft.existing else draft.id.name
    made = _shown(f"{network.id}/subnets/{name}", name, given)
    space = _ranges(network.properties["addressSpace"]["addressPrefixes"], network.name)
    _check_fit([*others, made], space, network.name)
    return Shaped(properties=made["properties"])


def _subnet_written(estate: Estate, subnet: Resource, before: Resource | None) -> None:
    del before
    network = estate.require(parsed_id(subnet.id).parent)
    shown = {one["name"].lower(): one for one in network.properties["subnets"]}
    shown[subnet.name.lower()] = {
        "id": subnet.id,
        "name": subnet.name,
        "type": SUBNET,
        "properties": subnet.properties,
    }
    _keep_subnets(estate, network, shown.values())


def _subnet_removed(estate: Estate, subnet: Resource) -> None:
    network = estate.get(parsed_id(subnet.id).parent)
    if network is not None:
        left = [one for one in network.properties["subnets"] if one["name"].lower() != subnet.name.lower()]
        _keep_subnets(estate, network, left)


def _keep_subnets(estate: Estate, network: Resource, subnets: Iterable[Mapping[str, Any]]) -> None:
    estate.keep(replace(network, properties={**network.properties, "subnets": list(subnets)}))


def _shown(identifier: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A subnet as its network and it itself show it. Raises ArmError."""
    if _NAME.fullmatch(name) is None:
        raise errors.invalid_request(_INVALID_NAME.format(name=name), "InvalidResourceName")
    prefixes = _prefixes(given)
    if not prefixes or not all(isinstance(one, str) for one in prefixes):
        raise errors.invalid_request(
            f"Subnet '{name}' must have an addressPrefix or addressPrefixes.", "MissingAddressPrefixOrPrefixes"
        )
    kept = {key: value for key, value in given.items() if value is not None and key != "provisioningState"}
    # One prefix is shown alone, several as a list, whichever way they came.
    if len(prefixes) == 1:
        kept.pop("addressPrefixes", None)
        kept["addressPrefix"] = prefixes[0]
    defaults = {
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
    }
    properties = {"provisioningState": "Succeeded", **defaults, **kept}
    return {"id": identifier, "name": name, "type": SUBNET, "properties": properties}


def _prefixes(properties: Mapping[str, Any]) -> list[Any]:
    several, one = properties.get("addressPrefixes"), properties.get("addressPrefix")
    return list(several) if isinstance(several, list) and several else [one] if one else []


def _check_fit(subnets: Iterable[Mapping[str, Any]], space: Sequence[Range], network: str) -> None:
    """Raises ArmError for a subnet outside the network's space, and for two that overlap or have one name."""
    taken: list[Range] = []
    names: set[str] = set()
    for subnet in subnets:
        name = subnet["name"]
        if name.lower() in names:
            raise errors.invalid_request(f"Two subnets are named '{name}'.", "DuplicateResourceName")
        names.add(name.lower())
        for found in _ranges(_prefixes(subnet["properties"]), name):
            if not any(_within(found, whole) for whole in space):
                raise _refused(name, network, "NetcfgSubnetRangeOutsideVnet", "is outside the IP address range of")
            if any(found.overlaps(other) for other in taken if found.version == other.version):
                what = "overlaps with that of an existing subnet in"
                raise _refused(name, network, "NetcfgSubnetRangesOverlap", what)
            taken.append(found)


def _within(inner: Range, outer: Range) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _refused(subnet: str, network: str, code: str, what: str) -> ArmError:
    message = f"Subnet '{subnet}' is not valid because its IP address range {what} virtual network '{network}'."
    return errors.invalid_request(message, code)


def _ranges(prefixes: Iterable[str], owner: str) -> list[Range]:
    """Raises ArmError."""
    found: list[Range] = []
    for prefix in prefixes:
        try:
            if "/" not in prefix:
                raise ValueError(prefix)
            found.append(ipaddress.ip_network(prefix))
        except ValueError as error:
            raise errors.invalid_request(
                f"Address prefix {prefix[:64]} of resource {owner} is not formatted correctly. It should follow CIDR "
                "notation, for example 10.0.0.0/24.",
                "InvalidAddressPrefixFormat",
            ) from error
    return found


_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,78}[a-zA-Z0-9_])?")
_INVALID_NAME = (
    "Resource name {name} is invalid. The name can be up to 80 characters long. It must begin with a word character, "
    "and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'."
)
_RULE = NameRule(_NAME, "InvalidResourceName", _INVALID_NAME)

TYPES = (
    ResourceType(
        name=NETWORK,
        api_versions=API_VERSIONS,
        body=NetworkBody,
        shape=_shape_network,
        name_rule=_RULE,
        system_data=False,
        written=_network_written,
    ),
    ResourceType(
        name=SUBNET,
        api_versions=API_VERSIONS,
        body=SubnetBody,
        shape=_shape_subnet,
        name_rule=_RULE,
        located=False,
        system_data=False,
        written=_subnet_written,
        removed=_subnet_removed,
    ),
)
