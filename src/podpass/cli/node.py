"""`podpass lab node`: the nodes of a running lab, added, switched off and on, taken away."""

import os
from typing import Annotated, Any

from cyclopts import App, Parameter

from podpass.cli.output import DONE, Format, note, print_table, print_value
from podpass.lab.control.client import Control
from podpass.lab.environment import LabPaths, state_home

app = App(name="node", help="The nodes of a running lab. They are kept: the next start has the same ones.")

Name = Annotated[str, Parameter(name=["--name", "-n"], env_var="PODPASS_LAB", help="Which lab.")]
Cluster = Annotated[
    str, Parameter(help="Which managed cluster: its name, resource id or guid. The lab's own by default.")
]
Output = Annotated[Format, Parameter(name=["--output", "-o"], help="table, json or yaml")]


@app.command
def ls(*, name: Name = "default", cluster: Cluster = "", output: Output = "table") -> int:
    """List the nodes: whether each is switched on, and what the cluster says of it.

    Example: podpass lab node ls --output json
    """
    nodes = _control(name).nodes(cluster=cluster)
    if output == "table":
        _print(nodes)
    else:
        print_value(nodes, output)
    return DONE


@app.command
def add(node: str = "", /, *, name: Name = "default", cluster: Cluster = "", output: Output = "table") -> int:
    """Add a node, and return when it is ready.

    Example: podpass lab node add

    Parameters
    ----------
    node:
        Its name, such as lab-node-3; the first free one by default.
    """
    return _done(_control(name).add_node(node, cluster=cluster), "added", output)


@app.command
def stop(node: str, /, *, name: Name = "default", cluster: Cluster = "", output: Output = "table") -> int:
    """Switch a node off, as a machine: its containers end, and the cluster finds out by itself.

    After 40 s without a sign of life it is NotReady and tainted, and pods leave it when their tolerations end, 5 min
    later as a rule. `podpass lab advance 1m` makes the first pass at once, and then 6m the second. It stays off until
    it is started, over restarts too.

    Example: podpass lab node stop lab-node-2

    Parameters
    ----------
    node:
        The node's name.
    """
    return _done(_control(name).stop_node(node, cluster=cluster), "stopped", output)


@app.command
def start(node: str, /, *, name: Name = "default", cluster: Cluster = "", output: Output = "table") -> int:
    """Switch a node on again, and return when it is ready. Pods that are still bound to it run again.

    Example: podpass lab node start lab-node-2

    Parameters
    ----------
    node:
        The node's name.
    """
    return _done(_control(name).start_node(node, cluster=cluster), "started", output)


@app.command
def rm(node: str, /, *, name: Name = "default", cluster: Cluster = "", output: Output = "table") -> int:
    """Take a node away for good: its containers end, and its Node object, logs and files go.

    Pods that were bound to it are deleted by the cluster. `kubectl drain` lets them leave first.

    Example: podpass lab node rm lab-node-2

    Parameters
    ----------
    node:
        The node's name.
    """
    return _done(_control(name).remove_node(node, cluster=cluster), "removed", output)


def _control(name: str) -> Control:
    return Control(LabPaths.of(name, home=state_home(os.environ)))


def _done(node: dict[str, Any], what: str, output: Format) -> int:
    if output == "table":
        note(f"{node['name']} {what}")
    else:
        print_value(node, output)
    return DONE


def _print(nodes: list[dict[str, Any]]) -> None:
    rows = [
        [node["name"], node["state"], node["ready"], str(node["containers"]), node["address"], node["pods_range"]]
        for node in nodes
    ]
    print_table(rows, heads=("NAME", "STATE", "READY", "CONTAINERS", "ADDRESS", "PODS"))
