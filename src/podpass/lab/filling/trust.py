"""Federated credentials of managed identities and applications."""

from podpass.lab.entra.federated_credentials import Wanted
from podpass.lab.entra.flexible import GivenExpression
from podpass.lab.filling.clouds import Making
from podpass.lab.scenario.entries.trust import FederatedCredentialEntry
from podpass.tokens.expressions import LANGUAGE_VERSION


def wanted(making: Making, entry: FederatedCredentialEntry) -> Wanted:
    """The credential as a request would describe it."""
    return Wanted(
        entry.name,
        entry.issuer or making.find("clusters", entry.cluster).id,
        (entry.audience,),
        entry.subject or None,
        GivenExpression(entry.expression, LANGUAGE_VERSION) if entry.expression else None,
    )
