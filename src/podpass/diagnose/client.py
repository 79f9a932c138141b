"""Read what the checks look at."""

from podpass.diagnose.snapshot import Network, Snapshot, network_of
from podpass.kube.client import ApiError, Client
from podpass.kube.resources import DAEMONSETS, NODES, PODS
from podpass.podidentity.objects import read_binding
from podpass.podidentity.resources import BINDINGS


async def read(client: Client, *, network: Network | None = None) -> Snapshot:
    """The cluster as it is now; *network* is what the user knows better. Raises ApiError, Unreachable."""
    why = "as it was said to be"
    if network is None:
        nodes, agents = (await client.list(NODES)).items, (await client.list(DAEMONSETS)).items
        network, why = network_of(nodes, agents)
    pods = (await client.list(PODS)).items
    try:
        bindings = [read_binding(each) for each in (await client.list(BINDINGS)).items]
    except ApiError as error:
        # Nobody defined them: there are no pod identities here.
        if not error.not_found:
            raise
        bindings = []
    return Snapshot(network, why, pods, bindings)
