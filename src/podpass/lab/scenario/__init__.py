"""The file that fills a lab: tenants, subscriptions, identities, trust, vaults, secrets, roles, clusters.

`read` turns text into a `Scenario` or into every fault it holds, each with its line; `apply` makes it so through the
same functions the services' own HTTP calls use. The format is described in docs/reference/scenario.md.
"""

from podpass.lab.scenario.file import text_of
from podpass.lab.scenario.model import DEFAULT, Scenario
from podpass.lab.scenario.reading import ScenarioInvalid, read
from podpass.lab.scenario.sources import Sources

__all__ = ["DEFAULT", "Scenario", "ScenarioInvalid", "Sources", "read", "text_of"]
