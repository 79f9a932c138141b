"""`podpass doctor`: look for what is wrong on a cluster; nothing is changed."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from podpass.cli.cluster import read_cluster
from podpass.cli.output import DONE, FAILED, PROBLEMS, Format, note, print_table, print_value, printable

Choice = Literal["auto", "kubenet", "protected"]


def doctor(
    *,
    kubeconfig: Path | None = None,
    context: str = "",
    network: Choice = "auto",
    output: Annotated[Format, Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Look for what is wrong on a cluster, by reading alone.

    The exit code is 3 when there is something, and 1 when that can't be told.

    It looks for pods that may pose as others: on a network that lets a pod send with another's address, such as
    kubenet's, a pod with the capability NET_RAW gets the identities of its neighbours.

    Example: podpass doctor --output json

    Parameters
    ----------
    kubeconfig:
        The cluster; KUBECONFIG's by default.
    context:
        The context of that file; its current one by default.
    network:
        What the cluster's network is, where the cluster doesn't tell: kubenet, or one that keeps pods apart.
    """
    from podpass.diagnose.client import read
    from podpass.diagnose.posing import CODE, pods_with_net_raw, posing_pods
    from podpass.problems import problem

    known_network = None if network == "auto" else network
    snapshot = read_cluster(
        lambda client: read(client, network=known_network),
        kubeconfig=kubeconfig,
        context=context,
        user_agent="podpass-doctor",
    )
    found = posing_pods(snapshot)
    # Whether all is well hangs on what the cluster does not tell, so nobody is to take silence for it.
    is_open = snapshot.network == "unknown" and bool(pods_with_net_raw(snapshot))
    if output != "table":
        named = {"kind": snapshot.network, "why": snapshot.network_why}
        print_value({"network": named, "findings": [asdict(each) for each in found]}, output)
        return PROBLEMS if found else FAILED if is_open else DONE
    note(f"network: {snapshot.network}, {printable(snapshot.network_why)}")
    if is_open:
        note("say --network kubenet or --network protected: there are pods to be found on the one")
        return FAILED
    if not found:
        note("nothing found")
        return DONE
    heads = ("PROBLEM", "NAMESPACE", "POD", "CONTAINERS", "NODE", "COULD GET")
    rows = [
        (each.code, each.namespace, each.pod, ",".join(each.containers), each.node, ",".join(each.identities) or "-")
        for each in found
    ]
    print_table([[printable(cell) for cell in row] for row in rows], heads=heads)
    known = problem(CODE)
    note(f"\n{CODE}: {known.title}\n{known.cause_for(count=len(found))}\n{known.remedy_for()}")
    return PROBLEMS
