"""`podpass mic`: the controller of pod identity as a process, and its end."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from podpass.importing import for_good

app = App(name="mic", help="The controller of pod identity, for any cluster.", help_format="markdown")

Switch = Annotated[bool | None, Parameter(negative=())]


@app.default
def mic(
    *,
    kubeconfig: Path | None = None,
    config: Path | None = None,
    cloudconfig: str | None = None,
    force_namespaced: Annotated[bool | None, Parameter(name="--forceNamespaced", negative=())] = None,
    keep_for_ended_pods: Switch = None,
    sync_retry_duration: Annotated[str | None, Parameter(name="--syncRetryDuration")] = None,
    identity_assignment_reconcile_interval: str | None = None,
    create_delete_batch: Annotated[str | None, Parameter(name="--createDeleteBatch")] = None,
    immutable_user_msis: str | None = None,
    update_user_msi_max_retry: str | None = None,
    update_user_msi_retry_interval: str | None = None,
    leader_election_instance: str | None = None,
    leader_election_namespace: str | None = None,
    leader_election_name: str | None = None,
    leader_election_duration: str | None = None,
    metadata_host: str | None = None,
    http_probe_port: str | None = None,
    prometheus_port: str | None = None,
    log_level: str | None = None,
    custom_user_agent: str | None = None,
) -> int:
    """Put identities onto the machines whose pods need them, and say in the cluster which pod has which.

    The cloud comes from --cloudconfig or from the environment; docs/reference/mic.md lists both.

    Example: podpass mic --cloudconfig /etc/kubernetes/azure.json

    Parameters
    ----------
    kubeconfig:
        The cluster; in a pod the cluster's own service account is used.
    config:
        A YAML file of settings; flags and variables win over it.
    cloudconfig:
        The node's azure.json; without it the environment says which cloud it is.
    force_namespaced:
        Give pods identities of their own namespace only.
    keep_for_ended_pods:
        Leave pods that have ended their identities until they are deleted, as the original does.
    sync_retry_duration:
        How often everything is looked at again (3600s).
    identity_assignment_reconcile_interval:
        How often identities that machines lost are added again (3m).
    create_delete_batch:
        How many objects are written at a time, for one machine (20).
    immutable_user_msis:
        Client ids, with commas between, of identities never taken from a machine.
    update_user_msi_max_retry:
        How often a change is tried again without the identities that failed (2).
    update_user_msi_retry_interval:
        How long is waited before that (1s).
    leader_election_instance:
        The name of this replica; the host's name by default.
    leader_election_namespace:
        Where the Lease lies (default).
    leader_election_name:
        The name of the Lease (aad-pod-identity-mic).
    leader_election_duration:
        How long a claim to lead counts (15s).
    metadata_host:
        Where tokens of managed identities come from.
    http_probe_port:
        Where /healthz and /readyz are answered (8080).
    prometheus_port:
        Where /metrics is answered (8888).
    log_level:
        info, debug, trace or all.
    custom_user_agent:
        What requests say of their sender besides its name.
    """
    with for_good():
        from podpass.kube.lease import LeadershipLost
        from podpass.mic.process import run_process
        from podpass.mic.settings import Settings
        from podpass.serving import event_loop

    flags = {
        "cloudconfig": cloudconfig,
        "forceNamespaced": force_namespaced,
        "keep-for-ended-pods": keep_for_ended_pods,
        "syncRetryDuration": sync_retry_duration,
        "identity-assignment-reconcile-interval": identity_assignment_reconcile_interval,
        "createDeleteBatch": create_delete_batch,
        "immutable-user-msis": immutable_user_msis,
        "update-user-msi-max-retry": update_user_msi_max_retry,
        "update-user-msi-retry-interval": update_user_msi_retry_interval,
        "leader-election-instance": leader_election_instance,
        "leader-election-namespace": leader_election_namespace,
        "leader-election-name": leader_election_name,
        "leader-election-duration": leader_election_duration,
        "metadata-host": metadata_host,
        "http-probe-port": http_probe_port,
        "prometheus-port": prometheus_port,
        "log-level": log_level,
        "custom-user-agent": custom_user_agent,
    }
    settings = Settings.read(os.environ, flags, config)
    try:
        event_loop.run(run_process(settings, kubeconfig=kubeconfig))
    except LeadershipLost as error:
        # Whoever started this starts it again, with nothing in memory that another replica has changed since.
        sys.stderr.write(f"podpass: {error}\n")
        return 1
    return 0


@app.command
def cleanup(*, kubeconfig: Path | None = None, dry_run: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Delete every AzureAssignedIdentity with its finalizer, after MIC was taken away for good.

    The identities stay on the machines: `az vmss identity remove` takes them away.

    Parameters
    ----------
    kubeconfig:
        The cluster; KUBECONFIG's by default.
    dry_run:
        Only say what would be deleted.
    """
    import asyncio

    from podpass.kube.client import ApiError, Client, Unreachable
    from podpass.kube.config import load
    from podpass.mic.cleanup import clean_up
    from podpass.problems import PodpassError

    async def work() -> int:
        async with Client(load(os.environ, path=kubeconfig), user_agent="podpass-mic") as client:
            return await clean_up(client, told=print, dry_run=dry_run)

    try:
        count = asyncio.run(work())
    except (ApiError, Unreachable) as error:
        raise PodpassError("PP402", f"the objects were not all deleted: {error}", reason=str(error)) from error
    print(f"{count} {'would be ' if dry_run else ''}deleted")
    return 0
