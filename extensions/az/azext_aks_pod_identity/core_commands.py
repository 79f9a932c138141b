"""The flags that `az aks create` and `az aks update` have more.

Both commands stay the CLI's own. What the flags say is put into the cluster's document on its way to Resource Manager.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from azure.cli.core.azclierror import (
    ArgumentUsageError,
    MutuallyExclusiveArgumentError,
    RequiredArgumentMissingError,
)

from aks_pod_identity.profile import disabled, enabled, enabled_from_the_start
from azext_aks_pod_identity.clusters import Change, ChangingClient, refusals, rewrite

ENABLE, WITH_KUBENET, DISABLE = "enable_pod_identity", "enable_pod_identity_with_kubenet", "disable_pod_identity"
HELP = {
    ENABLE: "(PREVIEW) Enable pod identity addon.",
    WITH_KUBENET: "(PREVIEW) Enable pod identity addon for a cluster that uses the network plugin kubenet.",
    DISABLE: "(PREVIEW) Disable pod identity addon, with its identities and exceptions.",
}
# What says which cluster, and how to send it: all else is a change that the CLI itself makes.
NO_CHANGES = frozenset(("cmd", "client", "resource_group_name", "name", "no_wait", "aks_custom_headers"))

Handler = Callable[[dict[str, Any]], Any]


def extend(_cli_ctx: Any, **event: Any) -> None:
    """Give the commands their flags, once the CLI has loaded what it runs; called for every command of `az`."""
    table = event["commands_loader"].command_table
    for name, flags, wrap in (
        ("aks create", (ENABLE, WITH_KUBENET), _creating),
        ("aks update", (ENABLE, WITH_KUBENET, DISABLE), _updating),
    ):
        command = table.get(name)
        # Another extension that owns the command has these flags itself.
        if command is None or ENABLE in command.arguments:
            continue
        for flag in flags:
            option = f"--{flag.replace('_', '-')}"
            command.add_argument(flag, option, action="store_true", default=False, help=HELP[flag])
        operation = getattr(command.handler, "__self__", None)
        command.handler = wrap(command, operation)


def _creating(command: Any, operation: Any) -> Handler:
    original: Handler = command.handler

    def handler(arguments: dict[str, Any]) -> Any:
        wanted, consent = arguments.pop(ENABLE), arguments.pop(WITH_KUBENET)
        _require_enabling(wanted, consent)
        if not wanted:
            return original(arguments)
        if arguments.get("service_principal") and arguments.get("client_secret"):
            raise RequiredArgumentMissingError(
                "--enable-pod-identity can only be specified when --enable-managed-identity is specified"
            )
        change = partial(enabled_from_the_start, kubenet_consent=consent)
        with refusals():
            # Before the CLI grants roles to a cluster that will not come.
            change({"properties": {"networkProfile": {"networkPlugin": arguments.get("network_plugin")}}})
        return _sent_changed(operation, original, arguments, change)

    return handler


def _updating(command: Any, operation: Any) -> Handler:
    original: Handler = command.handler

    def handler(arguments: dict[str, Any]) -> Any:
        wanted, consent, unwanted = arguments.pop(ENABLE), arguments.pop(WITH_KUBENET), arguments.pop(DISABLE)
        if wanted and unwanted:
            raise MutuallyExclusiveArgumentError(
                "Cannot specify --enable-pod-identity and --disable-pod-identity at the same time."
            )
        _require_enabling(wanted, consent)
        if not wanted and not unwanted:
            return original(arguments)
        change: Change = partial(enabled, kubenet_consent=consent or None) if wanted else disabled
        if _changes_more(command, arguments):
            return _sent_changed(operation, original, arguments, change)
        group, name = arguments["resource_group_name"], arguments["name"]
        client = operation.client_factory(arguments["cmd"].cli_ctx, arguments)
        headers = arguments.get("aks_custom_headers")
        return rewrite(client, group, name, change, no_wait=arguments.get("no_wait", False), headers=headers)

    return handler


def _require_enabling(wanted: bool, consent: bool) -> None:
    if consent and not wanted:
        raise ArgumentUsageError("--enable-pod-identity-with-kubenet is only for use with --enable-pod-identity")


def _changes_more(command: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether the user asks for a change that the CLI itself makes."""
    for name, value in arguments.items():
        known = command.arguments.get(name)
        usual = known.type.settings.get("default") if known is not None else None
        if name not in NO_CHANGES and known is not None and value is not None and value is not False and value != usual:
            return True
    return False


def _sent_changed(operation: Any, original: Handler, arguments: dict[str, Any], change: Change) -> Any:
    """What the CLI's own command does, but for a change to the cluster that it sends."""
    own = operation.client_factory

    def changing(*factory_arguments: Any) -> ChangingClient:
        return ChangingClient(own(*factory_arguments), change)

    operation.client_factory = changing
    try:
        return original(arguments)
    finally:
        operation.client_factory = own
