"""Federated credentials: the trust in tokens of an issuer, of managed identities and applications alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from podpass.azure.clouds import PUBLIC
from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.fields import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedCredentialEntry:
    """The trust record."""

    name: Annotated[str, spelling.CREDENTIAL, "its name"]
    subject: Annotated[str, "the claim `sub` of the tokens it trusts"] = ""
    expression: Annotated[
        str,
        "the [claims matching expression](../how-to/trust-many-subjects-with-one-credential.md) of a flexible one; "
        "exactly one of `subject` and `expression` is needed",
    ] = ""
    issuer: Annotated[str, "an issuer's URL; exactly one of `issuer` and `cluster` is needed"] = ""
    cluster: Annotated[str, Ref("clusters", "managedClusters"), "a cluster whose issuer it trusts"] = ""
    audience: Annotated[str, "the claim `aud` of those tokens"] = PUBLIC.token_exchange_audience
    description: Annotated[str, "for people; kept on applications only"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        if bool(self.issuer) == bool(self.cluster):
            yield "issuer", "exactly one of issuer and cluster is needed"
        if bool(self.subject) == bool(self.expression):
            yield "subject", "exactly one of subject and expression is needed"
