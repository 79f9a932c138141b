"""The commands of AKS pod identity, as an extension of the Azure CLI.

Contract: the pod-identity commands of the extension aks-preview, whose arguments and output these have.
"""

from typing import Any

from azure.cli.core import AzCommandsLoader
from azure.cli.core.commands import CliCommandType
from azure.cli.core.commands.events import EVENT_INVOKER_POST_LOAD_ARGUMENTS

from azext_aks_pod_identity import _help  # noqa: F401 - the texts register themselves
from azext_aks_pod_identity.commands import load_arguments, load_commands
from azext_aks_pod_identity.core_commands import extend


class PodIdentityCommandsLoader(AzCommandsLoader):  # type: ignore[misc] # the CLI has no types
    def __init__(self, cli_ctx: Any = None) -> None:
        custom = CliCommandType(operations_tmpl="azext_aks_pod_identity.custom#{}")
        super().__init__(cli_ctx=cli_ctx, custom_command_type=custom)

    def load_command_table(self, args: list[str] | None) -> dict[str, Any]:
        load_commands(self)
        # The commands of the CLI itself are complete only once their arguments are loaded.
        self.cli_ctx.register_event(EVENT_INVOKER_POST_LOAD_ARGUMENTS, extend)
        return self.command_table  # type: ignore[no-any-return]

    def load_arguments(self, command: str) -> None:
        load_arguments(self)


COMMAND_LOADER_CLS = PodIdentityCommandsLoader
