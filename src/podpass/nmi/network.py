"""iptables and conntrack of the node: rules installed, looked at again and again, and taken away at the end.

Contract: pod identity, sections 3.2 and 9 (20).
"""

import asyncio
import shutil

from podpass.nmi.redirection import CHAIN, Redirection, removal, repairs
from podpass.telemetry.logging import Logger

_TOOL_SECONDS = 20.0


class RulesFailed(Exception):
    """iptables could not do what it was told; the text is its own."""


class Rules:
    """The rules of one redirection. *installed* is set once they are whole."""

    def __init__(self, redirection: Redirection, log: Logger, *, iptables: str = "iptables") -> None:
        self.installed = asyncio.Event()
        self._redirection = redirection
        self._log = log
        self._iptables = iptables

    async def repair(self) -> bool:
        """Make the rules whole; whether anything was missing. Raises RulesFailed."""
        calls = repairs(self._redirection, await self._listing())
        for call in calls:
            await self._run(*call)
        if calls:
            self._log.info("rules.installed", calls=len(calls), chain=CHAIN)
        self.installed.set()
        return bool(calls)

    async def remove(self) -> None:
        """Take the rules away. Raises RulesFailed."""
        self.installed.clear()
        for call in removal(await self._listing()):
            await self._run(*call)
        self._log.info("rules.removed", chain=CHAIN)

    async def cut_older_connections(self) -> None:
        """End the connections that were made to the metadata service before there were rules."""
        tool = shutil.which("conntrack")
        if tool is None:
            self._log.warning("conntrack.missing", why="connections older than the rules stay as they are")
            return
        metadata = self._redirection.metadata
        code, output = await _ran(
            tool, "-D", "-p", "tcp", "--orig-dst", metadata.host, "--orig-port-dst", str(metadata.port)
        )
        # It says "0 flow entries have been deleted" with code 1 when there was none.
        if code != 0 and " 0 flow entries" not in f" {output}":
            self._log.warning("conntrack.failed", why=output.strip()[:300])

    async def _listing(self) -> list[str]:
        return [line.strip() for line in (await self._run("-S")).splitlines()]

    async def _run(self, *arguments: str) -> str:
        code, output = await _ran(self._iptables, "-w", "-t", "nat", *arguments)
        if code != 0:
            raise RulesFailed(f"iptables {' '.join(arguments)}: {output.strip()[:300]}")
        return output


async def _ran(tool: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a tool and all it printed. Raises RulesFailed where it can't be run or does not end."""
    try:
        process = await asyncio.create_subprocess_exec(
            tool, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise RulesFailed(f"{tool}: {error.strerror}") from error
    try:
        async with asyncio.timeout(_TOOL_SECONDS):
            output, _ = await process.communicate()
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise RulesFailed(f"{tool} did not end within {_TOOL_SECONDS:.0f} s") from error
        raise
    return process.returncode or 0, output.decode(errors="replace")
