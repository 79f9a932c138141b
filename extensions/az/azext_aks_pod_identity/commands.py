"""Which commands there are, and which arguments each takes."""

from collections.abc import Callable
from typing import Any

from azure.cli.command_modules.acs._client_factory import cf_managed_clusters
from azure.cli.core.azclierror import InvalidArgumentValueError, RequiredArgumentMissingError
from azure.cli.core.commands import CliCommandType
from azure.cli.core.commands.parameters import resource_group_name_type

from aks_pod_identity.labels import parsed


def load_commands(loader: Any) -> None:
    clusters = CliCommandType(
        operations_tmpl="azure.mgmt.containerservice.operations#ManagedClustersOperations.{}",
        client_factory=cf_managed_clusters,
    )
    with loader.command_group("aks pod-identity", clusters, client_factory=cf_managed_clusters) as group:
        group.custom_command("add", "aks_pod_identity_add", supports_no_wait=True)
        group.custom_command("delete", "aks_pod_identity_delete", supports_no_wait=True)
        group.custom_command("list", "aks_pod_identity_list", table_transformer=identities_table)
    with loader.command_group("aks pod-identity exception", clusters, client_factory=cf_managed_clusters) as group:
        group.custom_command("add", "aks_pod_identity_exception_add", supports_no_wait=True)
        group.custom_command("delete", "aks_pod_identity_exception_delete", supports_no_wait=True)
        group.custom_command("update", "aks_pod_identity_exception_update", supports_no_wait=True)
        group.custom_command("list", "aks_pod_identity_exception_list", table_transformer=exceptions_table)


def load_arguments(loader: Any) -> None:
    with loader.argument_context("aks pod-identity") as context:
        context.argument("resource_group_name", resource_group_name_type)
        context.argument("cluster_name", options_list=["--cluster-name"], help="The cluster name.")
        context.argument("aks_custom_headers", help="Headers to send along, as Key1=Value1,Key2=Value2.")
    for command, needs_name in (("add", False), ("delete", True)):
        with loader.argument_context(f"aks pod-identity {command}") as context:
            _name(context, "identity", "pod identity", needed=needs_name)
    with loader.argument_context("aks pod-identity add") as context:
        context.argument("identity_resource_id", help="Resource id of the user-assigned identity to use.")
        context.argument("binding_selector", help="What pods carry as label aadpodidbinding; the name by default.")
    for command, needs_name in (("add", False), ("update", True), ("delete", True)):
        with loader.argument_context(f"aks pod-identity exception {command}") as context:
            _name(context, "exc", "pod identity exception", needed=needs_name)
            context.argument(
                "pod_labels", nargs="*", validator=_labels, help="Labels of the pods: key=value [key=value ...]."
            )


def _name(context: Any, prefix: str, what: str, *, needed: bool) -> None:
    made_up = "" if needed else " Generated if not given."
    context.argument(
        f"{prefix}_name",
        options_list=["--name", "-n"],
        validator=_given(f"{prefix}_name", "--name", needed),
        help=f"Name of the {what}.{made_up}",
    )
    context.argument(
        f"{prefix}_namespace",
        options_list=["--namespace"],
        validator=_given(f"{prefix}_namespace", "--namespace", needed=True),
        help=f"Namespace of the {what}.",
    )


def _given(member: str, option: str, needed: bool) -> Callable[[Any], None]:
    def validate(namespace: Any) -> None:
        value = getattr(namespace, member, None)
        if needed and not value:
            raise RequiredArgumentMissingError(f"{option} is required")
        # What is empty is as good as not given.
        setattr(namespace, member, value or None)

    return validate


def _labels(namespace: Any) -> None:
    try:
        namespace.pod_labels = parsed(namespace.pod_labels or [])
    except ValueError as error:
        raise InvalidArgumentValueError(str(error)) from error


def identities_table(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "Name": entry.get("name"),
            "Namespace": entry.get("namespace"),
            "ProvisioningState": entry.get("provisioningState"),
            "Identity": (entry.get("identity") or {}).get("resourceId"),
        }
        for entry in (cluster.get("podIdentityProfile") or {}).get("userAssignedIdentities") or []
    ]


def exceptions_table(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "Name": entry.get("name"),
            "Namespace": entry.get("namespace"),
            "PodLabels": " ".join(f"{key}={value}" for key, value in sorted((entry.get("podLabels") or {}).items())),
        }
        for entry in (cluster.get("podIdentityProfile") or {}).get("userAssignedIdentityExceptions") or []
    ]
