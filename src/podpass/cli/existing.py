"""What `podpass lab` does about a cluster that is there already: list it, and tidy up after a lab that was killed."""

from pathlib import Path
from typing import TYPE_CHECKING

from podpass.cli.output import DONE, Format, note, print_value
from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError

if TYPE_CHECKING:
    from podpass.lab.existing.actions import Action
    from podpass.lab.existing.chosen import Chosen


def plan_up(paths: LabPaths, kubeconfig: Path | None, context: str, output: Format) -> int:
    """Print what `podpass lab up` would do to the cluster. Raises PodpassError."""
    from podpass.kube.config import ConfigError
    from podpass.lab.existing.chosen import choose, kept

    before = kept(paths)
    embedded = before is None and paths.database.exists()
    chosen = choose(before, kubeconfig, context, name=paths.name, embedded=embedded)
    if chosen is None:
        raise ConfigError("--dry-run is for a cluster that --kubeconfig names")
    return _print(_ask(chosen, install=True), output)


def plan_down(paths: LabPaths, output: Format) -> int:
    """Print what `podpass lab down` would take away. Raises PodpassError."""
    from podpass.lab.existing.chosen import kept

    chosen = kept(paths)
    return _print([] if chosen is None else _ask(chosen, install=False), output)


def take_away(paths: LabPaths) -> bool:
    """Remove what a lab that does not run left in its cluster; whether there was something. Raises PodpassError."""
    if not paths.cluster.exists():
        return False
    from podpass.lab.existing.chosen import kept

    chosen = kept(paths)
    assert chosen is not None
    done = _ask(chosen, install=False, carry_out=True)
    for action in done:
        note(f"{action} of {chosen.context}")
    return bool(done)


def forget(paths: LabPaths) -> None:
    """As `take_away`, for a lab that is about to go: a cluster that is gone itself keeps nobody from it."""
    try:
        take_away(paths)
    except PodpassError as error:
        note(f"note: nothing was taken away from the cluster: {error.cause}")


def _ask(chosen: "Chosen", *, install: bool, carry_out: bool = False) -> "list[Action]":
    import asyncio

    from podpass.kube.client import Client
    from podpass.lab.existing.cluster import planned_install, planned_removal, remove

    async def ask() -> "list[Action]":
        async with Client(chosen.access()) as client:
            if install:
                return await planned_install(client, chosen.owner)
            return await (remove if carry_out else planned_removal)(client, chosen.owner)

    return asyncio.run(ask())


def _print(actions: "list[Action]", output: Format) -> int:
    if output == "table":
        for action in actions:
            print(action)
        if not any(action.changes for action in actions):
            note("nothing would change")
    else:
        members = ("verb", "kind", "namespace", "name", "why")
        print_value([{member: getattr(action, member) for member in members} for action in actions], output)
    return DONE
