"""Empty clouds to be filled from a scenario, on one in-memory store, with clients that hold real tokens."""

from dataclasses import dataclass, field
from pathlib import Path

from podpass.lab.arm import Arm
from podpass.lab.clock import LabClock
from podpass.lab.entra.access import AccessTokens
from podpass.lab.entra.directory import Directory
from podpass.lab.faults import Faults
from podpass.lab.filling import Clouds, Filling
from podpass.lab.graph import Graph
from podpass.lab.journal import Journal
from podpass.lab.keyvault import KeyVault
from podpass.lab.remembered import Remembered
from podpass.lab.scenario import Sources, read
from podpass.lab.store import Store
from podpass.tokens.keys import JwkSet, SigningKey

ISSUER = "https://issuer.example/cluster/"
NOW = 1_800_000_000.0


@dataclass
class Filled:
    """The clouds of a lab without the lab around them."""

    key: SigningKey
    directory_of_files: Path
    store: Store = field(default_factory=lambda: Store.open(None))

    def __post_init__(self) -> None:
        self.clock = LabClock(source=lambda: NOW)
        journal = Journal(self.store, self.clock)
        directory = Directory(self.store, self.clock)
        tokens = AccessTokens(lambda: JwkSet((self.key.public,)), self.clock, "https://login.microsoftonline.com")
        arm = Arm(self.store, self.clock, journal, directory, tokens)
        self.clouds = Clouds(
            store=self.store,
            remembered=Remembered(self.store),
            directory=directory,
            arm=arm,
            keyvault=KeyVault(self.store, self.clock, journal, tokens, arm),
            graph=Graph(directory, self.clock, journal, tokens, arm.estate.people),
            faults=Faults.load(self.store),
            issuer_of=lambda _: ISSUER,
            client_secrets=self.directory_of_files / "client-secrets",
        )
        self.filling = Filling(self.clouds)

    def apply(self, text: str, **environ: str) -> None:
        scenario = read(text)
        for entry in scenario.clusters:
            self.clouds.remembered.guid(f"cluster/{entry.name}", entry.id)
        self.filling.apply(scenario, Sources(self.directory_of_files, environ))
        self.clouds.remembered.keep_scenario(scenario)
        cluster = scenario.clusters[0]
        self.filling.operator(cluster.tenant, cluster.name)
