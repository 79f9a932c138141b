"""How a pod is called and whom it asks for names: its host name, its hosts file, its resolver's settings.

Contract: Kubernetes API surface, section 7.3; follows the kubelet of Kubernetes 1.37.
"""

from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj

CLUSTER_DOMAIN = "cluster.local"
LONGEST_HOSTNAME = 63
LONGEST_FQDN = 64
"""The kernel's bound of a host name."""
_OPTIONS = (("ndots", "5"),)


@dataclass(frozen=True, slots=True)
class Resolver:
    """What resolv.conf says. An option is its name with its value, which may be empty."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        lines = [f"search {' '.join(self.search)}"] if self.search else []
        lines += [f"nameserver {server}" for server in self.nameservers]
        if self.options:
            lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in self.options))
        return "".join(line + "\n" for line in lines)


def hostname(pod: Obj) -> str:
    """The pod's short host name: its own, or the pod's name, cut to what a host name may be."""
    if objects.spec(pod).get("hostNetwork"):
        return str(objects.spec(pod).get("nodeName") or "")
    wanted = str(objects.spec(pod).get("hostname") or objects.name(pod))
    return wanted[:LONGEST_HOSTNAME].rstrip("-.")


def full_name(pod: Obj) -> str:
    """The pod's name in the cluster's DNS; empty without a subdomain."""
    subdomain = objects.spec(pod).get("subdomain")
    if not subdomain:
        return ""
    return f"{hostname(pod)}.{subdomain}.{objects.namespace(pod)}.svc.{CLUSTER_DOMAIN}"


def kernel_hostname(pod: Obj) -> str:
    """What `hostname` says inside. Raises ValueError for a full name that is too long for that."""
    full = full_name(pod) if objects.spec(pod).get("setHostnameAsFQDN") else ""
    if len(full) > LONGEST_FQDN:
        raise ValueError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long ({LONGEST_FQDN}"
            f" characters is the max, {len(full)} characters requested)"
        )
    return full or hostname(pod)


def resolver(pod: Obj, nameserver: str) -> Resolver:
    """The settings for *pod* where *nameserver* answers for the cluster and for everything else."""
    spec = objects.spec(pod)
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    match policy:
        case "None":
            found = Resolver()
        case "Default":
            found = Resolver((nameserver,))
        case _:
            service = f"svc.{CLUSTER_DOMAIN}"
            search = (f"{objects.namespace(pod)}.{service}", service, CLUSTER_DOMAIN)
            found = Resolver((nameserver,), search, _OPTIONS)
    config = spec.get("dnsConfig") or {}
    options = dict(found.options)
    options |= {option.get("name", ""): option.get("value") or "" for option in config.get("options") or ()}
    return Resolver(
        tuple(dict.fromkeys((*found.nameservers, *(config.get("nameservers") or ())))),
        tuple(dict.fromkeys((*found.search, *(config.get("searches") or ())))),
        tuple(options.items()),
    )


def hosts_file(pod: Obj, address: str) -> str:
    """The pod's /etc/hosts."""
    short, full = hostname(pod), full_name(pod)
    text = (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
    )
    text += "\t".join(name for name in (address, full, short) if name) + "\n"
    aliases = objects.spec(pod).get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join((alias["ip"], *(alias.get("hostnames") or ()))) + "\n" for alias in aliases)
    return text
