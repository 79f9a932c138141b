"""What is wrong with how a pod is called and with whom it asks for names, in the API server's words.

Contract: Kubernetes API surface, sections 2.2 and 2.3.
"""

import ipaddress
from collections.abc import Iterator

from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, required
from podpass.lab.cluster.kinds import rules

MOST_NAMESERVERS = 3
MOST_SEARCH_PATHS = 32
MOST_SEARCH_CHARACTERS = 2048
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def naming(spec: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with the host name, the host aliases and the resolver's settings of a pod's spec."""
    for member in ("hostname", "subdomain"):
        if value := spec.get(member):
            yield from rules.label(f"{path}.{member}", value)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        place = f"{path}.hostAliases[{index}]"
        yield from _address(f"{place}.ip", alias.get("ip") or "")
        for name in alias.get("hostnames") or ():
            yield from rules.subdomain(f"{place}.hostnames", name)
    yield from rules.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from _dns_config(spec, path)


def _dns_config(spec: Obj, path: str) -> Iterator[Cause]:
    config, place = spec.get("dnsConfig"), f"{path}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(place, "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{place}.nameservers", text)
    config = config or {}
    servers, search = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MOST_NAMESERVERS:
        yield invalid(f"{place}.nameservers", servers, f"must not have more than {MOST_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        yield from _address(f"{place}.nameservers[{index}]", server)
    if len(search) > MOST_SEARCH_PATHS:
        yield invalid(f"{place}.searches", search, f"must not have more than {MOST_SEARCH_PATHS} search paths")
    if len(" ".join(search)) > MOST_SEARCH_CHARACTERS:
        text = f"must not have more than {MOST_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield invalid(f"{place}.searches", search, text)
    for index, domain in enumerate(search):
        # A search path may end in a dot, and may be only that.
        if domain != ".":
            yield from rules.subdomain(f"{place}.searches[{index}]", domain.removesuffix("."))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{place}.options[{index}]", "must not be empty")


def _address(path: str, value: str) -> Iterator[Cause]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        yield invalid(path, value, _NO_ADDRESS)
