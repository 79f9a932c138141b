"""`podpass webhook`: the mutating admission webhook as a process, on any cluster."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from podpass.importing import for_good, without_system_roots

Switch = Annotated[bool | None, Parameter(negative=())]


def webhook(
    *,
    kubeconfig: Path | None = None,
    config: Path | None = None,
    authority_host: str | None = None,
    layout: str | None = None,
    audience: str | None = None,
    strict_annotations: Switch = None,
    webhook_addr: str | None = None,
    health_addr: str | None = None,
    metrics_addr: str | None = None,
    metrics_backend: str | None = None,
    webhook_cert_dir: str | None = None,
    disable_cert_rotation: Switch = None,
    self_signed: Switch = None,
    tls_min_version: str | None = None,
    log_level: str | None = None,
) -> int:
    """Give labelled pods their token and the four AZURE_* variables.

    The directory comes from AZURE_TENANT_ID (required), the cloud from AZURE_ENVIRONMENT. Every flag also has a
    variable; docs/reference/webhook.md lists them.

    Example: AZURE_TENANT_ID=… podpass webhook --kubeconfig ~/.kube/config --self-signed --webhook-cert-dir ./certs

    Parameters
    ----------
    kubeconfig:
        The cluster to serve; in a pod the cluster's own service account is used.
    config:
        A YAML file of settings; flags and variables win over it.
    authority_host:
        The login service injected instead of the cloud's: a private or laboratory authority.
    layout:
        Where the token is mounted: v1, v2 or both.
    audience:
        The audience of the projected token.
    strict_annotations:
        Take the proxy annotation at its value, and warn about ids that are not ids.
    webhook_addr:
        Where admission reviews are answered, over TLS (:9443).
    health_addr:
        Where /healthz and /readyz are answered (:9440).
    metrics_addr:
        Where /metrics is answered (:8095).
    metrics_backend:
        Only prometheus.
    webhook_cert_dir:
        The directory of tls.crt and tls.key, when they are files.
    disable_cert_rotation:
        Read the certificate from files that somebody else renews.
    self_signed:
        Make the certificate in the certificate directory and write nothing to the cluster.
    tls_min_version:
        The oldest TLS spoken: 1.2 or 1.3.
    log_level:
        info, debug, trace or all.
    """
    with for_good(), without_system_roots():
        from podpass.serving import event_loop
        from podpass.webhook.process import run_process
        from podpass.webhook.settings import Settings

    flags = {
        "authority-host": authority_host,
        "layout": layout,
        "audience": audience,
        "strict-annotations": strict_annotations,
        "webhook-addr": webhook_addr,
        "health-addr": health_addr,
        "metrics-addr": metrics_addr,
        "metrics-backend": metrics_backend,
        "webhook-cert-dir": webhook_cert_dir,
        "disable-cert-rotation": disable_cert_rotation,
        "self-signed": self_signed,
        "tls-min-version": tls_min_version,
        "log-level": log_level,
    }
    settings = Settings.read(os.environ, flags, config)
    event_loop.run(run_process(settings, kubeconfig=kubeconfig))
    return 0
