"""The mutating admission webhook that gives pods what Azure workload identity asks of them.

`mutate` decides; `run` serves. Behaviour is that of Azure/azure-workload-identity 1.6.0, with the layout of 1.5 by
default. Left out: the IMDS proxy sidecar (pods that ask for it are refused with a message), the custom token endpoint.
"""

from podpass.settings.options import SettingsError
from podpass.webhook.azure import Denial, Mutation, mutate
from podpass.webhook.loop import run
from podpass.webhook.process import run_process
from podpass.webhook.settings import Settings

__all__ = ["Denial", "Mutation", "Settings", "SettingsError", "mutate", "run", "run_process"]
