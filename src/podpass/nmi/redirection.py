"""The rules that lead pods' requests for the metadata service to NMI, and what is missing of them.

Never from OUTPUT: programs of the node itself reach the metadata service. Contract: pod identity, section 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from podpass.settings.values import Address

CHAIN = "aad-metadata"
HOOK = "PREROUTING"
_DECLARATION = f"-N {CHAIN}"
_JUMP = f"-A {HOOK} -j {CHAIN}"
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Redirection:
    """From *metadata* to where NMI listens."""

    metadata: Address
    listen: Address

    @property
    def rules(self) -> tuple[str, ...]:
        """The chain's rules, as iptables lists them."""
        target = "127.0.0.1" if self.listen.host in _ANYWHERE else self.listen.host
        return (
            f"-A {CHAIN} ! -s 127.0.0.1/32 -d {self.metadata.host}/32 -p tcp -m tcp --dport {self.metadata.port} "
            f"-j DNAT --to-destination {target}:{self.listen.port}",
            f"-A {CHAIN} -j RETURN",
        )


def repairs(redirection: Redirection, listing: Sequence[str]) -> list[list[str]]:
    """The arguments of iptables that make the rules whole, given the lines of its nat table; none when they are."""
    calls: list[list[str]] = []
    exists = _DECLARATION in listing
    if not exists:
        calls.append(["-N", CHAIN])
    if _rules(listing, CHAIN) != list(redirection.rules):
        if exists:
            calls.append(["-F", CHAIN])
        calls.extend(rule.split() for rule in redirection.rules)
    hooked = _rules(listing, HOOK)
    if not hooked or hooked[0] != _JUMP or hooked.count(_JUMP) != 1:
        # Somebody's rule before ours could lead past it.
        calls.extend([["-D", HOOK, "-j", CHAIN]] * hooked.count(_JUMP))
        calls.append(["-I", HOOK, "1", "-j", CHAIN])
    return calls


def removal(listing: Sequence[str]) -> list[list[str]]:
    """The arguments of iptables that take the rules away."""
    calls = [["-D", HOOK, "-j", CHAIN]] * listing.count(_JUMP)
    return [*calls, ["-F", CHAIN], ["-X", CHAIN]] if _DECLARATION in listing else calls


def _rules(listing: Sequence[str], chain: str) -> list[str]:
    return [line for line in listing if line.startswith(f"-A {chain} ")]
