"""The rules of redirection are made whole from any state, and go without a trace."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.nmi.redirection import CHAIN, HOOK, Redirection, removal, repairs
from podpass.settings.values import Address

REDIRECTION = Redirection(Address("169.254.169.254", 80), Address("127.0.0.1", 2579))
RULES = (
    "-A aad-metadata ! -s 127.0.0.1/32 -d 169.254.169.254/32 -p tcp -m tcp --dport 80 "
    "-j DNAT --to-destination 127.0.0.1:2579",
    "-A aad-metadata -j RETURN",
)
JUMP = "-A PREROUTING -j aad-metadata"


class Table:
    """The nat table as far as these calls reach."""

    def __init__(self, chain: Sequence[str] | None, hook: Sequence[str]) -> None:
        self.chains: dict[str, list[str]] = {HOOK: list(hook)}
        if chain is not None:
            self.chains[CHAIN] = list(chain)

    def run(self, call: Sequence[str]) -> None:
        match call:
            case ["-N", name]:
                assert name not in self.chains
                self.chains[name] = []
            case ["-F", name]:
                self.chains[name] = []
            case ["-X", name]:
                assert not self.chains.pop(name)
            case ["-A", name, *_]:
                self.chains[name].append(" ".join(call))
            case ["-I", name, "1", *rest]:
                self.chains[name].insert(0, f"-A {name} {' '.join(rest)}")
            case ["-D", name, *rest]:
                self.chains[name].remove(f"-A {name} {' '.join(rest)}")
            case _:
                raise AssertionError(call)

    @property
    def listing(self) -> list[str]:
        heads = [f"-N {name}" if name == CHAIN else f"-P {name} ACCEPT" for name in self.chains]
        return [*heads, *(line for lines in self.chains.values() for line in lines)]


OTHERS = st.sampled_from([JUMP, "-A PREROUTING -j KUBE-SERVICES", "-A PREROUTING -p tcp -j OTHER"])
WRONG = st.sampled_from([*RULES, "-A aad-metadata -j ACCEPT"])


def test_the_rules_are_those_of_the_original() -> None:
    assert REDIRECTION.rules == RULES
    anywhere = Redirection(REDIRECTION.metadata, Address("0.0.0.0", 2579))
    assert anywhere.rules == RULES


@given(st.none() | st.lists(WRONG, max_size=4), st.lists(OTHERS, max_size=4))
def test_repairs_make_the_rules_whole_and_leave_others_alone(chain: list[str] | None, hook: list[str]) -> None:
    table = Table(chain, hook)
    for call in repairs(REDIRECTION, table.listing):
        table.run(call)
    assert table.chains[CHAIN] == list(RULES)
    assert table.chains[HOOK] == [JUMP, *(line for line in hook if line != JUMP)]
    assert repairs(REDIRECTION, table.listing) == []
    for call in removal(table.listing):
        table.run(call)
    assert CHAIN not in table.chains
    assert table.chains[HOOK] == [line for line in hook if line != JUMP]


@pytest.mark.parametrize("hook", [[], ["-A PREROUTING -j KUBE-SERVICES"]])
def test_nothing_is_removed_where_nothing_is(hook: list[str]) -> None:
    assert removal(Table(None, hook).listing) == []


PROGRAM = textwrap.dedent(
    """
    import asyncio, io, subprocess
    from podpass.nmi.network import Rules
    from podpass.nmi.redirection import Redirection
    from podpass.settings.values import Address
    from podpass.telemetry.logging import make_logger

    async def main():
        def iptables(*arguments):
            command = ["iptables", "-w", "-t", "nat", *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True)
        redirection = Redirection(Address("169.254.169.254", 80), Address("127.0.0.1", 2579))
        rules = Rules(redirection, make_logger("nmi", stream=io.StringIO()))
        assert await rules.repair()
        assert not await rules.repair()
        iptables("-F", "aad-metadata")
        iptables("-I", "PREROUTING", "1", "-j", "ACCEPT")
        assert await rules.repair()
        lines = iptables("-S").stdout.splitlines()
        assert [line for line in lines if "PREROUTING -j" in line][0] == "-A PREROUTING -j aad-metadata", lines
        assert len([line for line in lines if line.startswith("-A aad-metadata")]) == 2, lines
        await rules.cut_older_connections()
        await rules.remove()
        assert "aad-metadata" not in iptables("-S").stdout
        await rules.remove()

    asyncio.run(main())
    """
)


def test_the_rules_of_a_real_table() -> None:
    """In a network namespace of its own, so that nothing of this machine is touched."""
    if not shutil.which("iptables") or not shutil.which("unshare"):
        pytest.skip("iptables or unshare is not installed")
    namespace = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*namespace, "iptables", "-t", "nat", "-S"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no network namespace with a nat table")
    done = subprocess.run([*namespace, sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
