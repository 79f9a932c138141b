"""Federated credentials of managed identities and applications."""

from podpass.lab.entra.federated_credentials import Wanted
from podpass.lab.entra.flexible import GivenExpression
from podpass.lab.filling.clouds import Making
from podpass.lab.filling.finding import Finding
from podpass.lab.scenario.entries.trust import FederatedCredentialEntry
from podpass.tokens.expressions import LANGUAGE_VERSION
from podpass.tokens.federation import FederatedCredential


def wanted(making: Making, entry: FederatedCredentialEntry) -> Wanted:
    """The credential as a request would describe it."""
    return Wanted(
        entry.name,
        entry.issuer or making.find(entry.cluster, "clusters", "managedClusters").issuer,
        (entry.audience,),
        entry.subject or None,
        GivenExpression(entry.expression, LANGUAGE_VERSION) if entry.expression else None,
    )


def entry_of(finding: Finding, credential: FederatedCredential, description: str = "") -> FederatedCredentialEntry:
    return FederatedCredentialEntry(
        name=credential.name,
        **finding.trusted(credential.issuer),
        subject=credential.subject,
        expression="" if credential.expression is None else str(credential.expression),
        audience=credential.audiences[0],
        description=description,
    )
