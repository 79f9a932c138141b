"""`podpass nmi`: the node agent of pod identity as a process, on any node."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from podpass.importing import for_good, without_system_roots

Switch = Annotated[bool | None, Parameter(negative=())]


def nmi(
    *,
    kubeconfig: Path | None = None,
    config: Path | None = None,
    node: str | None = None,
    operation_mode: str | None = None,
    force_namespaced: Annotated[bool | None, Parameter(name="--forceNamespaced", negative=())] = None,
    nmi_listen_address: str | None = None,
    nmi_port: str | None = None,
    metadata_ip: str | None = None,
    metadata_port: str | None = None,
    retry_attempts_for_created: str | None = None,
    retry_attempts_for_assigned: str | None = None,
    find_identity_retry_interval: str | None = None,
    ipt_update_interval_sec: str | None = None,
    skip_iptables: Switch = None,
    enable_conntrack_deletion: str | None = None,
    block_instance_metadata: Switch = None,
    metadata_header_required: str | None = None,
    metadata_header_any_case: Switch = None,
    set_retry_after_header: Switch = None,
    json_errors: Switch = None,
    enable_scale_features: Annotated[str | None, Parameter(name="--enableScaleFeatures")] = None,
    allow_network_plugin_kubenet: Switch = None,
    kubelet_config: str | None = None,
    startup_taint: str | None = None,
    http_probe_port: str | None = None,
    prometheus_port: str | None = None,
    log_level: str | None = None,
    custom_user_agent: str | None = None,
) -> int:
    """Answer the pods of a node that ask for tokens, by what their bindings give them.

    The flags are those of NMI of aad-pod-identity; docs/reference/nmi.md lists them with what is podpass's own.

    Example: podpass nmi --node "$NODE_NAME" --operation-mode managed --forceNamespaced

    Parameters
    ----------
    kubeconfig:
        The cluster; in a pod the cluster's own service account is used.
    config:
        A YAML file of settings; flags and variables win over it.
    node:
        The name of the node (NODE_NAME).
    operation_mode:
        Who decides: standard (MIC) or managed (the bindings themselves).
    force_namespaced:
        Give pods identities of their own namespace only; required in managed mode.
    nmi_listen_address:
        The address to answer on (127.0.0.1).
    nmi_port:
        The port to answer on (2579).
    metadata_ip:
        Where the metadata service is, and what is redirected.
    metadata_port:
        The port of the metadata service (80).
    retry_attempts_for_created:
        Intervals to wait for MIC to create an assigned identity (16).
    retry_attempts_for_assigned:
        Further intervals to wait for it to be assigned (4).
    find_identity_retry_interval:
        The length of such an interval, in seconds (5).
    ipt_update_interval_sec:
        How often the rules of redirection are looked at, in seconds (60).
    skip_iptables:
        Install no rules: somebody else leads pods here.
    enable_conntrack_deletion:
        Whether connections older than the rules are cut (true).
    block_instance_metadata:
        Keep the instance document from pods.
    metadata_header_required:
        Whether requests need the header Metadata: true (true).
    metadata_header_any_case:
        Take Metadata: True, as some older SDKs send it, too.
    set_retry_after_header:
        Answer 503 with Retry-After where a pod has no identity yet, in place of 404.
    json_errors:
        Answer errors as the metadata service does, in JSON.
    enable_scale_features:
        Whether only the assigned identities of this node are read (true).
    allow_network_plugin_kubenet:
        Start on nodes whose network lets pods pose as others.
    kubelet_config:
        The file that tells which network plug-in the node has.
    startup_taint:
        The key of the taint that is taken from the node once pods are answered.
    http_probe_port:
        Where /healthz and /readyz are answered (8080).
    prometheus_port:
        Where /metrics is answered (9090).
    log_level:
        info, debug, trace or all.
    custom_user_agent:
        What requests say of their sender besides its name.
    """
    with for_good(), without_system_roots():
        from podpass.nmi.process import run_process
        from podpass.nmi.settings import Settings
        from podpass.serving import event_loop

    flags = {
        "node": node,
        "operation-mode": operation_mode,
        "forceNamespaced": force_namespaced,
        "nmi-listen-address": nmi_listen_address,
        "nmi-port": nmi_port,
        "metadata-ip": metadata_ip,
        "metadata-port": metadata_port,
        "retry-attempts-for-created": retry_attempts_for_created,
        "retry-attempts-for-assigned": retry_attempts_for_assigned,
        "find-identity-retry-interval": find_identity_retry_interval,
        "ipt-update-interval-sec": ipt_update_interval_sec,
        "skip-iptables": skip_iptables,
        "enable-conntrack-deletion": enable_conntrack_deletion,
        "block-instance-metadata": block_instance_metadata,
        "metadata-header-required": metadata_header_required,
        "metadata-header-any-case": metadata_header_any_case,
        "set-retry-after-header": set_retry_after_header,
        "json-errors": json_errors,
        "enableScaleFeatures": enable_scale_features,
        "allow-network-plugin-kubenet": allow_network_plugin_kubenet,
        "kubelet-config": kubelet_config,
        "startup-taint": startup_taint,
        "http-probe-port": http_probe_port,
        "prometheus-port": prometheus_port,
        "log-level": log_level,
        "custom-user-agent": custom_user_agent,
    }
    settings = Settings.read(os.environ, flags, config)
    event_loop.run(run_process(settings, kubeconfig=kubeconfig))
    return 0
